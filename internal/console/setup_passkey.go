package console

import (
	"errors"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// The first administrator may enrol a passkey in place of the token that the page shows, where
// the policy names a site and the page is opened under it.

const setupPasskeyPath = "/setup/passkey"

// setUpPasskey has the browser of the first administrator make a passkey.
func (c *Console) setUpPasskey(w http.ResponseWriter, r *http.Request) {
	n, err := c.setupSession(r)
	if err != nil {
		c.refuseLink(w, r, noSetup(err))
		return
	}
	c.offerPasskey(w, r, n.User, http.StatusOK, "")
}

func (c *Console) offerPasskey(w http.ResponseWriter, r *http.Request, user mfa.UserID, status int, said string) {
	made, err := c.Enroll.MakePasskey(r.Context(), string(user))
	if err != nil {
		c.fail(w, r, nil, err)
		return
	}
	c.show(w, r, status, "passkey", view{Title: "title.setup", Error: said, Data: newPasskey{Setup: true, Form: web.PasskeyForm{Kind: "create",
		Action: setupPasskeyPath + "/keep", Options: string(made.Options), Hidden: map[string]string{"ticket": made.Ticket}, Label: &web.PasskeyLabel{}}}})
}

// setUpKeep keeps what the browser has made, and has it used once.
func (c *Console) setUpKeep(w http.ResponseWriter, r *http.Request) {
	n, err := c.setupSession(r)
	if err != nil {
		c.refuseLink(w, r, noSetup(err))
		return
	}
	kept, err := c.Enroll.KeepPasskey(r.Context(), "console link", string(n.User), r.PostFormValue("label"), r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
	switch {
	case errors.Is(err, mfa.ErrInvalid):
		c.offerPasskey(w, r, n.User, http.StatusUnprocessableEntity, c.whyNot(r, err))
	case err != nil:
		c.fail(w, r, nil, err)
	default:
		c.showPasskey(w, r, nil, http.StatusOK, setupPasskeyPath+"/prove", kept, "")
	}
}

// setUpProve takes the proof, and only then makes the user the owner. The token that was shown and
// not proven goes.
func (c *Console) setUpProve(w http.ResponseWriter, r *http.Request) {
	n, err := c.setupSession(r)
	if err != nil {
		c.refuseLink(w, r, noSetup(err))
		return
	}
	u, err := c.Admin.User(r.Context(), string(n.User))
	if err == nil {
		_, err = c.Enroll.ProvePasskey(r.Context(), "console link", string(n.User), r.PostFormValue("ticket"), secret.FromString(r.PostFormValue("passkey")))
		if errors.Is(err, mfa.ErrInvalid) {
			c.offerPasskey(w, r, n.User, http.StatusUnprocessableEntity, c.whyNot(r, err))
			return
		}
	}
	if err == nil {
		err = c.dropUnproven(r.Context(), n.User)
	}
	c.finishSetup(w, r, n.User, mfa.MethodPasskey, u, err)
}
