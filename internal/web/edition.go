package web

import (
	"bytes"
	"html/template"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Edition is a set of pages in one language.
type Edition struct {
	Texts   Texts
	Phrases Phrases
	pages   map[string]*template.Template
}

// Editions are a set of pages in every language.
type Editions map[string]Edition

// LoadEditions makes the pages page/*.html, with the texts of text/LANGUAGE.txt. layout.html is
// what every page fills in, part-*.html is what pages share, beside our own Parts. functions are those that pages
// call besides our own; nil: none.
func LoadEditions(pages, texts fs.FS, a Assets, functions func(Texts) template.FuncMap) (Editions, error) {
	all := Editions{}
	for _, l := range mfa.Languages {
		t, err := LoadTexts(texts, l.ID)
		if err != nil {
			return nil, err
		}
		said, err := LoadPhrases(l.ID)
		if err != nil {
			return nil, err
		}
		base := template.New("layout.html").Funcs(common(t, said, a))
		if functions != nil {
			base.Funcs(functions(t))
		}
		one, err := loadPages(pages, base)
		if err != nil {
			return nil, err
		}
		all[l.ID] = Edition{t, said, one}
	}
	return all, nil
}

// loadPages parses the layout and the parts with each other file.
func loadPages(files fs.FS, base *template.Template) (map[string]*template.Template, error) {
	names, err := fs.Glob(files, "page/*.html")
	if err != nil {
		return nil, err
	}
	all, shared := map[string]*template.Template{}, []string{"page/layout.html"}
	var own []string
	for _, name := range names {
		switch file := strings.TrimPrefix(name, "page/"); {
		case strings.HasPrefix(file, "part-"):
			shared = append(shared, name)
		case file != "layout.html":
			own = append(own, name)
		}
	}
	if _, err := base.ParseFS(files, shared...); err != nil {
		return nil, err
	}
	if _, err := base.ParseFS(Parts, "part/*.html"); err != nil {
		return nil, err
	}
	for _, name := range own {
		one, err := template.Must(base.Clone()).ParseFS(files, name)
		if err != nil {
			return nil, err
		}
		all[strings.TrimSuffix(strings.TrimPrefix(name, "page/"), ".html")] = one
	}
	return all, nil
}

// common are the functions that all pages may call.
func common(t Texts, said Phrases, a Assets) template.FuncMap {
	return template.FuncMap{
		"t": t.Say, "n": t.Count, "known": t.Known,
		"said":  func(text string) template.HTML { return commands(said.Say(text)) },
		"asset": func(name string) string { return a.Names[name] },
		"iso":   func(at time.Time) string { return at.UTC().Format(time.RFC3339) },
		"utc":   t.UTC,
		"deref": func(n *int) int { return *n },
	}
}

// command is one in a sentence.
var command = regexp.MustCompile("`([^`]*)`")

// commands marks those in a text, for a page.
func commands(text string) template.HTML {
	return template.HTML(command.ReplaceAllString(template.HTMLEscapeString(text), "<code>$1</code>")) //nolint:gosec // escaped
}

// Of returns the pages in the language of a request.
func (e Editions) Of(r *http.Request) Edition { return e[LanguageOf(r)] }

// Prompt returns what a method asks for, in the language of a request.
func (e Editions) Prompt(r *http.Request, said string) string {
	return e.Of(r).Phrases.Say(said)
}

// Done is the word about what the request before this one did, if its key is in the address
// and there is such a text; otherwise "".
func (e Edition) Done(r *http.Request) string {
	key := r.URL.Query().Get("done")
	if r.Method != http.MethodGet || !strings.HasPrefix(key, "done.") || e.Texts[key] == "" {
		return ""
	}
	return key
}

// Write answers with a page, or with a part of it: "layout.html" is the whole. An error is of
// the template, and nothing is written then.
func (e Edition) Write(w http.ResponseWriter, status int, name, part string, view any) error {
	var b bytes.Buffer
	if err := e.pages[name].ExecuteTemplate(&b, part, view); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", e.Texts.Say("language"))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
	return nil
}
