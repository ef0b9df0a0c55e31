// Package portal is where users take care of themselves: second factors, recovery codes,
// password, recent sign-ins. They come in through the engine, with two factors, or once by an
// invitation. It decides nothing: what users may do with their own account say packages admin
// and enroll.
package portal

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/portal/authenticator"
	"countersign/internal/session"
	"countersign/internal/web"
)

// Base is the path that all pages lie under.
const Base = "/portal"

// home is the page that everything leads back to.
const home = Base + "/"

// Portal serves the pages. All exported fields must be set; call New.
type Portal struct {
	Server    string // this server's name
	GroupName string
	Admin     *admin.Service
	Enroll    *enroll.Service
	Engine    mfa.Authenticator
	Sessions  Sessions
	Seals     web.Seals // of forms that wait for a proof
	Now       Clock
	Log       *slog.Logger

	editions  web.Editions
	assets    web.Assets
	strangers *web.Limits
	forms     *web.Forms
	mux       *http.ServeMux
	handler   http.Handler
}

// New completes p and returns it.
func New(p Portal) (*Portal, error) {
	var err error
	if p.assets, err = web.LoadAssets(Base + "/assets/"); err != nil {
		return nil, err
	}
	if p.editions, err = web.LoadEditions(pageFiles, textFiles, p.assets, nil); err != nil {
		return nil, err
	}
	p.strangers = web.Strangers(p.Admin.Settings.Settings)
	app, err := authenticator.New(p.GroupName)
	if err != nil {
		return nil, err
	}
	p.forms = &web.Forms{Seals: p.Seals, Drawer: &web.Drawer{}}
	p.mux = http.NewServeMux()
	d, mux := &p, p.mux
	app.Routes(mux)
	mux.Handle("GET "+Base+"/assets/{file}", d.assets)
	mux.Handle("GET "+Base+"/{$}", d.visited(route{do: homePage}))
	mux.Handle("GET "+Base, http.RedirectHandler(home, http.StatusSeeOther))
	d.strangersRoutes(mux)
	for pattern, one := range routes {
		mux.HandleFunc(pattern, d.visited(one))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.fail(w, r, nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, mfa.ErrNotFound))
	})
	d.handler = web.Guard(web.Whole(mux, func(w http.ResponseWriter, r *http.Request, err error) {
		v, _ := d.visitor(r) // who is signed in keeps the way to the other pages
		d.fail(w, r, v, err)
	}), d.Log)
	return d, nil
}

// ServeHTTP implements http.Handler.
func (p *Portal) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.handler.ServeHTTP(w, r) }

// route is one page or act of somebody who is signed in, on nobody but themselves.
type route struct {
	fresh  bool // both factors must have been proven a moment ago
	guards bool // what guards the whole account is changed: see admin.Own.Guards
	do     func(p *Portal, w http.ResponseWriter, r *http.Request, v *visitor) error
}

