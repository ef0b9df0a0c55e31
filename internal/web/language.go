package web

import (
	"net/http"
	"time"

	"golang.org/x/text/language"

	"countersign/internal/mfa"
)

// Offer is a language that a page can be read in.
type Offer struct {
	mfa.Language
	Now bool // the page is in it
}

// languageCookie keeps what somebody chose. It names nobody, and is there before a sign-in.
const languageCookie = "__Host-language"

// languageKept is how long a browser keeps the choice.
const languageKept = 400 * 24 * time.Hour

// matcher finds the language of ours that fits what a browser asks for.
var matcher = newMatcher()

func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(mfa.Languages))
	for i, l := range mfa.Languages {
		tags[i] = language.Make(l.ID)
	}
	return language.NewMatcher(tags)
}

// maxAsked bounds what is read of the languages that a browser asks for, in bytes.
const maxAsked = 1024

// LanguageOf returns the language to answer a request in: what was chosen, or else what the
// browser asks for.
func LanguageOf(r *http.Request) string {
	if k, err := r.Cookie(languageCookie); err == nil && mfa.IsLanguage(k.Value) {
		return k.Value
	}
	asked := r.Header.Get("Accept-Language")
	if len(asked) > maxAsked {
		return mfa.Languages[0].ID
	}
	tags, _, err := language.ParseAcceptLanguage(asked)
	if err != nil {
		return mfa.Languages[0].ID
	}
	_, i, _ := matcher.Match(tags...)
	return mfa.Languages[i].ID
}

// Languages are those that a page can be read in, with the one that it is in marked.
func Languages(r *http.Request) []Offer {
	all, now := make([]Offer, len(mfa.Languages)), LanguageOf(r)
	for i, l := range mfa.Languages {
		all[i] = Offer{l, l.ID == now}
	}
	return all
}

// KeepLanguage has the browser keep what somebody chose.
func KeepLanguage(w http.ResponseWriter, id string) {
	http.SetCookie(w, &http.Cookie{Name: languageCookie, Value: id, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
		MaxAge: int(languageKept.Seconds())})
}

// Here is the page that a request is for, to come back to: of an act, the start.
func Here(r *http.Request) string {
	if r.Method != http.MethodGet {
		return "/"
	}
	return LocalPath(r.URL.RequestURI())
}

// refuseForeign answers a form that another site has sent.
func refuseForeign(w http.ResponseWriter, r *http.Request) {
	said := "forbidden"
	if t := (Texts{}); t.read(textFiles, LanguageOf(r)) == nil {
		said = t.Say("error.foreign")
	}
	http.Error(w, said, http.StatusForbidden)
}
