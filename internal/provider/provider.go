// Package provider knows how the HTTP APIs of text message providers are asked and how their
// answers are read. Its profiles are data: one file for each provider. It is pure: package
// gateway sends.
package provider

import (
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/nearest"
)

//go:embed profile/*.json
var files embed.FS

// Profile is what a provider's API is like.
type Profile struct {
	Name    string            `json:"-"`
	Title   string            `json:"title"`
	Docs    string            `json:"docs"` // where the provider describes it
	URL     string            `json:"url"`  // {account} and the like are for the operator to fill in
	Login   string            `json:"login"`
	Secret  string            `json:"secret"` // what the password is
	Headers map[string]string `json:"headers"`
	mfa.HTTPTemplate
}

// Profiles returns all, by name.
func Profiles() []Profile {
	entries, err := files.ReadDir("profile")
	if err != nil {
		panic("provider: " + err.Error()) // it is in the program
	}
	list := make([]Profile, 0, len(entries))
	for _, e := range entries {
		b, err := files.ReadFile("profile/" + e.Name())
		p := Profile{Name: strings.TrimSuffix(e.Name(), path.Ext(e.Name()))}
		if err == nil {
			err = json.Unmarshal(b, &p)
		}
		if err != nil {
			panic("provider: " + e.Name() + ": " + err.Error())
		}
		p.HTTPTemplate.Profile, p.HTTPTemplate.Headers = p.Name, p.Headers
		list = append(list, p)
	}
	return list
}

// ByName returns one profile; the error names the nearest.
func ByName(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	if guess := nearest.To(name, names); guess != "" {
		return Profile{}, fmt.Errorf("no profile is called %q; did you mean %q?", name, guess)
	}
	return Profile{}, fmt.Errorf("no profile is called %q; there are %s", name, strings.Join(names, ", "))
}

// Values are what the placeholders stand for.
type Values struct {
	Number   string // {number}: +491701234567; {digits}: without the +
	Text     string
	Sender   string
	Login    string
	Password string // {password}; {basic} is login and password in base64
	ID       string // {id}: ours, the same for every try of one message
	Callback string // {callback}: where the provider tells what becomes of the message; "": nowhere
}

// placeholders that a template may have.
var placeholders = []string{"number", "digits", "text", "sender", "login", "password", "basic", "id", callback}

// callback stands for an address that not every gateway has. A field of a body with it is left out
// where there is none: an empty address is one that providers refuse.
const callback = "callback"

func (v Values) of(name string) string {
	switch name {
	case "number":
		return v.Number
	case "digits":
		return strings.TrimPrefix(v.Number, "+")
	case "text":
		return v.Text
	case "sender":
		return v.Sender
	case "login":
		return v.Login
	case "password":
		return v.Password
	case "basic":
		return base64.StdEncoding.EncodeToString([]byte(v.Login + ":" + v.Password))
	case "id":
		return v.ID
	case callback:
		return v.Callback
	}
	return ""
}

// fill replaces the placeholders of one value, each by what escape makes of it. Nothing that
// is filled in is looked at again.
func (v Values) fill(template string, escape func(string) string) string {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(template, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed || !slices.Contains(placeholders, name) {
			b.WriteString("{")
			template = rest
			continue
		}
		b.WriteString(escape(v.of(name)))
		template = after
	}
}

func plain(s string) string { return s }

// named returns the placeholders of a value, or an error for one that is none. JSON documents
// are looked at value by value, so a brace of the document itself is none.
func named(template string) (names []string, err error) {
	for rest := template; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return names, nil
		}
		name, more, closed := strings.Cut(after, "}")
		if !closed {
			return nil, fmt.Errorf("%q: a { that is not closed", template)
		}
		if !slices.Contains(placeholders, name) {
			guess := nearest.To(name, placeholders)
			if guess != "" {
				return nil, fmt.Errorf("{%s} is no placeholder; did you mean {%s}?", name, guess)
			}
			return nil, fmt.Errorf("{%s} is no placeholder; there are {%s}", name, strings.Join(placeholders, "}, {"))
		}
		names, rest = append(names, name), more
	}
}

