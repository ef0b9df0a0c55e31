package portal

import (
	"errors"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// wrongPIN says which rule a new PIN breaks.
func (p *Portal) wrongPIN(r *http.Request, rule error) string {
	switch {
	case errors.Is(rule, policy.ErrPINDigits):
		return p.say(r, "pin.digits")
	case errors.Is(rule, policy.ErrPINRepeat):
		return p.say(r, "pin.repeat")
	case errors.Is(rule, policy.ErrPINSequence):
		return p.say(r, "pin.sequence")
	case errors.Is(rule, policy.ErrPINPhone):
		return p.say(r, "pin.phone")
	case errors.Is(rule, policy.ErrPINUsed):
		return p.say(r, "pin.used")
	}
	return p.say(r, "pin.length")
}

func pinPage(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return p.showPIN(w, r, v, http.StatusOK, "")
}

func (p *Portal) showPIN(w http.ResponseWriter, r *http.Request, v *visitor, status int, said string) error {
	now, err := v.account.PIN(r.Context())
	if err != nil {
		return err
	}
	p.show(w, r, status, "pin", view{Who: v, Error: said, Data: now})
	return nil
}

func changePIN(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	pin := secret.FromString(r.PostFormValue("pin"))
	if !pin.Equal(secret.FromString(r.PostFormValue("again"))) {
		return p.showPIN(w, r, v, http.StatusUnprocessableEntity, p.say(r, "pin.differ"))
	}
	err := v.account.SetPIN(r.Context(), pin)
	if rule := admin.WeakPIN(err); rule != nil {
		return p.showPIN(w, r, v, http.StatusUnprocessableEntity, p.wrongPIN(r, rule))
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.pin")
	return nil
}

// prefer keeps which second factor the user is asked for first.
func prefer(_ *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error {
	method := r.PostFormValue("method")
	if err := v.account.SetPreferred(r.Context(), method); errors.Is(err, mfa.ErrInvalid) {
		return mfa.ErrNotFound
	} else if err != nil {
		return err
	}
	done(w, r, home, "done.preferred")
	return nil
}

// preferable are the methods of some factors, each once, if there is a choice.
func preferable(methods []mfa.MethodID) (list []mfa.MethodID) {
	seen := map[mfa.MethodID]bool{}
	for _, m := range methods {
		if !seen[m] && m != mfa.MethodRecovery {
			seen[m] = true
			list = append(list, m)
		}
	}
	if len(list) < 2 {
		return nil
	}
	return list
}
