package portal

import (
	"errors"
	"html/template"
	"net/http"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/qr"
)

// activation is what a new device needs, as it is shown once.
type activation struct {
	Code       template.HTML // QR code, SVG
	URL        string
	Activation string
}

func devicePage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.show(w, r, http.StatusOK, "device", view{Who: v, Data: activation{}})
	return nil
}

// beginDevice makes a code that makes a device of the user's, and shows it.
func beginDevice(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	made, err := v.factors.BeginDevice(r.Context())
	switch {
	case errors.Is(err, mfa.ErrInvalid):
		said := p.say(r, "device.many")
		if p.Enroll.DevicePage == nil || p.Enroll.DevicePage() == "" {
			said = p.say(r, "device.none")
		}
		p.show(w, r, http.StatusUnprocessableEntity, "device", view{Who: v, Error: said, Data: activation{}})
		return nil
	case err != nil:
		return err
	case made.URL == nil || made.Activation == nil:
		return errors.New("a device was begun without its code")
	}
	var svg strings.Builder
	if err := qr.SVG(&svg, string(made.URL.Expose())); err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "device", view{Who: v, Data: activation{
		Code: template.HTML(svg.String()), //nolint:gosec // drawn here: numbers and fixed text
		URL:  string(made.URL.Expose()), Activation: string(made.Activation.Expose())}})
	return nil
}
