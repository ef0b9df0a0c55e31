package directory

import (
	"errors"
	"fmt"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// filter is a user filter with placeholders, cut into what is literal and what is filled
// in: literal[0] value[0] literal[1] ... literal[n].
type filter struct {
	literal []string
	value   []string // "login" or "user"
	equals  []assertion
	inexact bool // a placeholder stands in something else than a comparison for equality
}

// assertion is one comparison of a filter: attribute, what stands before the placeholder,
// what behind it, and whether that is {user}.
type assertion struct {
	attribute, before, after string
	user                     bool
}

// parseFilter reads an LDAP filter (RFC 4515) in which {login} and {user} stand for
// values. It refuses a placeholder at any other place than in a value, because only
// there an escaped login can do no more than match or not.
func parseFilter(s string) (filter, error) {
	var f filter
	rest := s
	for {
		before, after, ok := strings.Cut(rest, "{")
		if strings.Contains(before, "}") {
			return filter{}, errors.New(`a } without {`)
		}
		f.literal = append(f.literal, before)
		if !ok {
			break
		}
		name, tail, ok := strings.Cut(after, "}")
		if !ok {
			return filter{}, errors.New("a { without }")
		}
		if name != "login" && name != "user" {
			return filter{}, fmt.Errorf("unknown placeholder {%.20s}: want {login} or {user}", name)
		}
		f.value = append(f.value, name)
		rest = tail
	}
	if len(f.value) == 0 {
		return filter{}, errors.New("no placeholder: want {login} or {user} where the name goes")
	}
	// A sample that occurs nowhere else shows where the values end up.
	const sample = "cs0sample0cs"
	p, err := ldap.CompileFilter(f.fill(sample+"l", sample+"u"))
	if err != nil {
		return filter{}, fmt.Errorf("not an LDAP filter: %w", err)
	}
	if got := countValues(p, sample); got != len(f.value) {
		return filter{}, errors.New("a placeholder may only stand in a value, as in (uid={login})")
	}
	f.look(p, sample, false)
	return f, nil
}

// look notes the comparisons that hold sample, below a not or elsewhere.
func (f *filter) look(p *ber.Packet, sample string, negated bool) {
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, c := range p.Children {
			f.look(c, sample, negated || p.Tag == ldap.FilterNot)
		}
	case ldap.FilterEqualityMatch:
		before, after, ok := strings.Cut(text(p.Children[1]), sample)
		switch {
		case !ok:
		case negated || strings.Contains(after, sample):
			f.inexact = true
		default:
			f.equals = append(f.equals, assertion{text(p.Children[0]), before, after[1:], after[0] == 'u'})
		}
	default:
		f.inexact = f.inexact || countValues(p, sample) > 0
	}
}

// fill returns the filter for one user. The values are escaped (RFC 4515 section 3).
func (f filter) fill(login, user string) string {
	var b strings.Builder
	for i, v := range f.value {
		b.WriteString(f.literal[i])
		if v == "login" {
			b.WriteString(ldap.EscapeFilter(login))
		} else {
			b.WriteString(ldap.EscapeFilter(user))
		}
	}
	b.WriteString(f.literal[len(f.value)])
	return b.String()
}

// any returns the filter for everybody whom fill finds for one login or another.
func (f filter) any() string { return strings.Join(f.literal, "*") }

// countValues counts how often sample occurs within the assertion values of p.
func countValues(p *ber.Packet, sample string) int {
	if len(p.Children) == 0 {
		return 0 // presence: an attribute, no value
	}
	n := 0
	switch p.Tag {
	case ldap.FilterAnd, ldap.FilterOr, ldap.FilterNot:
		for _, c := range p.Children {
			n += countValues(c, sample)
		}
	case ldap.FilterSubstrings:
		for _, c := range p.Children[1].Children {
			n += strings.Count(text(c), sample)
		}
	case ldap.FilterExtensibleMatch:
		for _, c := range p.Children {
			if c.Tag == ldap.MatchingRuleAssertionMatchValue {
				n += strings.Count(text(c), sample)
			}
		}
	default: // equality, greater or equal, less or equal, approximate
		n += strings.Count(text(p.Children[1]), sample)
	}
	return n
}

func text(p *ber.Packet) string {
	if p.Data == nil {
		return ""
	}
	return p.Data.String()
}
