package console

import (
	"os"
	"regexp"
	"testing"

	"countersign/internal/web"
)

// Every rule that an explanation has a line about, and every step of a test, is named in the
// catalogues: one that is new fails here.
func TestEveryLineHasAName(t *testing.T) {
	texts, err := web.LoadTexts(textFiles, "de")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, key string
		names     *regexp.Regexp
		least     int
	}{
		{"../policy/explain.go", "explain.", regexp.MustCompile(`e\.add\("([^"]+)"`), 20},
		{"../directory/steps.go", "check.step.", regexp.MustCompile(`t\.step\(ctx, "([^"]+)"`), 7},
		{"../gateway/probe.go", "check.step.", regexp.MustCompile(`step\("([^"]+)", "`), 8},
	} {
		b, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		all := c.names.FindAllStringSubmatch(string(b), -1)
		if len(all) < c.least {
			t.Errorf("%s: only %d names were found", c.file, len(all))
		}
		for _, m := range all {
			if name := m[1]; name != "StartTLS" && name != "TLS" && texts.Known(c.key+name, "") == "" {
				t.Errorf("%s has %q, which has no text %s%s", c.file, name, c.key, name)
			}
		}
	}
}
