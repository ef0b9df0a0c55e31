package internal

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
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
	{2, []string{"oath", "radius", "ldap", "policy", "keyring", "pki", "settlement", "login", "qr", "membership", "nearest", "parking", "phone", "provider", "message", "voice", "internet", "device", "smpp"}, upTo(2)},
	{3, []string{"authn", "enroll", "admin", "group", "session", "web", "approval"}, upTo(2)},
	{4, []string{"challenge", "method/", "directory", "gateway", "trail", "store", "cluster", "logging", "reach", "webpush", "callback"}, upTo(2)},
	{5, []string{"deviceapi", "receipt", "radiusd", "ldapd", "webgate", "oidc", "adminapi", "peer", "console", "portal", "coordinator", "cli"}, upTo(3)},
	{6, []string{"config", "node", "mfatest", "bench"}, upTo(6)},
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

// imports returns the imports of every package of the module by its path, tests left out.
// It reads the sources, of every operating system, and not `go list`: the test cache sees
// which files a test opens, and no child process.
func imports(t *testing.T) map[string][]string {
	all := map[string][]string{}
	root := ".."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if n := d.Name(); path != root && (strings.HasPrefix(n, ".") || n == "testdata" || n == "bin" || n == "var") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		name := "countersign/" + filepath.ToSlash(dir)
		all[name] = append(all[name], "")
		for _, i := range f.Imports {
			all[name] = append(all[name], strings.Trim(i.Path.Value, `"`))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLayers(t *testing.T) {
	all := imports(t)
	for name, list := range all {
		if _, ok := rankOf(name); !ok {
			t.Errorf("%s has no rank; give it one here and in ARCHITECTURE.md", name)
			continue
		}
		for _, i := range list {
			if strings.HasPrefix(i, "countersign/") && !edge(name, i) {
				t.Errorf("%s imports %s, which its rank forbids", name, i)
			}
		}
	}
	if len(all) < 20 || len(all["countersign/internal/authn"]) < 5 {
		t.Errorf("only %d packages found", len(all))
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
