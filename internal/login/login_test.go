package login

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/secure/precis"

	"countersign/internal/mfa"
)

func TestParse(t *testing.T) {
	tests := []struct{ name, typed, want string }{
		{"short", "alice", "alice"},
		{"case", "ALICE", "alice"},
		{"principal name", "Alice@Corp.Example", "alice@corp.example"},
		{"down-level", `CORP\Alice`, `corp\alice`},
		{"composed and decomposed", "ame\u0301lie", "am\u00e9lie"},
		{"capital with accent", "AM\u00c9LIE", "am\u00e9lie"},
		{"full width", "\uff41lice", "alice"},
		{"long s is no s", "\u017f", ""},
		{"two at signs", "a@b@corp.example", "a@b@corp.example"},
		{"empty", "", ""},
		{"space", " ", ""},
		{"space within", "al ice", ""},
		{"trailing space", "alice ", ""},
		{"NUL", "alice\x00", ""},
		{"new line", "alice\n", ""},
		{"not UTF-8", "alice\xff", ""},
		{"254 bytes", strings.Repeat("a", 254), ""},
		{"253 bytes", strings.Repeat("a", 253), strings.Repeat("a", 253)},
		{"empty domain", "alice@", ""},
		{"empty user", "@corp.example", ""},
		{"empty NetBIOS", `\alice`, ""},
		{"two backslashes", `a\b\c`, ""},
		{"invisible joiner", "ali\u200dce", ""},
	}
	for _, tt := range tests {
		n, err := Parse(tt.typed)
		if tt.want == "" {
			if !errors.Is(err, mfa.InvalidLogin) || n != (Name{}) {
				t.Errorf("%s: Parse(%q) = %q, %v; want invalid_login", tt.name, tt.typed, n, err)
			}
			continue
		}
		if err != nil || n.String() != tt.want {
			t.Errorf("%s: Parse(%q) = %q, %v; want %q", tt.name, tt.typed, n, err, tt.want)
		}
	}
}

func TestForms(t *testing.T) {
	ours := []Domain{{NetBIOS: "CORP", UPN: "corp.example"}}
	all := []string{"alice", "alice@corp.example", `corp\alice`}
	for _, typed := range []string{"alice", "Alice@CORP.example", `corp\ALICE`} {
		n, err := Parse(typed)
		if err != nil {
			t.Fatal(err)
		}
		got := n.Forms(ours)
		if got[0] != n.String() {
			t.Errorf("%s: first form %q, want its own", typed, got[0])
		}
		slices.Sort(got)
		if want := slices.Sorted(slices.Values(all)); !slices.Equal(got, want) {
			t.Errorf("%s: forms %q, want %q", typed, got, want)
		}
	}
	for _, typed := range []string{`EVIL\alice`, "alice@evil.example"} {
		n, _ := Parse(typed)
		if got := n.Forms(ours); len(got) != 1 {
			t.Errorf("%s: forms %q; a foreign domain must not become ours", typed, got)
		}
	}
}

func TestParseDomain(t *testing.T) {
	if d, err := ParseDomain("CORP = Corp.Example"); err == nil {
		t.Errorf("spaces within: %+v, want an error", d)
	}
	if d, err := ParseDomain("CORP=Corp.Example"); err != nil || d != (Domain{NetBIOS: "corp", UPN: "corp.example"}) {
		t.Errorf("got %+v, %v", d, err)
	}
	for _, bad := range []string{"", "CORP", "=corp.example", "CORP=", `A\B=c`, "A@B=c"} {
		if _, err := ParseDomain(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// The short way for ASCII comes to what PRECIS says.
func TestASCII(t *testing.T) {
	for a := range 128 {
		for b := range 128 {
			s := string([]byte{byte(a), byte(b), 'x'})
			if strings.Contains(s, `\`) || !ascii(s) {
				continue
			}
			got, err := part(s)
			want, wantErr := precis.UsernameCaseMapped.String(s)
			if got != want || err != nil || wantErr != nil {
				t.Errorf("%q: %q, %v; PRECIS says %q, %v", s, got, err, want, wantErr)
			}
		}
	}
}

// What was normalised normalises to itself, and any case of it to the same.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"alice", `CORP\alice`, "alice@corp.example", "am\u00e9lie", "\u1e9e", "\u0130", "a@b@c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(n.String())
		if err != nil || again != n {
			t.Errorf("Parse(%q) = %q, which parses to %q, %v", s, n, again, err)
		}
	})
}
