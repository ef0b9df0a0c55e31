// Package message holds the texts that are sent to users: one for each purpose and language,
// which an administrator may replace. It is pure.
package message

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"countersign/internal/nearest"
)

// The purposes. A mail has a subject.
const (
	SMS           = "sms"
	Mail          = "mail"
	MailSubject   = "mail_subject"
	Notice        = "notice"
	NoticeSubject = "notice_subject"

	Caller            = "caller"       // to somebody on the phone, who reads it out to the help desk
	CallerAsked       = "caller_asked" // to somebody on the phone, whose device asks; they type the number that the help desk tells
	CallerMail        = "caller_mail"
	CallerMailSubject = "caller_mail_subject"
)

// Fallback is the language of a text that is not there in another.
const Fallback = "en"

// texts are the built-in ones, by purpose and language.
var texts = map[string]string{
	"sms.en":                 "{code} is your code for {application}. Tell it to nobody.",
	"sms.de":                 "{code} ist Ihr Code für {application}. Nennen Sie ihn niemandem.",
	"mail_subject.en":        "Your code for {application}",
	"mail_subject.de":        "Ihr Code für {application}",
	"mail.en":                "{code} is your code for {application}. It is good for {minutes} minutes and for one sign-in.\n\nIf you are not signing in, somebody knows your password: change it, and tell your help desk.\n",
	"mail.de":                "{code} ist Ihr Code für {application}. Er gilt {minutes} Minuten und für eine Anmeldung.\n\nWenn Sie sich nicht gerade anmelden, kennt jemand Ihr Kennwort: Ändern Sie es und melden Sie es Ihrem Helpdesk.\n",
	"caller.en":              "{code} is the code that the help desk of {application} asks you for. Read it out only if you have called them.",
	"caller.de":              "{code} ist der Code, nach dem der Helpdesk von {application} Sie fragt. Nennen Sie ihn nur, wenn Sie selbst dort angerufen haben.",
	"caller_asked.en":        "The help desk of {application} asks whether it is you on the phone. Type the number that they tell you, if you have called them yourself.",
	"caller_asked.de":        "Der Helpdesk von {application} fragt, ob Sie am Telefon sind. Tippen Sie die Zahl, die man Ihnen nennt, wenn Sie selbst dort angerufen haben.",
	"caller_mail.en":         "{code} is the code that the help desk of {application} asks you for. It is good for {minutes} minutes.\n\nRead it out only if you have called them yourself. If somebody has called you, hang up, and tell your help desk.\n",
	"caller_mail.de":         "{code} ist der Code, nach dem der Helpdesk von {application} Sie fragt. Er gilt {minutes} Minuten.\n\nNennen Sie ihn nur, wenn Sie selbst dort angerufen haben. Hat jemand Sie angerufen, legen Sie auf und melden Sie es Ihrem Helpdesk.\n",
	"caller_mail_subject.en": "The code that the help desk of {application} asks for",
	"caller_mail_subject.de": "Der Code, nach dem der Helpdesk von {application} fragt",
	"notice_subject.en":      "Your sign-in was changed",
	"notice_subject.de":      "Ihre Anmeldung wurde geändert",
	"notice.en":              "On {time} this was changed about how you sign in: {what}.\n\nIf that was neither you nor your help desk, tell them now.\n",
	"notice.de":              "Am {time} wurde an Ihrer Anmeldung geändert: {what}.\n\nWenn das weder Sie noch Ihr Helpdesk waren, melden Sie es ihm jetzt.\n",
}

// placeholders that a text may have, and those that it must.
var placeholders = map[string]struct{ may, must []string }{
	SMS:           {[]string{"code", "application", "minutes"}, []string{"code"}},
	Mail:          {[]string{"code", "application", "minutes"}, []string{"code"}},
	MailSubject:   {[]string{"application"}, nil},
	Notice:        {[]string{"what", "time"}, []string{"what"}},
	NoticeSubject: {nil, nil},

	Caller:            {[]string{"code", "application", "minutes"}, []string{"code"}},
	CallerAsked:       {[]string{"application"}, nil},
	CallerMail:        {[]string{"code", "application", "minutes"}, []string{"code"}},
	CallerMailSubject: {[]string{"application"}, nil},
}

