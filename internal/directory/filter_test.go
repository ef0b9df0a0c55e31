package directory

import (
	"fmt"
	"strings"
	"testing"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

func TestParseFilter(t *testing.T) {
	tests := []struct {
		filter string
		want   string // part of the error; empty: good
	}{
		{"(uid={login})", ""},
		{"(&(objectClass=person)(|(sAMAccountName={user})(userPrincipalName={login})))", ""},
		{"(mail={user}@corp.example)", ""},
		{"(cn=a*{login}*)", ""},
		{"(cn:caseExactMatch:={login})", ""},
		{"(uid>={login})", ""},
		{"(!(uid={login}))", ""},
		{"", "no placeholder"},
		{"(uid=alice)", "no placeholder"},
		{"(uid={typed})", "unknown placeholder"},
		{"(uid={Login})", "unknown placeholder"},
		{"(uid={login)", "{ without }"},
		{"(uid=login})", "} without {"},
		{"(uid={}{login})", "unknown placeholder"},
		{"({login}=x)", "only stand in a value"},
		{"({login}=*)", "only stand in a value"},
		{"(cn:{login}:=x)", "only stand in a value"},
		{"(&(uid={login})({user}=x))", "only stand in a value"},
		{"{login}", "not an LDAP filter"},
		{"uid={login}", "not an LDAP filter"},
		{"(uid={login}", "not an LDAP filter"},
		{"(uid={login}))", "not an LDAP filter"},
		{"(uid=\\zz{login})", "not an LDAP filter"},
		{"(&{login})", "not an LDAP filter"},
	}
	for _, tt := range tests {
		_, err := parseFilter(tt.filter)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%q: got error %v, want %q", tt.filter, err, tt.want)
		}
	}
}

func TestFill(t *testing.T) {
	f, err := parseFilter("(|(a={user})(b=x{login}y))")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.fill(`corp\a*)`, "a*)"), `(|(a=a\2a\29)(b=xcorp\5ca\2a\29y))`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// shape writes a filter without its values, and collects them.
func shape(p *ber.Packet, values *[]string) string {
	if len(p.Children) == 0 {
		return fmt.Sprintf("%d=%s", p.Tag, text(p))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d(", p.Tag)
	for i, c := range p.Children {
		set := p.Tag == ldap.FilterAnd || p.Tag == ldap.FilterOr || p.Tag == ldap.FilterNot
		if p.ClassType == ber.ClassContext && !set && i > 0 {
			*values = append(*values, text(c))
			b.WriteString("value ")
			continue
		}
		b.WriteString(shape(c, values) + " ")
	}
	return b.String() + ")"
}

// No login changes what a filter asks; it only fills in what it asks for.
func FuzzFilterKeepsItsShape(f *testing.F) {
	for _, s := range []string{"alice", "*", ")(uid=*", `\2a`, "a\x00b", "é\xff", "", "))(|(cn=*", "{user}", `corp\alice`, " a ", "(", "=", ">=", ":=x"} {
		f.Add(s, s)
	}
	tmpl, err := parseFilter("(&(objectClass=person)(|(uid={login})(mail={user})(!(cn={login}))))")
	if err != nil {
		f.Fatal(err)
	}
	var plain []string
	p, err := ldap.CompileFilter(tmpl.fill("x", "x"))
	if err != nil {
		f.Fatal(err)
	}
	want := shape(p, &plain)
	f.Fuzz(func(t *testing.T, login, user string) {
		p, err := ldap.CompileFilter(tmpl.fill(login, user))
		if err != nil {
			t.Fatalf("%q, %q: %v", login, user, err)
		}
		var values []string
		if got := shape(p, &values); got != want {
			t.Fatalf("%q, %q: shape %s, want %s", login, user, got, want)
		}
		for i, v := range []string{"person", login, user, login} {
			if values[i] != v {
				t.Errorf("value %d is %q, want %q", i, values[i], v)
			}
		}
	})
}

// A template that passes holds whatever is filled in.
func FuzzParseFilter(f *testing.F) {
	f.Add("(uid={login})", "*)(x=*")
	f.Add("(cn=a*{user}*b)", "*")
	f.Add("(cn:dn:2.5.13.2:={login})", "(")
	f.Fuzz(func(t *testing.T, template, login string) {
		tmpl, err := parseFilter(template)
		if err != nil {
			return
		}
		if _, err := ldap.CompileFilter(tmpl.fill(login, login)); err != nil {
			t.Errorf("%q passes, but with %q filled in: %v", template, login, err)
		}
	})
}