// Check reports what is wrong with an address and a template: what cannot be sent, and what
// would be sent without number or text. private lets the address be http:// too.
func Check(address string, t mfa.HTTPTemplate, private bool) error {
	u, err := url.Parse(Values{}.fill(address, func(string) string { return "x" }))
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("address %q: want a URL https://HOST/PATH; login and password have fields of their own", address)
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !private) {
		return fmt.Errorf("address %q: want https:// (http:// is for a gateway inside, with private_addresses)", address)
	}
	if strings.ContainsAny(hostOf(address), "{}") {
		return fmt.Errorf("address %q: the host must be a fixed one", address)
	}
	used, err := named(address)
	if err != nil {
		return fmt.Errorf("address: %w", err)
	}
	if !slices.Contains([]string{http.MethodPost, http.MethodGet, http.MethodPut}, t.Method) {
		return fmt.Errorf("method %q: want POST, GET or PUT", t.Method)
	}
	values, err := bodyValues(t)
	if err != nil {
		return err
	}
	for name, v := range t.Headers {
		if !headerName(name) || strings.ContainsAny(v, "\r\n\x00") {
			return fmt.Errorf("header %q: that is no name of one, or its value has more than one line", name)
		}
		values = append(values, v)
	}
	for _, v := range values {
		names, err := named(v)
		if err != nil {
			return err
		}
		used = append(used, names...)
	}
	if !slices.Contains(used, "number") && !slices.Contains(used, "digits") {
		return fmt.Errorf("neither {number} nor {digits} is sent: nobody would get the message")
	}
	if !slices.Contains(used, "text") {
		return fmt.Errorf("{text} is not sent: the message would be empty")
	}
	return errors.Join(checkRules(t), checkReceipt(t))
}

// CanTell reports whether the template has the provider tell what becomes of messages.
func CanTell(t mfa.HTTPTemplate) bool {
	return t.Receipt.State != "" && strings.Contains(t.Body, "{"+callback+"}")
}

func checkReceipt(t mfa.HTTPTemplate) error {
	r := t.Receipt
	if r.State == "" && (len(r.Arrived)+len(r.Lost) > 0 || r.Error != "") {
		return errors.New("receipt: state is missing: where does the word stand that says what has become of the message?")
	}
	if r.State != "" && len(r.Arrived)+len(r.Lost) == 0 {
		return errors.New("receipt: arrived and lost are empty: no word would say anything")
	}
	for _, w := range r.Arrived {
		if slices.ContainsFunc(r.Lost, func(l string) bool { return strings.EqualFold(l, w) }) {
			return fmt.Errorf("receipt: %q is in arrived and in lost", w)
		}
	}
	return nil
}

func checkRules(t mfa.HTTPTemplate) error {
	for _, r := range t.Refuse {
		var why mfa.Reason
		if err := why.UnmarshalText([]byte(r.Reason)); err != nil || !slices.Contains(Refusals, why) {
			return fmt.Errorf("refuse: reason %q: want one of %v", r.Reason, Refusals)
		}
	}
	for _, r := range slices.Concat(t.Accept, t.Refuse) {
		if r.Status == 0 && r.Path == "" || r.Status != 0 && (r.Status < 100 || r.Status > 599) {
			return fmt.Errorf("a rule needs a status of HTTP or a path")
		}
	}
	return nil
}

// Refusals are what an answer may be said to mean.
var Refusals = []mfa.Reason{mfa.GatewayNoCredit, mfa.RecipientRefused, mfa.GatewayRefused, mfa.GatewayDown, mfa.GatewaySlow}

func hostOf(address string) string {
	_, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

func headerName(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}) < 0
}