// most is the longest text in characters; a text message of more is sent in too many parts.
var most = map[string]int{SMS: 300, Mail: 4000, MailSubject: 200, Notice: 4000, NoticeSubject: 200, Caller: 300, CallerAsked: 300, CallerMail: 4000, CallerMailSubject: 200}

// Names returns the built-in texts' names, as in "sms.en".
func Names() []string { return slices.Sorted(maps.Keys(texts)) }

// Purposes returns those that pages show, in the order in which one reads them; texts for callers are set by policy set.
func Purposes() []string { return []string{SMS, MailSubject, Mail, NoticeSubject, Notice} }

// Languages returns the languages of the built-in texts and of own, in order.
func Languages(own map[string]string) []string {
	all := map[string]bool{}
	for _, texts := range []map[string]string{texts, own} {
		for name := range texts {
			if _, language, ok := strings.Cut(name, "."); ok {
				all[language] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// BuiltIn returns the built-in text of a name, as in "sms.en"; "": there is none.
func BuiltIn(name string) string { return texts[name] }

// Placeholders returns those that a text for a purpose may have.
func Placeholders(purpose string) []string { return slices.Clone(placeholders[purpose].may) }

// examples are what placeholders stand for in a preview.
var examples = map[string]string{"code": "246813", "application": "VPN", "minutes": "2", "what": "passkey added", "time": "2026-11-29 21:05 UTC"}

// Preview returns a text as somebody would get it.
func Preview(text string) string { return fill(text, examples) }

// Check reports what is wrong with a text that an administrator gives under a name.
func Check(name, text string) error {
	purpose, language, ok := strings.Cut(name, ".")
	p, known := placeholders[purpose]
	if !ok || !known || !isLanguage(language) {
		if guess := nearest.To(name, Names()); guess != "" {
			return fmt.Errorf("no text is called %q; did you mean %q?", name, guess)
		}
		return fmt.Errorf("no text is called %q; there are PURPOSE.LANGUAGE with the purposes %s", name, strings.Join(slices.Sorted(maps.Keys(placeholders)), ", "))
	}
	if !utf8.ValidString(text) || strings.ContainsRune(text, 0) || utf8.RuneCountInString(text) > most[purpose] {
		return fmt.Errorf("text %s: want at most %d characters", name, most[purpose])
	}
	if strings.HasSuffix(purpose, "subject") && strings.ContainsAny(text, "\r\n") {
		return fmt.Errorf("text %s: a subject is one line", name)
	}
	used := map[string]bool{}
	for rest := text; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			break
		}
		word, more, closed := strings.Cut(after, "}")
		if !closed || !slices.Contains(p.may, word) {
			if guess := nearest.To(word, p.may); closed && guess != "" {
				return fmt.Errorf("text %s: {%s} is no placeholder; did you mean {%s}?", name, word, guess)
			}
			return fmt.Errorf("text %s: placeholders are {%s}", name, strings.Join(p.may, "}, {"))
		}
		used[word], rest = true, more
	}
	for _, word := range p.must {
		if !used[word] {
			return fmt.Errorf("text %s: {%s} is missing", name, word)
		}
	}
	return nil
}

func isLanguage(s string) bool {
	return len(s) == 2 && s[0] >= 'a' && s[0] <= 'z' && s[1] >= 'a' && s[1] <= 'z'
}

// Fill returns the text for a purpose in a language, filled in: the administrator's own, else
// the built-in one, else that of Fallback. Nothing that is filled in is looked at again.
func Fill(own map[string]string, purpose, language string, values map[string]string) string {
	text := ""
	for _, l := range []string{language, Fallback} {
		name := purpose + "." + l
		if text = own[name]; text == "" {
			text = texts[name]
		}
		if text != "" {
			break
		}
	}
	return fill(text, values)
}

func fill(text string, values map[string]string) string {
	pairs := make([]string, 0, 2*len(values))
	for name, v := range values {
		pairs = append(pairs, "{"+name+"}", v)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
