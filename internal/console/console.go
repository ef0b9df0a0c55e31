// Package console is the administrators' part of the web, rendered on the server: signing in,
// the state of the group, users, applications, what happened. It decides nothing: sign-ins go
// to the engine, acts to packages admin and enroll, with the caller and what they may.
package console

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/session"
	"countersign/internal/web"
)

// Console serves the pages. All exported fields must be set, but for Coordinator; call New.
type Console struct {
	Server    string // this server's name
	GroupName string
	Version   string
	Admin     *admin.Service
	Enroll    *enroll.Service
	Engine    mfa.Authenticator
	Sessions  Sessions
	Group     Group
	// Coordinator is the independent coordinator whose management portal this is; nil: it is
	// the console of a server.
	Coordinator Coordinator
	Seals       web.Seals // of the group, for forms that lie in a browser
	Now         Clock
	Log         *slog.Logger

	editions  web.Editions
	assets    web.Assets
	strangers *web.Limits
	kept      *web.Drawer // lists and files that were looked at
	forms     *web.Forms
	mux       *http.ServeMux
	handler   http.Handler
}

// New completes c and returns it.
func New(c Console) (*Console, error) {
	var err error
	if c.assets, err = web.LoadAssets("/assets/"); err != nil {
		return nil, err
	}
	if c.editions, err = web.LoadEditions(pageFiles, textFiles, c.assets, functions); err != nil {
		return nil, err
	}
	c.strangers, c.kept, c.mux = web.Strangers(c.settings), &web.Drawer{}, http.NewServeMux()
	c.forms = &web.Forms{Seals: c.Seals, Drawer: c.kept}
	d, mux := &c, c.mux
	mux.Handle("GET /assets/{file}", d.assets)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, d.assets.Names["icon.svg"], http.StatusFound)
	})
	d.strangersRoutes(mux)
	for _, one := range d.routes() {
		if one.needs == 0 {
			return nil, fmt.Errorf("console: %s declares no permission, so nobody may use it", one.pattern)
		}
		mux.HandleFunc(one.pattern, d.visited(one))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		v, _ := d.visitor(r) // who is signed in keeps the way to every other page
		d.fail(w, r, v, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, mfa.ErrNotFound))
	})
	d.handler = web.Guard(web.Whole(mux, d.unread, importPath), d.Log, importPath)
	return d, nil
}

// settings are those of the group.
func (c *Console) settings() policy.Settings { return c.Admin.Settings.Settings() }

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.handler.ServeHTTP(w, r) }

// route is one page, or one act that a form of a page asks for.
type route struct {
	pattern string
	needs   mfa.Permissions // one of these at least; what else it takes, the caller's desk asks
	danger  bool            // both factors must have been proven a moment ago
	do      func(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error
}

// visited serves a route to those who may use it. What is dangerous sends to a proof first.
func (c *Console) visited(one route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		v, err := c.visitor(r)
		switch {
		case errors.Is(err, session.ErrNone):
			c.sendToSignIn(w, r)
			return
		case err != nil:
			c.fail(w, r, nil, err)
			return
		case v.Caller.Permissions&one.needs == 0:
			c.fail(w, r, v, v.Caller.Lacks(one.needs.List()[0]))
			return
		case one.danger && !v.Fresh:
			c.sendToProof(w, r, v)
			return
		}
		if err := one.do(c, w, r, v); err != nil {
			c.fail(w, r, v, err)
		}
	}
}

// unread refuses a form that could not be read. Who is signed in keeps the way to the other pages.
func (c *Console) unread(w http.ResponseWriter, r *http.Request, err error) {
	v, _ := c.visitor(r)
	c.fail(w, r, v, err)
}

// fail shows a page that says what is wrong.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, v *visitor, err error) {
	status := web.StatusOf(err)
	if status == http.StatusInternalServerError {
		c.Log.Error("console", "path", r.URL.Path, "error", err)
	}
	if r.Header.Get(partHeader) != "" { // a part of a page: the script shows that it is out of date
		w.WriteHeader(status)
		return
	}
	kept := ""
	if v != nil && status == http.StatusServiceUnavailable { // what was sent may be possible later
		kept = c.keep(r, v)
	}
	c.show(w, r, status, "error", view{Who: v, Title: "title.error", Error: err.Error(), Data: struct {
		Status int
		Key    string
		Hint   string // what to do, where the error does not say it
		Kept   string
		Sent   bool // something that was to be done
	}{status, fmt.Sprintf("error.%d", status), c.hint(r, err), kept, wantsChange(r) && !saysNothingChanged(err)}})
}

// hint is what whoever reads the page of an error can do; "": the error says it.
func (c *Console) hint(r *http.Request, err error) string {
	if errors.Is(err, web.ErrTooMany) {
		return c.say(r, "error.hint.often")
	}
	return c.edition(r).Texts.Known(web.HintOf(err), "")
}

// wantsChange reports whether a request wanted something done.
func wantsChange(r *http.Request) bool {
	return r.Method != http.MethodGet && r.Method != http.MethodHead
}
