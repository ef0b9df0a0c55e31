package message

import "strings"

// factors and acts are what notices say of a change, by language; a name that is not here is said
// as it is.
var factors = map[string]map[string]string{
	"en": {"totp": "authenticator app", "hotp": "token", "recovery": "recovery codes", "tap": "temporary pass", "sms": "number for text messages", "email": "mail address for codes",
		"passkey": "passkey", "push": "device", "call": "number for calls", "password": "password", "pin": "PIN"},
	"de": {"totp": "Authenticator-App", "hotp": "Token", "recovery": "Wiederherstellungscodes", "tap": "Einmalpass", "sms": "Nummer für SMS", "email": "E-Mail-Adresse für Codes",
		"passkey": "Passkey", "push": "Gerät", "call": "Nummer für Anrufe", "password": "Passwort", "pin": "PIN"},
}

var acts = map[string]map[string]string{
	"de": {"added": "hinzugefügt", "removed": "entfernt", "replaced": "ersetzt", "disabled": "abgeschaltet", "enabled": "eingeschaltet", "confirmed": "bestätigt", "approved": "genehmigt", "changed": "geändert",
		"phone number changed":                                     "Telefonnummer geändert",
		"mail address changed":                                     "E-Mail-Adresse geändert",
		"a passkey answered as if there were a copy of it":         "ein Passkey hat geantwortet, als gäbe es eine Kopie davon",
		"a code was used on two servers while they had no contact": "ein Code wurde auf zwei Servern benutzt, die keine Verbindung hatten"},
}

// Told says in a language what a notice is about, as the records have it: "credential totp added".
func Told(what, language string) string {
	if factors[language] == nil {
		language = Fallback
	}
	say := func(of map[string]map[string]string, word string) string {
		if said := of[language][word]; said != "" {
			return said
		}
		return word
	}
	if rest, is := strings.CutPrefix(what, "credential "); is {
		if method, act, ok := strings.Cut(rest, " "); ok {
			return say(factors, method) + " " + say(acts, act)
		}
	}
	return say(acts, what)
}
