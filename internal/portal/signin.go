package portal

import (
	"encoding/base64"
	"errors"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/web"
)

// strangersRoutes are those that need no session.
func (p *Portal) strangersRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+Base+"/sign-in", p.signInPage)
	mux.HandleFunc("POST "+Base+"/sign-in", p.limited(p.signIn))
	mux.HandleFunc("GET "+Base+"/welcome", p.welcomePage)
	mux.HandleFunc("POST "+Base+"/welcome", p.limited(p.welcome))
	mux.HandleFunc("GET "+Base+"/confirm", p.confirmPage)
	mux.HandleFunc("POST "+Base+"/confirm", p.limited(p.confirm))
	mux.HandleFunc("POST "+Base+"/sign-out", p.signOut)
	mux.HandleFunc("POST "+Base+"/language", p.chooseLanguage)
}

// limited refuses an address that makes too many requests.
func (p *Portal) limited(do http.HandlerFunc) http.HandlerFunc {
	return p.strangers.Guard(p.Now, do, func(w http.ResponseWriter, r *http.Request) { p.fail(w, r, nil, web.ErrTooMany) })
}

// question is what the sign-in pages show: the first asks for the password, the second, with
// a handle, for the code.
type question struct {
	Action string // where the form goes
	Login  string
	Fixed  bool   // the login is known and not asked for
	Handle string // of the challenge, for the browser to bring back
	Prompt string
	Code   string // welcome: what the link carries
	Back   string
	Kept   string // names a form that is carried out after the proof; "": none

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
	return web.PasskeyForm{Kind: "get", Action: q.Action, Options: q.Passkey, Auto: q.Auto, Hidden: q.hidden()}
}

// hidden is what comes back with an answer.
func (q question) hidden() map[string]string {
	all := map[string]string{"back": q.Back, "handle": q.Handle, "login": q.Login}
	if q.Kept != "" {
		all["kept"] = q.Kept
	}
	return all
}

// withPasskeys adds to a question what a page has to know about passkeys.
func (p *Portal) withPasskeys(r *http.Request, q question) question {
	set := p.Admin.Settings.Settings()
	here, why := web.Passkeys(r, set)
	q.NoPasskey, q.Alone = why, here && set.PasskeyStandsAlone(application) && q.Action != welcomePath
	return q
}

// leg is one leg of a sign-in at the application of that name, with what all of them have.
func (p *Portal) leg(r *http.Request, name, login string) (mfa.Request, error) {
	app, err := p.Admin.Page(r.Context(), name)
	return web.Leg(r, app.ID, "portal", login, p.Admin.Settings.Settings()), err
}

// ask has the engine decide what the form holds. It returns the decision if that lets in who has
// proven both factors; otherwise it has answered with the next question or the refusal.
func (p *Portal) ask(w http.ResponseWriter, r *http.Request, v *visitor, q question) (mfa.Decision, bool) {
	leg, err := p.leg(r, application, q.Login)
	if err != nil {
		p.fail(w, r, v, err)
		return mfa.Decision{}, false
	}
	leg = web.Answered(r, leg)
	ctx, done := web.Hold(r)
	defer done()
	d, err := p.Engine.Authenticate(ctx, leg)
	if err != nil {
		p.fail(w, r, v, errors.Join(mfa.ErrUnavailable, err))
		return mfa.Decision{}, false
	}
	if _, ok := web.Proven(d); ok {
		return d, true
	}
	p.next(w, r, v, q, d, leg.Handle != nil)
	return mfa.Decision{}, false
}

