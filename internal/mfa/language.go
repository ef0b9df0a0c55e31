package mfa

import "slices"

// Language is one in which there are texts for people.
type Language struct {
	ID   string // "en"
	Name string // that it has itself
}

// Languages are all of them. The first is for whoever asks for none.
var Languages = []Language{{"en", "English"}, {"de", "Deutsch"}}

// IsLanguage reports whether there are texts in the language of that id.
func IsLanguage(id string) bool {
	return slices.ContainsFunc(Languages, func(l Language) bool { return l.ID == id })
}
