package internal

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// ranks is the table of ARCHITECTURE.md: a package imports those of a lower rank only.
// "method/" stands for every package under it.
var ranks = []struct {
	rank     int
	packages []string
	may      func(rank int) bool // ranks that it may import
}{
	{0, []string{"secret"}, none},
	{1, []string{"mfa"}, below(1)},
	{2, []string{"oath", "radius", "ldap", "policy", "keyring", "pki", "settlement", "login", "qr"}, upTo(2)},
	{3, []string{"authn", "enroll", "admin"}, upTo(2)},
	{4, []string{"challenge", "method/", "directory", "gateway", "trail", "store", "cluster", "logging"}, upTo(2)},
	{5, []string{"radiusd", "ldapd", "webgate", "oidc", "adminapi", "console", "portal", "coordinator", "cli"}, upTo(3)},
	{6, []string{"config", "node", "mfatest", "load"}, upTo(6)},
}

func none(int) bool              { return false }
func below(n int) func(int) bool { return func(r int) bool { return r < n } }
func upTo(n int) func(int) bool  { return func(r int) bool { return r <= n } }
func rankOf(path string) (n int, ok bool) {
	rest, inside := strings.CutPrefix(path, "countersign/internal/")
	if !inside {
		return 6, strings.HasPrefix(path, "countersign/") // cmd
	}
	for _, r := range ranks {
		for _, p := range r.packages {
			if rest == p || strings.HasPrefix(rest, strings.TrimSuffix(p, "/")+"/") {
				return r.rank, true
			}
		}
	}
	return 0, false
}

// edge reports whether package a may import package b.
func edge(a, b string) bool {
	ra, _ := rankOf(a)
	rb, _ := rankOf(b)
	if strings.HasPrefix(b, a+"/") || strings.HasPrefix(a, b+"/") {
		return true // a package and what lies in its folder
	}
	return ranks[ra].may(rb)
}

func TestLayers(t *testing.T) {
	out, err := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", "countersign/...").Output()
	if err != nil {
		if e := (*exec.ExitError)(nil); errors.As(err, &e) {
			t.Fatalf("%v: %s", err, e.Stderr)
		}
		t.Fatal(err)
	}
	var seen []string
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if _, ok := rankOf(p.ImportPath); !ok && p.ImportPath != "countersign/internal" {
			t.Errorf("%s has no rank; give it one here and in ARCHITECTURE.md", p.ImportPath)
			continue
		}
		seen = append(seen, p.ImportPath)
		for _, i := range p.Imports {
			if strings.HasPrefix(i, "countersign/") && !edge(p.ImportPath, i) {
				t.Errorf("%s imports %s, which its rank forbids", p.ImportPath, i)
			}
		}
	}
	if len(seen) < 10 || !slices.Contains(seen, "countersign/internal/authn") {
		t.Errorf("go list found only %v", seen)
	}
}

func TestEdges(t *testing.T) {
	const in = "countersign/internal/"
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{in + "secret", in + "mfa", false},
		{in + "mfa", in + "secret", true},
		{in + "authn", in + "store", false},
		{in + "store", in + "cluster", false},
		{in + "store", in + "keyring", true},
		{in + "store", in + "authn", false},
		{in + "method/otp", in + "oath", true},
		{in + "radiusd", in + "trail", false},
		{in + "radiusd", in + "adminapi", false},
		{in + "adminapi", in + "admin", true},
		{in + "node", in + "radiusd", true},
		{in + "radiusd", in + "logging", false},
		{in + "store", in + "store/storetest", true},
		{"countersign/cmd/countersign", in + "node", true},
		{in + "authn", in + "node", false},
	} {
		if got := edge(c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
