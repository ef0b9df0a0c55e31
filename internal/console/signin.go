package console

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/session"
	"countersign/internal/web"
)

// strangersRoutes are those that need no session.
func (c *Console) strangersRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /sign-in", c.signInPage)
	mux.HandleFunc("POST /sign-in", c.limited(c.signIn))
	mux.HandleFunc("POST /sign-out", c.signOut)
	mux.HandleFunc("POST /language", c.chooseLanguage)
	mux.HandleFunc("GET /confirm", c.confirmPage)
	mux.HandleFunc("POST /confirm", c.limited(c.confirm))
	mux.HandleFunc("POST /again", c.tryAgain)
	mux.HandleFunc("GET /setup", c.limited(c.setupPage))
	mux.HandleFunc("POST /setup", c.limited(c.setUp))
	mux.HandleFunc("POST /setup/again", c.limited(c.setUpAgain))
	mux.HandleFunc("POST /setup/code", c.limited(c.setUpCode))
	mux.HandleFunc("POST "+setupPasskeyPath, c.limited(c.setUpPasskey))
	mux.HandleFunc("POST "+setupPasskeyPath+"/keep", c.limited(c.setUpKeep))
	mux.HandleFunc("POST "+setupPasskeyPath+"/prove", c.limited(c.setUpProve))
}

// limited refuses an address that makes too many requests.
func (c *Console) limited(do http.HandlerFunc) http.HandlerFunc {
	return c.strangers.Guard(c.Now, do, func(w http.ResponseWriter, r *http.Request) { c.fail(w, r, nil, web.ErrTooMany) })
}

// question is what the sign-in pages show: the first asks for the password, the second, with
// a handle, for the code.
type question struct {
	Action string // where the form goes
	Login  string
	Fixed  bool   // the login is known and not asked for
	Handle string // of the challenge, for the browser to bring back
	Prompt string
	Back   string
	Kept   string // the form that is carried out after the proof

	Passkey   string // what the browser needs to answer with one, JSON; "": it cannot
	Asked     bool   // it is what is asked for, before a code
	Auto      bool   // the browser begins by itself
	Others    bool   // a code is an answer too
	Alone     bool   // a passkey is enough, without a password
	NoPasskey *web.NoPasskey

	Await *web.AwaitForm // the answer is given on a device; nil: it is not
}

// Form is the form for an answer with a passkey.
func (q question) Form() web.PasskeyForm {
	f := web.PasskeyForm{Kind: "get", Action: q.Action, Options: q.Passkey, Auto: q.Auto,
		Hidden: map[string]string{"back": q.Back, "handle": q.Handle, "login": q.Login}}
	if q.Kept != "" {
		f.Hidden["kept"] = q.Kept
	}
	return f
}

// withPasskeys adds to a question what a page has to know about passkeys.
func (c *Console) withPasskeys(r *http.Request, q question) question {
	set := c.Admin.Settings.Settings()
	here, why := web.Passkeys(r, set)
	q.NoPasskey, q.Alone = why, here && set.PasskeyStandsAlone(application)
	return q
}

func (c *Console) signInPage(w http.ResponseWriter, r *http.Request) {
	back := web.LocalPath(r.URL.Query().Get("back"))
	if _, err := c.visitor(r); err == nil {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	c.show(w, r, http.StatusOK, "sign-in", view{Data: c.withPasskeys(r, question{Action: "/sign-in", Back: back})})
}

// signIn takes one step of signing in.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	q := question{Action: "/sign-in", Login: r.PostFormValue("login"), Back: web.LocalPath(r.PostFormValue("back"))}
	d, ok := c.ask(w, r, q)
	if !ok {
		return
	}
	_, err := c.Admin.AdministratorCaller(r.Context(), d.User, application)
	switch {
	case errors.Is(err, mfa.ErrForbidden):
		c.askAgain(w, r, q, http.StatusForbidden, c.say(r, "signin.norole"))
		return
	case err == nil:
		err = c.signedIn(w, r, d.User, d.Method)
	}
	if err != nil {
		c.fail(w, r, nil, err)
		return
	}
	http.Redirect(w, r, q.Back, http.StatusSeeOther)
}

