package console

import (
	"context"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/qr"
	"countersign/internal/secret"
	"countersign/internal/session"
	"countersign/internal/web"
)

// setupForm is what the first page of setting up shows.
type setupForm struct {
	Link  string
	Login string
	Name  string
}

// token is a new token as it is shown once: to scan, and to type.
type token struct {
	Credential string
	Code       template.HTML // QR code, SVG
	Secret     string
	Action     string // where the code that proves it goes
	Again      string // where a new one is asked for
	Passkey    string // where a passkey is made instead; "": not here
}

// setupToken is the token of the first administrator on its page.
func (c *Console) setupToken(r *http.Request, t token) token {
	t.Action, t.Again = "/setup/code", "/setup/again"
	if here, _ := web.Passkeys(r, c.Admin.Settings.Settings()); here && c.Enroll.Passkeys != nil {
		t.Passkey = setupPasskeyPath
	}
	return t
}

func (c *Console) setupPage(w http.ResponseWriter, r *http.Request) {
	link := r.URL.Query().Get("link")
	if _, err := c.setupSession(r); err == nil {
		c.show(w, r, http.StatusOK, "setup-code", view{Title: "title.setup", Data: c.setupToken(r, token{})})
		return
	}
	if err := c.Admin.CheckSetup(r.Context(), secret.FromString(link)); err != nil {
		c.refuseLink(w, r, err)
		return
	}
	c.show(w, r, http.StatusOK, "setup", view{Data: setupForm{Link: link}})
}

// refuseLink says that a link is not good, and what to do.
func (c *Console) refuseLink(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, admin.ErrSetup) {
		c.fail(w, r, nil, err)
		return
	}
	c.show(w, r, http.StatusForbidden, "setup", view{Error: c.say(r, "setup.bad")})
}

// noSetup is the error of who is setting nothing up.
func noSetup(err error) error {
	if errors.Is(err, session.ErrNone) {
		return admin.ErrSetup
	}
	return err
}

// setUp makes the account of the first administrator and shows the token to enrol.
func (c *Console) setUp(w http.ResponseWriter, r *http.Request) {
	f := setupForm{Link: r.PostFormValue("link"), Login: strings.TrimSpace(r.PostFormValue("login")), Name: strings.TrimSpace(r.PostFormValue("name"))}
	password := secret.NewWire(r.PostFormValue("password"))
	if !password.Equal(secret.FromString(r.PostFormValue("again"))) {
		c.show(w, r, http.StatusUnprocessableEntity, "setup", view{Data: f, Error: c.say(r, "setup.differ")})
		return
	}
	u, err := c.Admin.BeginSetup(r.Context(), secret.FromString(f.Link), admin.UserChange{Login: &f.Login, Name: &f.Name, Password: password})
	switch {
	case errors.Is(err, admin.ErrSetup):
		c.refuseLink(w, r, err)
		return
	case errors.Is(err, mfa.ErrInvalid), errors.Is(err, mfa.ErrExists):
		c.show(w, r, web.StatusOf(err), "setup", view{Data: f, Error: err.Error()})
		return
	case err != nil:
		c.fail(w, r, nil, err)
		return
	}
	cookie, _, err := c.Sessions.Begin(r.Context(), mfa.Session{User: u.ID, Application: application, Setup: true})
	if err != nil {
		c.fail(w, r, nil, err)
		return
	}
	web.SetCookie(w, c.cookieName(), cookie)
	c.offerToken(w, r, u.ID)
}

// setUpAgain shows another token: the one before was not scanned.
func (c *Console) setUpAgain(w http.ResponseWriter, r *http.Request) {
	n, err := c.setupSession(r)
	if err != nil {
		c.refuseLink(w, r, noSetup(err))
		return
	}
	c.offerToken(w, r, n.User)
}

// offerToken makes a token for the user, in place of any that was never proven.
func (c *Console) offerToken(w http.ResponseWriter, r *http.Request, user mfa.UserID) {
	if err := c.dropUnproven(r.Context(), user); err != nil {
		c.fail(w, r, nil, err)
		return
	}
	made, err := c.Enroll.Add(r.Context(), "console link", string(user), enroll.Request{Method: mfa.MethodTOTP})
	if err != nil {
		c.fail(w, r, nil, err)
		return
	}
	t, err := shownToken(made, "", "")
	if err != nil {
		c.fail(w, r, nil, err)
		return
	}
	c.show(w, r, http.StatusOK, "setup-code", view{Title: "title.setup", Data: c.setupToken(r, t)})
}

// shownToken draws what was made.
func shownToken(made enroll.Created, action, again string) (token, error) {
	var svg strings.Builder
	if made.OTPAuthURL == nil || made.Secret == nil {
		return token{}, errors.New("a token was made without its secret")
	}
	if err := qr.SVG(&svg, string(made.OTPAuthURL.Expose())); err != nil {
		return token{}, err
	}
	return token{Credential: string(made.ID), Code: template.HTML(svg.String()), //nolint:gosec // drawn here: numbers and fixed text
		Secret: grouped(string(made.Secret.Expose())), Action: action, Again: again}, nil
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

// dropUnproven removes the tokens that a user was shown and never proved.
func (c *Console) dropUnproven(ctx context.Context, user mfa.UserID) error {
	all, err := c.Enroll.List(ctx, string(user))
	if err != nil {
		return err
	}
	for _, one := range all.Credentials {
		if one.Method == mfa.MethodTOTP && one.Confirmed == nil {
			if err := c.Enroll.Remove(ctx, "console link", string(user), string(one.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// setUpCode takes the code that proves the token, and only then makes the user the owner.
func (c *Console) setUpCode(w http.ResponseWriter, r *http.Request) {
	n, err := c.setupSession(r)
	if errors.Is(err, session.ErrNone) {
		c.refuseLink(w, r, admin.ErrSetup)
		return
	}
	var u admin.User
	if err == nil {
		u, err = c.Admin.User(r.Context(), string(n.User))
	}
	if err == nil {
		code := enroll.Codes{Codes: []secret.Wire{*secret.NewWire(strings.TrimSpace(r.PostFormValue("code")))}}
		_, err = c.Enroll.Confirm(r.Context(), "console link", string(n.User), string(mfa.MethodTOTP), code)
		if errors.Is(err, mfa.ErrInvalid) {
			c.show(w, r, http.StatusUnprocessableEntity, "setup-code", view{Title: "title.setup", Error: c.orLocked(r, string(n.User), "enrol.wrong", "setup.locked"),
				Data: c.setupToken(r, token{})})
			return
		}
	}
	c.finishSetup(w, r, n.User, mfa.MethodTOTP, u, err)
}

// finishSetup makes the user, who has proven a factor of method m, the owner and signs them in, unless err says that something before
// went wrong.
func (c *Console) finishSetup(w http.ResponseWriter, r *http.Request, user mfa.UserID, m mfa.MethodID, u admin.User, err error) {
	if err == nil {
		err = c.Admin.FinishSetup(r.Context(), u)
	}
	if err == nil {
		err = c.signedIn(w, r, user, m)
	}
	switch {
	case errors.Is(err, admin.ErrSetup):
		c.refuseLink(w, r, err)
	case err != nil:
		c.fail(w, r, nil, err)
	default:
		http.Redirect(w, r, "/", http.StatusSeeOther)
	}
}
