package console

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/qr"
)

// deviceCode is what makes a device of a user's, as it is shown once.
type deviceCode struct {
	Code  template.HTML // QR code of the link, SVG
	Typed string
	Link  string
}

// addDevice makes a code by which a user's phone or browser becomes a device of theirs.
func addDevice(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	made, err := c.enrolDesk(v).Add(r.Context(), id, enroll.Request{Method: mfa.MethodPush})
	if err != nil {
		return c.after(w, r, v, err, "")
	}
	if made.Activation == nil || made.URL == nil {
		return errors.New("a device was begun without its code")
	}
	link := string(made.URL.Expose())
	var svg strings.Builder
	if err := qr.SVG(&svg, link); err != nil {
		return err
	}
	d := deviceCode{template.HTML(svg.String()), string(made.Activation.Expose()), link} //nolint:gosec // drawn here: numbers and fixed text
	c.show(w, r, http.StatusOK, "user-token", view{Title: "user.device.title", Nav: "users", Who: v, Data: shown{Login: u.Login, ID: id, Device: &d}})
	return nil
}