// ask has the engine decide what the form holds. It returns the decision if that lets in who
// has proven both factors; otherwise it has answered with the next question or the refusal.
func (c *Console) ask(w http.ResponseWriter, r *http.Request, q question) (mfa.Decision, bool) {
	app, err := c.Admin.Page(r.Context(), application)
	if err != nil {
		c.fail(w, r, nil, err)
		return mfa.Decision{}, false
	}
	q = c.withPasskeys(r, q)
	req := web.Answered(r, web.Leg(r, app.ID, "console", q.Login, c.Admin.Settings.Settings()))
	ctx, done := web.Hold(r)
	defer done()
	d, err := c.Engine.Authenticate(ctx, req)
	if err != nil {
		c.fail(w, r, nil, errors.Join(mfa.ErrUnavailable, err))
		return mfa.Decision{}, false
	}
	if _, ok := web.Proven(d); ok {
		return d, true
	}
	if d.Verdict == mfa.Challenge {
		q.Handle, q.Prompt = base64.RawURLEncoding.EncodeToString(d.Handle), c.prompt(r, d.Message)
		q.Passkey, q.Asked, q.Others = string(d.Options), d.Method == mfa.MethodPasskey, d.Others || d.Method != mfa.MethodPasskey
		q.Auto = q.Asked
		if d.Awaits != nil {
			q.Await = &web.AwaitForm{Number: d.Awaits.Number, Call: d.Awaits.Method == mfa.MethodCall, Action: q.Action, Auto: req.Handle == nil || web.Looked(r),
				Hidden: map[string]string{"back": q.Back, "handle": q.Handle, "login": q.Login, "kept": q.Kept}}
		}
		said := ""
		switch {
		case web.Looked(r): // nobody has answered yet
		case req.Handle != nil && r.PostFormValue("passkey") != "":
			said, q.Auto = c.say(r, "passkey.bad"), false // once by itself is enough
		case req.Handle != nil:
			said, q.Auto = c.say(r, "signin.wrong"), false
		}
		c.askAgain(w, r, q, http.StatusOK, said)
		return mfa.Decision{}, false
	}
	said, status := c.say(r, "signin.refused", d.Attempt), http.StatusUnauthorized
	switch {
	case d.Reason == mfa.NoRole: // both factors were right
		said, status = c.say(r, "signin.norole"), http.StatusForbidden
	case d.Verdict == mfa.Accept:
		said = c.say(r, "signin.onefactor", d.Attempt)
	case d.Reason == mfa.PromptTooSoon: // this and the next come behind a right password
		said = c.say(r, "signin.soon", d.Attempt)
	case web.AskedTooOften(d.Reason):
		said = c.say(r, "signin.often", d.Attempt)
	}
	q.Handle = ""
	c.askAgain(w, r, q, status, said)
	return mfa.Decision{}, false
}

// askAgain shows a question with what there is to say about the answer before.
func (c *Console) askAgain(w http.ResponseWriter, r *http.Request, q question, status int, said string) {
	c.show(w, r, status, "sign-in", view{Data: q, Error: said})
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request) {
	if n, err := c.Sessions.Check(web.Cookie(r, c.cookieName())); err == nil {
		if err := c.Sessions.End(r.Context(), n.ID); err != nil {
			c.fail(w, r, nil, err)
			return
		}
	}
	web.SetCookie(w, c.cookieName(), secret.Text{})
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
}

// confirmPage asks somebody who is signed in for both factors once more.
func (c *Console) confirmPage(w http.ResponseWriter, r *http.Request) {
	v, err := c.visitor(r)
	if err != nil {
		c.sendToSignIn(w, r)
		return
	}
	back := web.LocalPath(r.URL.Query().Get("back"))
	c.show(w, r, http.StatusOK, "sign-in", view{Who: v, Title: "title.confirm",
		Data: c.withPasskeys(r, question{Action: "/confirm", Login: v.Person.Login, Fixed: true, Back: back, Kept: r.URL.Query().Get("kept")})})
}

func (c *Console) confirm(w http.ResponseWriter, r *http.Request) {
	v, err := c.visitor(r)
	if err != nil {
		c.sendToSignIn(w, r)
		return
	}
	q := question{Action: "/confirm", Login: v.Person.Login, Fixed: true, Back: web.LocalPath(r.PostFormValue("back")), Kept: r.PostFormValue("kept")}
	d, ok := c.ask(w, r, q)
	switch {
	case !ok:
		return
	case d.User != v.User: // the login is the session's own, so this is a mistake of ours
		c.fail(w, r, v, mfa.ErrForbidden)
		return
	}
	token, renewed, err := c.Sessions.Renew(r.Context(), v.Session, d.Method)
	if err != nil {
		c.fail(w, r, v, err)
		return
	}
	web.SetCookie(w, c.cookieName(), token)
	if q.Kept == "" {
		http.Redirect(w, r, q.Back, http.StatusSeeOther)
		return
	}
	k, ok := c.forms.Take(v.author(), q.Kept, c.Now())
	if !ok {
		c.fail(w, r, v, errGone)
		return
	}
	if k.URL.Path == backupPath { // a file would come, and this page stay: its own page is better to stay on
		http.Redirect(w, r, "/backup?"+url.Values{"kept": {c.forms.Put(authorIn(renewed), k, c.Now())}}.Encode(), http.StatusSeeOther)
		return
	}
	c.carryOut(w, r, k, token)
}

// setupSession returns the session that only sets up, or session.ErrNone.
func (c *Console) setupSession(r *http.Request) (mfa.Session, error) {
	n, err := c.session(r)
	if err == nil && !n.Setup {
		err = session.ErrNone
	}
	if err != nil {
		return n, err
	}
	if err := c.Admin.SettingUp(r.Context(), n.User); errors.Is(err, admin.ErrSetup) {
		return n, c.end(r, n) // by a link in whose place there is another
	} else if err != nil {
		return n, err
	}
	c.Sessions.Touch(r.Context(), n)
	return n, nil
}

// done is where a form leads that did what it should: a page, with a word about it.
func done(w http.ResponseWriter, r *http.Request, to, key string) {
	http.Redirect(w, r, to+"?"+url.Values{"done": {key}}.Encode(), http.StatusSeeOther)
}
