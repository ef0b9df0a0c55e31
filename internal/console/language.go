package console

import (
	"embed"
	"fmt"
	"net/http"

	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed text/*.txt
var textFiles embed.FS

// edition is the pages in one language.
type edition struct {
	texts web.Texts
	pages pages
}

// loadEditions makes the pages in every language.
func loadEditions(a web.Assets) (map[string]edition, error) {
	all := map[string]edition{}
	for _, id := range web.LanguageIDs() {
		t, err := web.LoadTexts(textFiles, id)
		if err != nil {
			return nil, err
		}
		p, err := loadPages(t, a)
		if err != nil {
			return nil, err
		}
		all[id] = edition{t, p}
	}
	return all, nil
}

// edition returns the pages in the language of a request.
func (c *Console) edition(r *http.Request) edition { return c.editions[web.LanguageOf(r)] }

// say returns a text in the language of a request.
func (c *Console) say(r *http.Request, key string, values ...any) string {
	return c.edition(r).texts.Say(key, values...)
}

// prompt returns what a method asks for in the language of a request.
func (c *Console) prompt(r *http.Request, said string) string {
	return c.edition(r).texts.Prompt(said, c.editions["en"].texts)
}

// chooseLanguage keeps the language that somebody chose, and goes back to the page.
func (c *Console) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("language")
	if !web.IsLanguage(id) {
		c.fail(w, r, nil, fmt.Errorf("language %.20q: %w", id, mfa.ErrInvalid))
		return
	}
	web.KeepLanguage(w, id)
	http.Redirect(w, r, web.LocalPath(r.PostFormValue("back")), http.StatusSeeOther)
}