// routes are all but the start page. A form is sent to the page that it is on, or to a verb
// behind that.
var routes = map[string]route{
	"GET /portal/token":                     {true, false, tokenPage},
	"POST /portal/token":                    {true, false, beginToken},
	"POST /portal/token/prove":              {false, false, proveToken}, // with a code that only the new key gives
	"GET /portal/passkey":                   {true, false, passkeyPage},
	"POST /portal/passkey":                  {true, false, keepPasskey},
	"POST /portal/passkey/prove":            {false, false, provePasskey}, // by the passkey itself
	"GET /portal/device":                    {true, false, devicePage},
	"POST /portal/device":                   {true, false, beginDevice},
	"GET /portal/device/{id}":               {false, false, deviceState},
	"POST /portal/device/{id}/try":          {false, false, tryDevice}, // lets nobody in
	"GET /portal/device/{id}/tried/{trial}": {false, false, tried},
	"GET /portal/number":                    {true, false, numberPage},
	"POST /portal/number":                   {true, false, beginNumber},
	"POST /portal/number/again":             {false, false, numberAgain}, // within the limits for codes
	"POST /portal/number/prove":             {false, false, proveNumber}, // with a code that only the number got
	"POST /portal/number/{id}/try":          {false, false, tryNumber},   // lets nobody in
	"GET /portal/number/{id}/tried/{trial}": {false, false, numberTried},
	"GET /portal/factor/{id}/number":        {true, false, otherNumberPage},
	"GET /portal/recovery":                  {true, true, recoveryPage},
	"POST /portal/recovery":                 {true, true, makeRecovery},
	"GET /portal/factor/{id}":               {true, false, factorPage},
	"POST /portal/factor/{id}/rename":       {true, false, renameFactor},
	"POST /portal/factor/{id}/remove":       {true, false, removeFactor},
	"GET /portal/password":                  {true, true, passwordPage},
	"POST /portal/password":                 {true, true, changePassword},
	"GET /portal/pin":                       {true, true, pinPage},
	"POST /portal/pin":                      {true, true, changePIN},
	"POST /portal/preferred":                {false, false, prefer},
	"GET /portal/phone":                     {true, true, phonePage},
	"POST /portal/phone":                    {true, true, changePhone},
	"GET /portal/sign-ins":                  {false, false, signInsPage},
	"GET /portal/sign-ins/{id}":             {false, false, disownPage},
	"POST /portal/sign-ins/{id}/not-me":     {false, false, disown}, // whoever is in a hurry is right
}

// visited serves a route to somebody who is signed in.
func (p *Portal) visited(one route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := p.visitor(r)
		switch {
		case errors.Is(err, session.ErrNone):
			p.sendToSignIn(w, r)
			return
		case err != nil:
			p.fail(w, r, nil, err)
			return
		case one.fresh && !v.Fresh:
			http.Redirect(w, r, p.confirmation(r, v), http.StatusSeeOther)
			return
		}
		if one.guards {
			err = v.account.Guards(r.Context())
		}
		if err == nil {
			err = one.do(p, w, r, v)
		}
		switch {
		case errors.Is(err, mfa.ErrWeakProof):
			p.weak(w, r, v)
		case err != nil:
			p.fail(w, r, v, err)
		}
	}
}

// confirmation is where both factors are proven once more. It leads back to the page of a request,
// or carries out the form that came with it.
func (p *Portal) confirmation(r *http.Request, v *visitor) string {
	to := r.URL.EscapedPath()
	if base := path.Base(to); r.Method != http.MethodGet && (base == "rename" || base == "remove") {
		to = path.Dir(to)
	}
	q := url.Values{"back": {to}}
	if name := p.keep(r, v); name != "" {
		q.Set("kept", name)
	}
	return Base + "/confirm?" + q.Encode()
}

// weak says that what was proven so far is not enough for what a request is about, and where more
// is proven.
func (p *Portal) weak(w http.ResponseWriter, r *http.Request, v *visitor) {
	to := p.confirmation(r, v)
	p.show(w, r, http.StatusForbidden, "weak", view{Who: v, Data: struct {
		Confirm string
		Kept    bool
	}{to, r.Method == http.MethodPost}})
}

// fail shows a page that says, in words for somebody who runs no servers, that something was
// not done. What exactly is in the log.
func (p *Portal) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	status := web.StatusOf(err)
	if status >= http.StatusInternalServerError {
		p.Log.Error("portal", "path", r.URL.Path, "error", err)
	}
	p.show(w, r, status, "error", view{Who: v, Title: "title.error", Data: struct {
		Key  string
		Hint string // what to do
		Sent bool   // something that was to be done
	}{fmt.Sprintf("error.%d", status), p.hint(r, err), r.Method != http.MethodGet && r.Method != http.MethodHead}})
}

// hint is what whoever reads the page of an error can do; "": the error says it.
func (p *Portal) hint(r *http.Request, err error) string {
	if errors.Is(err, web.ErrTooMany) {
		return p.say(r, "error.hint.often")
	}
	return p.edition(r).Texts.Known(web.HintOf(err), "")
}

// done is where a form leads that did what it should, with a word about it.
func done(w http.ResponseWriter, r *http.Request, to, key string) {
	http.Redirect(w, r, to+"?"+url.Values{"done": {key}}.Encode(), http.StatusSeeOther)
}
