package portal

import (
	"errors"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/qr"
	"countersign/internal/secret"
)

// factors are the second factors that the start page shows: passes are an administrator's, and
// what was begun and never proven is no factor.
func factors(all enroll.CredentialList) (shown []enroll.Credential, stands bool) {
	for _, c := range all.Credentials {
		if c.Method == mfa.MethodTAP || c.Hold == mfa.CredentialUnproven.String() {
			continue
		}
		shown = append(shown, c)
		stands = stands || c.Method != mfa.MethodRecovery && !c.Disabled && c.Hold == ""
	}
	return shown, stands
}

func homePage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := v.factors.List(r.Context())
	if err != nil {
		return err
	}
	shown, stands := factors(all)
	recent, whole, err := v.account.Attempts(r.Context(), 5)
	if err != nil {
		return err
	}
	_, local, err := v.account.HasPassword(r.Context())
	if err != nil {
		return err
	}
	pin, err := v.account.PIN(r.Context())
	if err != nil {
		return err
	}
	var own []mfa.MethodID
	for _, c := range shown {
		own = append(own, c.Method)
	}
	p.show(w, r, http.StatusOK, "home", view{Who: v, Data: struct {
		Factors  []enroll.Credential
		Stands   bool
		Passkeys bool // can be used on this page, and be added
		Devices  bool // can be added
		Numbers  bool // can be added
		Mail     bool // can be added: the address in the profile
		Local    bool // the password is kept here, and may be changed here
		Recent   shownSignIns
		PIN      admin.PINState
		Choice   []mfa.MethodID // of which one can come first
	}{shown, stands, p.passkeys(r), p.devices(), len(v.numbers()) > 0, v.mayMail() && !slices.Contains(own, mfa.MethodEmail), local, signIns(recent, whole), pin, preferable(own)}})
	return nil
}

func tokenPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.show(w, r, http.StatusOK, "token", view{Who: v, Data: token{Passkeys: p.passkeys(r)}})
	return nil
}

// token is a new token as it is shown once: to scan, and to type.
type token struct {
	Credential string
	Label      string
	Code       template.HTML // QR code, SVG
	Secret     string
	Passkeys   bool // can be used on this page instead
}

// beginToken makes a token and shows it.
func beginToken(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	label := r.PostFormValue("label")
	made, err := v.factors.Begin(r.Context(), label)
	if errors.Is(err, mfa.ErrInvalid) {
		p.show(w, r, http.StatusUnprocessableEntity, "token", view{Who: v, Error: p.say(r, "factor.badname"), Data: token{Label: label}})
		return nil
	} else if err != nil {
		return err
	}
	if made.OTPAuthURL == nil || made.Secret == nil {
		return errors.New("a token was made without its secret")
	}
	var svg strings.Builder
	if err := qr.SVG(&svg, string(made.OTPAuthURL.Expose())); err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "token", view{Who: v, Data: token{Credential: string(made.ID), Label: made.Label,
		Code:   template.HTML(svg.String()), //nolint:gosec // drawn here: numbers and fixed text
		Secret: grouped(string(made.Secret.Expose()))}})
	return nil
}

// grouped writes a secret in groups of four, for a person who types it.
func grouped(s string) string {
	var b strings.Builder
	for i, c := range s {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(c)
	}
	return b.String()
}

// proveToken takes the code that a new token shows.
func proveToken(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	id := r.PostFormValue("credential")
	_, err := v.factors.Prove(r.Context(), id, secret.FromString(strings.ReplaceAll(strings.TrimSpace(r.PostFormValue("code")), " ", "")))
	switch {
	case errors.Is(err, mfa.ErrInvalid):
		p.show(w, r, http.StatusUnprocessableEntity, "token", view{Who: v, Error: p.orLocked(r, v, "token.wrong"), Data: token{Credential: id}})
		return nil
	case err != nil:
		return err
	}
	done(w, r, home, "done.token")
	return nil
}

// mine returns the visitor's own credential that a path names.
func (v *visitor) mine(r *http.Request) (enroll.Credential, error) {
	all, err := v.factors.List(r.Context())
	if err != nil {
		return enroll.Credential{}, err
	}
	for _, c := range all.Credentials {
		if string(c.ID) == r.PathValue("id") {
			return c, nil
		}
	}
	return enroll.Credential{}, mfa.ErrNotFound
}

// shownFactor is what the page of one factor shows.
type shownFactor struct {
	enroll.Credential
	Change bool // another number can take its place
}

func (p *Portal) factor(v *visitor, c enroll.Credential) shownFactor {
	return shownFactor{c, slices.Contains(v.numbers(), c.Method)}
}

func factorPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	p.show(w, r, http.StatusOK, "factor", view{Who: v, Data: p.factor(v, c)})
	return nil
}

func renameFactor(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	err = v.factors.Rename(r.Context(), string(c.ID), r.PostFormValue("label"))
	if errors.Is(err, mfa.ErrInvalid) {
		p.show(w, r, http.StatusUnprocessableEntity, "factor", view{Who: v, Error: p.say(r, "factor.badname"), Data: p.factor(v, c)})
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.renamed")
	return nil
}

func removeFactor(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c, err := v.mine(r)
	if err != nil {
		return err
	}
	err = v.factors.Remove(r.Context(), string(c.ID))
	if errors.Is(err, enroll.ErrLast) {
		p.show(w, r, http.StatusForbidden, "factor", view{Who: v, Error: p.say(r, "factor.last"), Data: p.factor(v, c)})
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.removed")
	return nil
}

func recoveryPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p.show(w, r, http.StatusOK, "recovery", view{Who: v, Data: []string(nil)})
	return nil
}

// makeRecovery makes recovery codes and shows them, this once.
func makeRecovery(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	made, err := v.factors.Recovery(r.Context())
	if err != nil {
		return err
	}
	var codes []string
	for _, c := range made.Codes {
		codes = append(codes, string(c.Expose()))
	}
	p.show(w, r, http.StatusOK, "recovery", view{Who: v, Data: codes})
	return nil
}
