package web

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// refusing are the packages whose refusals pages show.
var refusing = []string{"admin", "approval", "console", "directory", "enroll", "group", "login", "message", "mfa", "node", "oath", "phone", "policy", "provider", "session", "store", "web"}

// neverShown are errors of these packages that no page shows, by FILE: SENTENCE: those of other
// edges, of starts, of what other servers and providers answer, and of damaged records.
var neverShown = regexp.MustCompile(strings.Join([]string{
	`^(admin/(audit|figures|once)|approval/sign|console/(console|device|profile|setup)|directory/(checker|conn|gate|ldap|pool|result|steps|tls)|` +
		`group/(certify|code|disaster|epoch|proof|wire)|mfa/(id|passkey)|policy/countries|provider/request|session/session|web/(phrase|text|drawer|kept))\.go`,
	`^store/(account|alone|archive|blob|bulk|code|delivery|extract|hold|key|keys|kv|member|merge|merge_.*|nas|newest|oldcopy|once|pack|prefix|promotion|rejoin|rehash|rotation|schema|sealed|session|settle|small|store|sweep|token|tx|under|unopened|view|wait|wire)\.go`,
	`: (cursor|limit \{1\}: \{2\})`,
	`^store/quota.go|^admin/gateway_sip.go: tls: a gateway for calls`,
	`^store/.*: (record|more than one JSON|schema version|user \{1\}, credential|role of user|read |change of|look for|keep |begin |salt|\{1\} of \{2\}, counted|\{1\}, as server)`,
	`^directory/.*: (search on|bind to|user \{1\}: |\{1\}: the entry found|\{1\} has more than|the names of|salt|directory \{1\}: members)`,
	`^oath/.*: (read randomness|\{1\} otpauth)`,
}, "|"))

// shownByNode are those files of package node whose errors pages show; the others are about
// starts, other servers and the command line.
var shownByNode = regexp.MustCompile(`^node/(disaster|frozen|gather|groupside|promote|relay)\.go`)

// refusalsOf are the formats of the errors that a package makes, by FILE: SENTENCE.
func refusalsOf(t *testing.T, name string) map[string]string {
	t.Helper()
	files, err := filepath.Glob("../" + name + "/*.go")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			var texts []ast.Expr
			switch x := n.(type) {
			case *ast.CallExpr:
				if makesError(x.Fun) {
					texts = x.Args
				}
			case *ast.CompositeLit: // what store says of an error
				if of, ok := x.Type.(*ast.Ident); ok && of.Name == "told" {
					texts = x.Elts
				}
			}
			for _, arg := range texts {
				if format, ok := textOf(arg, map[ast.Node]bool{}); ok {
					all[name+"/"+filepath.Base(file)+": "+numbered(strings.ReplaceAll(format, "%[1]", "%"))] = format
					break
				}
			}
			return true
		})
	}
	return all
}

// makesError reports whether a function of that name makes one.
func makesError(f ast.Expr) bool {
	switch x := f.(type) {
	case *ast.Ident:
		return x.Name == "invalid"
	case *ast.SelectorExpr:
		of, _ := x.X.(*ast.Ident)
		return of != nil && (of.Name == "fmt" && x.Sel.Name == "Errorf" || of.Name == "errors" && x.Sel.Name == "New")
	}
	return false
}

// sample is what an error of that format may read; what is put in is no word of English.
func sample(format string) (said string) {
	n := 0
	return strings.ReplaceAll(verb.ReplaceAllStringFunc(strings.ReplaceAll(format, "%[1]", "%"), func(string) string {
		n++
		return fmt.Sprintf("x%d", n)
	}), "%%", "%")
}

// These are the same in every language: commands, flags and what is typed.
var sameEverywhere = regexp.MustCompile("`[^`]*`|countersign( [a-z-]+)+|\\((user|policy|administrator|application|directory|credential) [^)]*\\)|\\$argon2id\\$\\S*")

// words are two or more that follow each other.
var twoWords = regexp.MustCompile(`[a-z]{2,}(?: [a-z]{2,})+`)

// Every refusal that a page may show is German for who reads German: of none of them two words of
// English are left. An error that is new, or reads otherwise than before, is found here.
func TestRefusalsInOtherLanguages(t *testing.T) {
	shown := 0
	for _, l := range mfa.Languages[1:] {
		p, err := LoadPhrases(l.ID)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range refusing {
			for where, format := range refusalsOf(t, name) {
				if neverShown.MatchString(where) || name == "node" && !shownByNode.MatchString(where) {
					continue
				}
				shown++
				said := sameEverywhere.ReplaceAllString(p.Say(sample(format)), "")
				for _, words := range twoWords.FindAllString(sameEverywhere.ReplaceAllString(sample(format), ""), -1) {
					if strings.Contains(said, words) {
						t.Errorf("%s lacks %s: %q is still said in %q", l.ID, where, words, said)
						break
					}
				}
			}
		}
	}
	if shown < 300 {
		t.Errorf("only %d refusals were found", shown)
	}
}

// What an error is put together from is looked up part by part, whatever stands around it.
func TestRefusalsArePutTogether(t *testing.T) {
	p := german(t)
	for said, want := range map[string]string{
		"change user 3u7y: changed by somebody else since it was read: look at it again": "Benutzer 3u7y ändern: von jemand anderem geändert, seit es gelesen wurde: noch einmal ansehen",
		`alice (console): not allowed: the role auditor lacks user.block`:                `alice (console): nicht erlaubt: der Rolle auditor fehlt user.block`,
		`create application vpn: name "vpn": exists already`:                             `Anwendung vpn anlegen: Name "vpn": gibt es schon`,
		`login: "a b" is not a user name (alice, alice@corp.example, CORP\alice)`:        `login: "a b" ist kein Benutzername (alice, alice@corp.example, CORP\alice)`,
		"tags: longer than 64 bytes":                                                     "tags: länger als 64 Bytes",
		`GET /nowhere: not found`:                                                        `GET /nowhere: nicht gefunden`,
		"change x: import stopped after 3 users: database not available; what is in stays in, and the same file can be imported again": "change x: der Import hielt nach 3 users an: die Datenbank ist nicht erreichbar; was drin ist, bleibt, und dieselbe Datei kann noch einmal importiert werden",
	} {
		if got := p.Say(said); got != want {
			t.Errorf("%q is\n%q, want\n%q", said, got, want)
		}
	}
}

// A sentence that is made up of what fits everywhere is not looked up for ever.
func TestHostileSentences(t *testing.T) {
	for _, part := range []string{"rule a: ", "user x: line 1; ", "change user x: user x has it (", "more than {1} rules, at most rule x: is over; ", "\": ; {1}: "} {
		s := &saying{german(t), maxLooks}
		s.best(strings.Repeat(part, maxPhrase/len(part)), maxDeep)
		if s.left >= maxLooks-5 {
			t.Errorf("%q was not looked up: %d looks are left", part, s.left)
		}
	}
	s := &saying{german(t), maxLooks}
	s.best(`Server nyc1 let "alice" in at vpn: the password was right, and so was the totp code of "phone", made by bob on 2026-11-01; it had no master, and decided from its own copy.`, maxDeep)
	if s.left < maxLooks/2 {
		t.Errorf("a sentence that is said every day took %d looks", maxLooks-s.left)
	}
}
