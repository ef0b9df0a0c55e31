package portal

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed page/*.html
var pageFiles embed.FS

//go:embed text/*.txt
var textFiles embed.FS

// edition is the pages in one language.
type edition struct {
	texts web.Texts
	pages map[string]*template.Template
}

// loadEditions makes the pages in every language.
func loadEditions(a web.Assets) (map[string]edition, error) {
	all := map[string]edition{}
	for _, l := range mfa.Languages {
		t, err := web.LoadTexts(textFiles, l.ID)
		if err != nil {
			return nil, err
		}
		pages, err := loadPages(t, a)
		if err != nil {
			return nil, err
		}
		all[l.ID] = edition{t, pages}
	}
	return all, nil
}

// loadPages parses layout.html, which every page fills in, with each other file.
func loadPages(t web.Texts, a web.Assets) (map[string]*template.Template, error) {
	base, err := template.New("layout.html").Funcs(template.FuncMap{
		"t": t.Say, "n": t.Count, "known": t.Known,
		"asset": func(name string) string { return a.Names[name] },
		"iso":   func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"utc":   t.UTC,
		"deref": func(n *int) int { return *n },
	}).ParseFS(pageFiles, "page/layout.html")
	if err != nil {
		return nil, err
	}
	if base, err = base.ParseFS(web.Parts, "part/*.html"); err != nil {
		return nil, err
	}
	entries, err := pageFiles.ReadDir("page")
	if err != nil {
		return nil, err
	}
	all := map[string]*template.Template{}
	for _, e := range entries {
		one, err := template.Must(base.Clone()).ParseFS(pageFiles, "page/"+e.Name())
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(e.Name(), ".html")] = one
	}
	return all, nil
}

func (p *Portal) edition(r *http.Request) edition { return p.editions[web.LanguageOf(r)] }

// say returns a text in the language of a request.
func (p *Portal) say(r *http.Request, key string, values ...any) string {
	return p.edition(r).texts.Say(key, values...)
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
	texts := p.edition(r).texts
	if key := r.URL.Query().Get("done"); strings.HasPrefix(key, "done.") && texts[key] != "" && v.Error == "" && r.Method == http.MethodGet {
		v.Done = key
	}
	if v.Title == "" {
		v.Title = "title." + name
	}
	var b bytes.Buffer
	if err := p.edition(r).pages[name].ExecuteTemplate(&b, "layout.html", v); err != nil {
		p.Log.Error("a page could not be made", "page", name, "path", r.URL.Path, "error", err)
		http.Error(w, p.say(r, "error.page"), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", texts.Say("language"))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
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
