package portal

import (
	"errors"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// newPasskey is what the page shows that adds one: the browser makes it, and then uses it once.
type newPasskey struct {
	Form      web.PasskeyForm
	NoPasskey *web.NoPasskey
}

// passkeys reports whether somebody can add one on the page of a request.
func (p *Portal) passkeys(r *http.Request) bool {
	set := p.Admin.Settings.Settings()
	here, _ := web.Passkeys(r, set)
	return here && set.Self(policy.SelfPasskey)
}

func passkeyPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return p.makePasskey(w, r, v, http.StatusOK, "", "")
}

// makePasskey shows the form that makes one.
func (p *Portal) makePasskey(w http.ResponseWriter, r *http.Request, v *visitor, status int, label, said string) error {
	page := view{Who: v, Error: said}
	if here, why := web.Passkeys(r, p.Admin.Settings.Settings()); !here && why != nil {
		page.Data = newPasskey{NoPasskey: why}
		p.show(w, r, http.StatusOK, "passkey", page)
		return nil
	}
	made, err := v.factors.MakePasskey(r.Context())
	if err != nil {
		return err
	}
	page.Data = newPasskey{Form: web.PasskeyForm{Kind: "create", Action: Base + "/passkey", Options: string(made.Options),
		Hidden: map[string]string{"ticket": made.Ticket}, Label: &web.PasskeyLabel{Value: label}}}
	p.show(w, r, status, "passkey", page)
	return nil
}

// keepPasskey keeps what the browser has made, and has it used once.
func keepPasskey(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	label := r.PostFormValue("label")
	kept, err := v.factors.KeepPasskey(r.Context(), label, r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
	if errors.Is(err, mfa.ErrInvalid) {
		return p.makePasskey(w, r, v, http.StatusUnprocessableEntity, label, p.whyNot(r, err))
	} else if err != nil {
		return err
	}
	p.showPasskey(w, r, v, http.StatusOK, kept, "")
	return nil
}

// whyNot says why a passkey was not taken.
func (p *Portal) whyNot(r *http.Request, err error) string {
	var why mfa.Reason
	errors.As(err, &why)
	switch why {
	case mfa.PasskeyModelRefused:
		return p.say(r, "passkey.model")
	case mfa.PasskeyUnverified:
		return p.say(r, "passkey.unverified")
	case mfa.Locked:
		return p.say(r, "passkey.locked")
	case mfa.ReasonNone:
		return p.say(r, "factor.badname")
	}
	return p.say(r, "passkey.bad")
}

// showPasskey shows the form that uses a new one.
func (p *Portal) showPasskey(w http.ResponseWriter, r *http.Request, v *visitor, status int, c mfa.Ceremony, said string) {
	p.show(w, r, status, "passkey", view{Who: v, Error: said, Data: newPasskey{Form: web.PasskeyForm{Kind: "get", Action: Base + "/passkey/prove",
		Options: string(c.Options), Hidden: map[string]string{"ticket": c.Ticket, "credential": string(c.Credential)}, Auto: said == ""}}})
}

// provePasskey has a new passkey serve that was used once.
func provePasskey(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	_, err := v.factors.ProvePasskey(r.Context(), r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
	if errors.Is(err, mfa.ErrInvalid) {
		again, gone := v.factors.ShowPasskey(r.Context(), r.PostFormValue("credential"))
		if gone != nil {
			return gone
		}
		p.showPasskey(w, r, v, http.StatusUnprocessableEntity, again, p.whyNot(r, err))
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.passkey")
	return nil
}
