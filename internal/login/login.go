// Package login turns what a person types as their name into the forms under which they
// may be known, so that no spelling of a name is a second person (DESIGN law 2): user
// principal names, short names, DOMAIN\user, any case, any Unicode form (PRECIS
// UsernameCaseMapped, RFC 8265 section 3.3).
package login

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"countersign/internal/mfa"
)

// MaxLength is the longest login accepted, in bytes: what a RADIUS User-Name holds.
const MaxLength = 253

// Name is a login in normalised form: "alice", "alice@corp.example" or "corp\alice".
// The zero Name is nobody's.
type Name struct {
	user    string
	domain  string // of user@domain
	netBIOS string // of NETBIOS\user
}

// Domain is one domain that is ours: its NetBIOS name and its UPN suffix are the same
// domain, and a bare login means it.
type Domain struct {
	NetBIOS string `json:"netbios"`
	UPN     string `json:"upn"`
}

// ParseDomain reads "CORP=corp.example".
func ParseDomain(s string) (Domain, error) {
	n, u, ok := strings.Cut(s, "=")
	d := Domain{NetBIOS: strings.ToLower(strings.TrimSpace(n)), UPN: strings.ToLower(strings.TrimSpace(u))}
	if !ok || d.NetBIOS == "" || d.UPN == "" || strings.ContainsAny(s, `\@ `) {
		return Domain{}, fmt.Errorf("domain %q: want NETBIOS=dns.suffix, for example CORP=corp.example", s)
	}
	return d, nil
}

// Parse normalises what was typed. The error is mfa.InvalidLogin: empty, longer than
// MaxLength, not UTF-8, with control characters, spaces or an empty part, or not a user
// name under PRECIS.
func Parse(typed string) (Name, error) {
	if typed == "" || len(typed) > MaxLength || !utf8.ValidString(typed) {
		return Name{}, mfa.InvalidLogin
	}
	var n Name
	var err error
	rest := typed
	if nb, user, ok := strings.Cut(typed, `\`); ok {
		if n.netBIOS, err = part(nb); err != nil {
			return Name{}, err
		}
		rest = user
	} else if i := strings.LastIndexByte(typed, '@'); i >= 0 {
		if n.domain, err = part(typed[i+1:]); err != nil {
			return Name{}, err
		}
		rest = typed[:i]
	}
	if n.user, err = part(rest); err != nil {
		return Name{}, err
	}
	if len(n.String()) > MaxLength {
		return Name{}, mfa.InvalidLogin
	}
	return n, nil
}

// part normalises one part of a login.
func part(s string) (string, error) {
	if strings.ContainsAny(s, "\\\x00") {
		return "", mfa.InvalidLogin
	}
	if ascii(s) { // most are; what follows makes lower case of it and nothing else
		return strings.ToLower(s), nil
	}
	// Twice: case mapping can leave a form that normalises once more; what is not stable then is refused.
	p, err := precis.UsernameCaseMapped.String(s)
	if err != nil || p == "" {
		return "", mfa.InvalidLogin
	}
	if again, err := precis.UsernameCaseMapped.String(p); err != nil || again != p {
		return "", mfa.InvalidLogin
	}
	return p, nil
}

// ascii reports whether s is of printing ASCII characters, at least one. PRECIS allows all of
// them in a user name.
func ascii(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// String returns the normalised form.
func (n Name) String() string {
	switch {
	case n.netBIOS != "":
		return n.netBIOS + `\` + n.user
	case n.domain != "":
		return n.user + "@" + n.domain
	}
	return n.user
}

// User returns the part before the @ or behind the \.
func (n Name) User() string { return n.user }

// Forms returns the forms under which n is looked up, its own first. A domain that is
// not in domains makes no further forms: CORP\alice is alice only if CORP is ours.
func (n Name) Forms(domains []Domain) []string {
	forms := []string{n.String()}
	add := func(s string) {
		if !slices.Contains(forms, s) {
			forms = append(forms, s)
		}
	}
	for _, d := range domains {
		mine := n.netBIOS == "" && n.domain == "" ||
			n.netBIOS != "" && n.netBIOS == strings.ToLower(d.NetBIOS) ||
			n.domain != "" && n.domain == strings.ToLower(d.UPN)
		if mine {
			add(n.user)
			add(n.user + "@" + strings.ToLower(d.UPN))
			add(strings.ToLower(d.NetBIOS) + `\` + n.user)
		}
	}
	return forms
}
