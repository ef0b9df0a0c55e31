package console

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"countersign/internal/web"
)

// actVerb is where an act that the audit shows gets its verb.
var actVerb = regexp.MustCompile(`record\(ctx, [^,()]+(?:\(\))?, "([a-z -]+)"|Verb: +"([a-z -]+)"|\bVerb[A-Z][a-z]* += "([a-z -]+)"`)

// Every act that is recorded has a name in the catalogues: one that is new fails here.
func TestEveryActHasAName(t *testing.T) {
	texts, err := web.LoadTexts(textFiles, "de")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, dir := range []string{"admin", "enroll", "group", "group/registry", "node", "mfa", "store"} {
		files, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if match, _ := filepath.Match("*_test.go", filepath.Base(file)); match {
				continue
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range actVerb.FindAllStringSubmatch(string(b), -1) {
				verb := m[1] + m[2] + m[3]
				found++
				if texts.Known("audit.verb."+verb, "") == "" {
					t.Errorf("%s records %q, which has no text audit.verb.%s", file, verb, verb)
				}
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d acts were found: has the way changed in which they are recorded?", found)
	}
}
