package console

import (
	"embed"
	"errors"
	"fmt"
	"net/http"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

//go:embed text/*.txt
var textFiles embed.FS

// edition returns the pages in the language of a request.
func (c *Console) edition(r *http.Request) web.Edition { return c.editions.Of(r) }

// say returns a text in the language of a request.
func (c *Console) say(r *http.Request, key string, values ...any) string {
	return c.edition(r).Texts.Say(key, values...)
}

// prompt returns what a method asks for in the language of a request.
func (c *Console) prompt(r *http.Request, said string) string {
	return c.editions.Prompt(r, said)
}

// chooseLanguage keeps the language that somebody chose, and goes back to the page. Who is
// signed in has it with their account too: on every server, and in the next browser.
func (c *Console) chooseLanguage(w http.ResponseWriter, r *http.Request) {
	id := r.PostFormValue("language")
	if !mfa.IsLanguage(id) {
		c.fail(w, r, nil, fmt.Errorf("language %.20q: %w", id, mfa.ErrInvalid))
		return
	}
	if v, err := c.visitor(r); err == nil && v.Person.Language != id {
		// Their own act, which asks for no permission. Without a master the browser keeps it alone.
		_, err := c.Admin.SetUser(r.Context(), v.Caller.By, string(v.User), admin.UserChange{Language: &id})
		if err != nil && !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrReadOnly) && !errors.Is(err, mfa.ErrUnknownOutcome) {
			c.fail(w, r, v, err)
			return
		}
	}
	web.KeepLanguage(w, id)
	http.Redirect(w, r, web.LocalPath(r.PostFormValue("back")), http.StatusSeeOther)
}

// speak has the browser go on in the language that a user has chosen, wherever that was.
func (c *Console) speak(w http.ResponseWriter, r *http.Request, user mfa.UserID) {
	if u, err := c.Admin.Resolve(r.Context(), string(user)); err == nil && u.Language != "" {
		web.KeepLanguage(w, u.Language)
	}
}
