package web

import (
	"net/http"
	"slices"
	"time"

	"golang.org/x/text/language"
)

// Offer is a language that a page can be read in.
type Offer struct {
	ID   string // the catalogue's name: "en"
	Name string // that it has itself
	Now  bool   // the page is in it
}

// offers are all of them. The first is for whoever asks for none.
var offers = []Offer{{ID: "en", Name: "English"}, {ID: "de", Name: "Deutsch"}}

// languageCookie keeps what somebody chose. It names nobody, and is there before a sign-in.
const languageCookie = "__Host-language"

// languageKept is how long a browser keeps the choice.
const languageKept = 400 * 24 * time.Hour

// matcher finds the language of ours that fits what a browser asks for.
var matcher = newMatcher()

func newMatcher() language.Matcher {
	tags := make([]language.Tag, len(offers))
	for i, l := range offers {
		tags[i] = language.Make(l.ID)
	}
	return language.NewMatcher(tags)
}

// LanguageIDs are the names of all catalogues, the one for whoever asks for none first.
func LanguageIDs() (ids []string) {
	for _, l := range offers {
		ids = append(ids, l.ID)
	}
	return ids
}

// IsLanguage reports whether there is a catalogue of that name.
func IsLanguage(id string) bool { return slices.Contains(LanguageIDs(), id) }

// maxAsked bounds what is read of the languages that a browser asks for, in bytes.
const maxAsked = 1024

// LanguageOf returns the language to answer a request in: what was chosen, or else what the
// browser asks for.
func LanguageOf(r *http.Request) string {
	if k, err := r.Cookie(languageCookie); err == nil && IsLanguage(k.Value) {
		return k.Value
	}
	asked := r.Header.Get("Accept-Language")
	if len(asked) > maxAsked {
		return offers[0].ID
	}
	tags, _, err := language.ParseAcceptLanguage(asked)
	if err != nil {
		return offers[0].ID
	}
	_, i, _ := matcher.Match(tags...)
	return offers[i].ID
}

// Languages are those that a page can be read in, with the one that it is in marked.
func Languages(r *http.Request) []Offer {
	all, now := slices.Clone(offers), LanguageOf(r)
	for i := range all {
		all[i].Now = all[i].ID == now
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
