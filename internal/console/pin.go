package console

import (
	"errors"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// setPIN sets a user's PIN, or takes it away. The user changes it at the portal.
func setPIN(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := c.desk(v).SetPIN(r.Context(), r.PathValue("id"), admin.PINChange{PIN: secret.NewWire(strings.TrimSpace(r.PostFormValue("pin")))})
	return c.after(w, r, v, err, "done.saved")
}

// agePIN has a user change their PIN.
func agePIN(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	must := true
	_, err := c.desk(v).SetPIN(r.Context(), r.PathValue("id"), admin.PINChange{MustChange: &must})
	return c.after(w, r, v, err, "done.saved")
}

// caller is what the page shows of somebody on the phone.
type caller struct {
	ID, Login string
	enroll.CallerCheck
	Verified bool
}

// verifyCaller sends a code to who is on the phone, and checks what they read out.
func verifyCaller(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PathValue("id")
	u, err := c.desk(v).User(r.Context(), id)
	if err != nil {
		return err
	}
	p := caller{ID: id, Login: u.Login}
	if challenge := r.PostFormValue("challenge"); challenge != "" {
		p.CallerCheck = enroll.CallerCheck{ID: mfa.CredentialID(r.PostFormValue("credential")), Method: mfa.MethodID(r.PostFormValue("method")), To: r.PostFormValue("to"), Challenge: challenge, Number: r.PostFormValue("number")}
		code := secret.NewWire(strings.TrimSpace(r.PostFormValue("code")))
		if p.Number != "" {
			p.CallerCheck.ID = "" // any of their devices or telephones
		}
		_, err = c.enrolDesk(v).CheckCaller(r.Context(), id, enroll.CallerAnswer{ID: p.CallerCheck.ID, Challenge: challenge, Code: *code})
		if mistake(err) {
			said := err.Error()
			if errors.Is(err, mfa.ErrConflict) {
				said = c.say(r, "verify.unanswered")
			}
			c.show(w, r, web.StatusOf(err), "user-verify", view{Nav: "users", Title: "verify.title", Who: v, Data: p, Error: said})
			return nil
		}
		p.Verified = err == nil
	} else if p.CallerCheck, err = c.enrolDesk(v).VerifyCaller(r.Context(), id, enroll.CallerRequest{Method: mfa.MethodID(r.PostFormValue("method"))}); mistake(err) {
		return c.after(w, r, v, err, "")
	}
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "user-verify", view{Nav: "users", Title: "verify.title", Who: v, Data: p})
	return nil
}