// next shows what comes after a decision that lets nobody in: the question for the code, again
// if one was wrong, or the refusal.
func (p *Portal) next(w http.ResponseWriter, r *http.Request, v *visitor, q question, d mfa.Decision, wrong bool) {
	page := view{Who: v, Title: "title.sign-in"}
	q = p.withPasskeys(r, q)
	if q.Fixed {
		page.Title = "title.confirm"
	}
	status := http.StatusOK
	switch d.Verdict {
	case mfa.Challenge:
		q.Handle, q.Prompt = base64.RawURLEncoding.EncodeToString(d.Handle), p.editions.Prompt(r, d.Message)
		q.Passkey, q.Asked, q.Others = string(d.Options), d.Method == mfa.MethodPasskey, d.Others || d.Method != mfa.MethodPasskey
		q.Auto = q.Asked
		if d.Awaits != nil {
			q.Await = &web.AwaitForm{Number: d.Awaits.Number, Call: d.Awaits.Method == mfa.MethodCall, Action: q.Action, Auto: !wrong || web.Looked(r),
				Hidden: q.hidden()}
		}
		switch {
		case web.Looked(r): // nobody has answered yet
		case wrong && r.PostFormValue("passkey") != "":
			page.Error, q.Auto = p.say(r, "passkey.bad"), false // once by itself is enough
		case wrong:
			page.Error, q.Auto = p.say(r, "signin.wrong"), false
		}
	case mfa.Accept:
		status, page.Error = http.StatusUnauthorized, p.say(r, "signin.onefactor", d.Attempt)
	default:
		status, page.Error = http.StatusUnauthorized, p.say(r, "signin.refused", d.Attempt)
		switch { // both come behind a right password
		case d.Reason == mfa.PromptTooSoon:
			page.Error = p.say(r, "signin.soon", d.Attempt)
		case web.AskedTooOften(d.Reason):
			page.Error = p.say(r, "signin.often", d.Attempt)
		}
	}
	page.Data = q
	p.show(w, r, status, "sign-in", page)
}

func (p *Portal) signInPage(w http.ResponseWriter, r *http.Request) {
	back := localPath(r.URL.Query().Get("back"))
	if _, err := p.visitor(r); err == nil {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	p.show(w, r, http.StatusOK, "sign-in", view{Data: p.withPasskeys(r, question{Action: Base + "/sign-in", Back: back})})
}

// signIn takes one step of signing in.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request) {
	q := question{Action: Base + "/sign-in", Login: r.PostFormValue("login"), Back: localPath(r.PostFormValue("back"))}
	if d, ok := p.ask(w, r, nil, q); ok {
		p.enter(w, r, d, q.Back)
	}
}

// enter signs in whom a decision lets in, and leads to a page.
func (p *Portal) enter(w http.ResponseWriter, r *http.Request, d mfa.Decision, to string) {
	if err := p.signedIn(w, r, d.User, d.Method); err != nil {
		p.fail(w, r, nil, err)
		return
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func (p *Portal) signOut(w http.ResponseWriter, r *http.Request) {
	if n, err := p.Sessions.Check(web.Cookie(r, cookieName)); err == nil {
		if err := p.Sessions.End(r.Context(), n.ID); err != nil {
			p.fail(w, r, nil, err)
			return
		}
	}
	web.SetCookie(w, cookieName, secret.Text{})
	http.Redirect(w, r, Base+"/sign-in", http.StatusSeeOther)
}

// confirmPage asks somebody who is signed in for both factors once more.
func (p *Portal) confirmPage(w http.ResponseWriter, r *http.Request) {
	v, err := p.visitor(r)
	if err != nil {
		p.sendToSignIn(w, r)
		return
	}
	p.show(w, r, http.StatusOK, "sign-in", view{Who: v, Title: "title.confirm",
		Data: p.withPasskeys(r, question{Action: Base + "/confirm", Login: v.Person.Login, Fixed: true, Back: localPath(r.URL.Query().Get("back")), Kept: r.URL.Query().Get("kept")})})
}

func (p *Portal) confirm(w http.ResponseWriter, r *http.Request) {
	v, err := p.visitor(r)
	if err != nil {
		p.sendToSignIn(w, r)
		return
	}
	q := question{Action: Base + "/confirm", Login: v.Person.Login, Fixed: true, Back: localPath(r.PostFormValue("back")), Kept: r.PostFormValue("kept")}
	d, ok := p.ask(w, r, v, q)
	switch {
	case !ok:
		return
	case d.User != v.User: // the login is the session's own, so this is a mistake of ours
		p.fail(w, r, v, mfa.ErrForbidden)
		return
	}
	token, _, err := p.Sessions.Renew(r.Context(), v.Session, d.Method)
	if err != nil {
		p.fail(w, r, v, err)
		return
	}
	web.SetCookie(w, cookieName, token)
	if q.Kept == "" {
		http.Redirect(w, r, q.Back, http.StatusSeeOther)
		return
	}
	k, ok := p.forms.Take(v.author(), q.Kept, p.Now())
	if !ok {
		p.fail(w, r, v, errGone)
		return
	}
	p.mux.ServeHTTP(w, k.Request(r, cookieName, token))
}
