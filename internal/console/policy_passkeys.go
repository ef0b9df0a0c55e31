package console

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/web"
)

// passkeyForm is what the page of the defaults shows about passkeys.
type passkeyForm struct {
	Site    string
	Origins string // one after the other
	Alone   string
	Verify  string
	Allow   string
	Deny    string
	Ways    []string             // to verify
	Lost    *admin.LosesPasskeys // what has to be confirmed; nil: nothing
}

func shownPasskeys(p policy.Settings) passkeyForm {
	return passkeyForm{Site: p.PasskeySite, Origins: strings.Join(p.PasskeyOrigins, ", "), Alone: strings.Join(p.PasskeyAlone, ", "), Verify: p.PasskeyVerify,
		Allow: strings.Join(p.PasskeyAllow, ", "), Deny: strings.Join(p.PasskeyDeny, ", "),
		Ways: []string{policy.VerifyRequired, policy.VerifyPreferred, policy.VerifyDiscouraged}}
}

// editPasskeys sets all that there is about passkeys at once.
func editPasskeys(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	p, err := c.desk(v).Policy(r.Context())
	if err != nil {
		return err
	}
	object, err := json.Marshal(map[string]any{
		"passkey_site": strings.TrimSpace(r.PostFormValue("passkey_site")), "passkey_origins": words(r.PostFormValue("passkey_origins")),
		"passkey_alone": words(r.PostFormValue("passkey_alone")), "passkey_verification": r.PostFormValue("passkey_verification"),
		"passkey_models_allow": words(r.PostFormValue("passkey_models_allow")), "passkey_models_deny": words(r.PostFormValue("passkey_models_deny")),
	})
	if err != nil {
		return err
	}
	_, typed := c.desk(v).SetPolicy(r.Context(), object, r.PostFormValue("etag"), strings.TrimSpace(r.PostFormValue("confirm")))
	page := c.policyView(v)
	var lost admin.LosesPasskeys
	switch {
	case errors.As(typed, &lost):
		f := typedPasskeys(r, p)
		f.Passkeys.Lost = &lost
		page.Data, page.Error = f, c.say(r, "policy.site.lost", lost.Passkeys, lost.Users, lost.Site)
		c.show(w, r, http.StatusConflict, "policy", page)
		return nil
	case errors.Is(typed, mfa.ErrChanged):
		page.Data, page.Error = shownPolicy(p), c.say(r, "changed")
		c.show(w, r, http.StatusConflict, "policy", page)
		return nil
	case mistake(typed):
		page.Data, page.Error = typedPasskeys(r, p), typed.Error()
		c.show(w, r, web.StatusOf(typed), "policy", page)
		return nil
	case typed != nil:
		return typed
	}
	done(w, r, "/policy", "done.saved")
	return nil
}

// policyView is the page of the defaults, of which the management portal has the passkeys alone.
func (c *Console) policyView(v *visitor) view {
	page := view{Nav: "settings", Sub: "policy", Who: v}
	if c.Coordinator != nil {
		page.Title = "policy.passkeys"
	}
	return page
}

// typedPasskeys is the page with the form as it was sent.
func typedPasskeys(r *http.Request, p admin.Policy) policyForm {
	f := shownPolicy(p)
	f.Tag = r.PostFormValue("etag")
	k := &f.Passkeys
	k.Site, k.Origins, k.Alone = r.PostFormValue("passkey_site"), r.PostFormValue("passkey_origins"), r.PostFormValue("passkey_alone")
	k.Verify, k.Allow, k.Deny = r.PostFormValue("passkey_verification"), r.PostFormValue("passkey_models_allow"), r.PostFormValue("passkey_models_deny")
	return f
}
