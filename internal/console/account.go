package console

import (
	"errors"
	"net/http"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/web"
)

const (
	accountPath = "/account"
	passkeyPath = accountPath + "/passkey"
)

// accountRoutes are what administrators do about their own second factors, as the policy lets
// users do it in the portal.
func (c *Console) accountRoutes() []route {
	known := one(mfa.MayKnow)
	return []route{
		{"GET " + accountPath, known, false, accountPage},
		{"GET " + passkeyPath, known, false, passkeyPage},
		{"POST " + passkeyPath + "/keep", known, true, keepPasskey},
		{"POST " + passkeyPath + "/prove", known, false, provePasskey}, // by the passkey itself
		{"POST " + accountPath + "/drop", known, true, dropOwn},
	}
}

// account is what the page of one's own second factors shows.
type account struct {
	Factors   []enroll.Credential
	Passkeys  bool // can be added on this page
	NoPasskey *web.NoPasskey
}

func accountPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.showAccount(w, r, v, http.StatusOK, "")
}

func (c *Console) showAccount(w http.ResponseWriter, r *http.Request, v *visitor, status int, said string) error {
	all, err := c.Enroll.Own(v.Caller).List(r.Context())
	if err != nil {
		return err
	}
	set := c.Admin.Settings.Settings()
	here, why := web.Passkeys(r, set)
	data := account{Passkeys: here && set.Self(policy.SelfPasskey), NoPasskey: why}
	for _, one := range all.Credentials {
		if one.Hold != mfa.CredentialUnproven.String() {
			data.Factors = append(data.Factors, one)
		}
	}
	c.show(w, r, status, "account", view{Who: v, Error: said, Data: data})
	return nil
}

// newPasskey is what the page shows that adds one: the browser makes it, and then uses it once.
type newPasskey struct {
	Form      web.PasskeyForm
	NoPasskey *web.NoPasskey
	Setup     bool // of the first administrator
}

func passkeyPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	return c.makePasskey(w, r, v, http.StatusOK, "", "")
}

// makePasskey shows the form that makes one.
func (c *Console) makePasskey(w http.ResponseWriter, r *http.Request, v *visitor, status int, label, said string) error {
	page := view{Who: v, Error: said}
	if here, why := web.Passkeys(r, c.Admin.Settings.Settings()); !here && why != nil {
		page.Data = newPasskey{NoPasskey: why}
		c.show(w, r, http.StatusOK, "passkey", page)
		return nil
	}
	made, err := c.Enroll.Own(v.Caller).MakePasskey(r.Context())
	if err != nil {
		return err
	}
	page.Data = newPasskey{Form: web.PasskeyForm{Kind: "create", Action: passkeyPath + "/keep", Options: string(made.Options),
		Hidden: map[string]string{"ticket": made.Ticket}, Label: &web.PasskeyLabel{Value: label}}}
	c.show(w, r, status, "passkey", page)
	return nil
}

// keepPasskey keeps what the browser has made, and has it used once.
func keepPasskey(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	label := r.PostFormValue("label")
	kept, err := c.Enroll.Own(v.Caller).KeepPasskey(r.Context(), label, r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
	if errors.Is(err, mfa.ErrInvalid) {
		return c.makePasskey(w, r, v, http.StatusUnprocessableEntity, label, c.whyNot(r, err))
	} else if err != nil {
		return err
	}
	c.showPasskey(w, r, v, http.StatusOK, passkeyPath+"/prove", kept, "")
	return nil
}

// whyNot says why a passkey was not taken: to administrators the reason, too.
func (c *Console) whyNot(r *http.Request, err error) string {
	var why mfa.Reason
	errors.As(err, &why)
	switch why {
	case mfa.PasskeyModelRefused:
		return c.say(r, "passkey.model")
	case mfa.PasskeyUnverified:
		return c.say(r, "passkey.unverified")
	case mfa.Locked:
		return c.say(r, "passkey.locked")
	}
	return c.say(r, "passkey.bad") + " " + err.Error()
}

// showPasskey shows the form that uses a new one.
func (c *Console) showPasskey(w http.ResponseWriter, r *http.Request, v *visitor, status int, action string, p mfa.Ceremony, said string) {
	c.show(w, r, status, "passkey", view{Who: v, Error: said, Data: newPasskey{Setup: v == nil, Form: web.PasskeyForm{Kind: "get", Action: action,
		Options: string(p.Options), Hidden: map[string]string{"ticket": p.Ticket, "credential": string(p.Credential)}, Auto: said == ""}}})
}

// provePasskey has a new passkey serve that was used once.
func provePasskey(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	own := c.Enroll.Own(v.Caller)
	_, err := own.ProvePasskey(r.Context(), r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
	if errors.Is(err, mfa.ErrInvalid) {
		again, gone := own.ShowPasskey(r.Context(), r.PostFormValue("credential"))
		if gone != nil {
			return gone
		}
		c.showPasskey(w, r, v, http.StatusUnprocessableEntity, passkeyPath+"/prove", again, c.whyNot(r, err))
		return nil
	} else if err != nil {
		return err
	}
	done(w, r, accountPath, "done.proven")
	return nil
}

// dropOwn takes away a second factor of the visitor's.
func dropOwn(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	err := c.Enroll.Own(v.Caller).Remove(r.Context(), r.PostFormValue("credential"))
	switch {
	case errors.Is(err, enroll.ErrLast):
		return c.showAccount(w, r, v, http.StatusForbidden, c.say(r, "account.last"))
	case errors.Is(err, mfa.ErrWeakProof):
		return c.showAccount(w, r, v, http.StatusForbidden, c.say(r, "account.weak"))
	case err != nil:
		return err
	}
	done(w, r, accountPath, "done.dropped")
	return nil
}
