package portal

import (
	"embed"
	"fmt"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed page/*.html
var pageFiles embed.FS

//go:embed text/*.txt
var textFiles embed.FS

func (p *Portal) edition(r *http.Request) web.Edition { return p.editions.Of(r) }

// say returns a text in the language of a request.
func (p *Portal) say(r *http.Request, key string, values ...any) string {
	return p.edition(r).Texts.Say(key, values...)
}

// view is what every page gets. Data is the page's own.
type view struct {
	Title     string // key of a text
	Group     string
	Who       *visitor // nil: nobody is signed in
	Away      bool     // no master answers: nothing can be changed
	Done      string   // what the request before this one did
	Error     string   // why it did not
	Data      any
	Languages []web.Offer // that the page can be read in
	Here      string      // this page, to come back to
}

// show writes a page.
func (p *Portal) show(w http.ResponseWriter, r *http.Request, status int, name string, v view) {
	v.Group, v.Languages, v.Here = p.GroupName, web.Languages(r), localPath(web.Here(r))
	if v.Who != nil {
		st, err := p.Admin.Status(r.Context())
		v.Away = err != nil || st.Degraded
	}
	e := p.edition(r)
	if v.Error == "" {
		v.Done = e.Done(r)
	}
	if v.Title == "" {
		v.Title = "title." + name
	}
	if err := e.Write(w, status, name, "layout.html", v); err != nil {
		p.Log.Error("a page could not be made", "page", name, "path", r.URL.Path, "error", err)
		http.Error(w, p.say(r, "error.page"), http.StatusInternalServerError)
	}
}

// chooseLanguage keeps the language that somebody chose, with their account too if they are
// signed in.
func (p *Portal) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("language")
	if !mfa.IsLanguage(id) {
		p.fail(w, r, nil, fmt.Errorf("language %.20q: %w", id, mfa.ErrInvalid))
		return
	}
	if v, err := p.visitor(r); err == nil && v.Person.Language != id {
		if err := v.account.SetLanguage(r.Context(), id); err != nil && web.StatusOf(err) != http.StatusServiceUnavailable { // then the browser keeps it alone
			p.fail(w, r, v, err)
			return
		}
	}
	web.KeepLanguage(w, id)
	http.Redirect(w, r, localPath(r.PostFormValue("back")), http.StatusSeeOther)
}
