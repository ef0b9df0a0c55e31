package web

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

func german(t *testing.T) Phrases {
	t.Helper()
	p, err := LoadPhrases("de")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPhrases(t *testing.T) {
	p := german(t)
	for said, want := range map[string]string{
		"":        "",
		"nothing": "nothing",
		"look at its disk and its log, then restart its server":         "seine Platte und sein Protokoll ansehen, dann seinen Server neu starten",
		"server nyc2 does not answer since 2026-11-29T12:00:00Z":        "Server nyc2 antwortet nicht seit 2026-11-29T12:00:00Z",
		"the certificate of the peer port of nyc2 has expired on today": "das Zertifikat des Peer-Ports von nyc2 ist abgelaufen am today",
		`Server nyc1 let "alice" in at vpn: the password was right, and so was the totp code of "phone", made by bob on 2026-11-01; it had no master, and decided from its own copy.`: `Server nyc1 hat "alice" bei vpn eingelassen: das Passwort stimmte, und auch der Code (totp) von "phone", angelegt von bob am 2026-11-01; er hatte keinen Master und hat nach der eigenen Kopie entschieden.`,
		"Enter the code from the mail to a***@b (or type resend or other)":                                        "Geben Sie den Code aus der E-Mail an a***@b ein (oder tippen Sie resend für einen neuen Code, other für einen anderen Weg)",
		"exempt: no second factor is asked of anybody who comes from 0.0.0.0/0; name the networks that are yours": "exempt: von niemandem, der aus 0.0.0.0/0 kommt, wird ein zweiter Faktor verlangt; die Netze nennen, die Ihre sind",
	} {
		if got := p.Say(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
	if got := (Phrases{}).Say("expires"); got != "expires" {
		t.Errorf("without phrases: %q", got)
	}
	evil := strings.Repeat(`": ; {1}: `, 300)
	if got := p.Say(evil); !strings.Contains(got, "{1}") {
		t.Errorf("%q", got)
	}
}

// sentencesOf are the texts in a file of Go, whatever they are put together from: {1}, {2}
// stand for what is put in. Those of one word or two are left out.
func sentencesOf(t *testing.T, file string) (all []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	inner := map[ast.Node]bool{} // of a sum that was read
	ast.Inspect(f, func(n ast.Node) bool {
		e, ok := n.(ast.Expr)
		if !ok || inner[n] {
			return true
		}
		if text, ok := textOf(e, inner); ok && strings.Contains(text, " ") {
			all = append(all, numbered(text))
		}
		return true
	})
	return all
}

// textOf reads a text, or a sum with one in it.
func textOf(e ast.Expr, inner map[ast.Node]bool) (string, bool) {
	switch x := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(x.Value)
		return s, err == nil && x.Kind == token.STRING
	case *ast.BinaryExpr:
		if x.Op != token.ADD {
			return "", false
		}
		a, one := textOf(x.X, inner)
		b, two := textOf(x.Y, inner)
		if !one && !two {
			return "", false
		}
		for _, side := range []ast.Expr{x.X, x.Y} {
			inner[side] = true
		}
		if !one {
			a = "%s"
		}
		if !two {
			b = "%s"
		}
		return a + b, true
	}
	return "", false
}

var verb = regexp.MustCompile(`%[0-9.*+#]*[a-z]`)

// numbered writes {1}, {2} for what fmt puts in.
func numbered(format string) string {
	n := 0
	return strings.ReplaceAll(verb.ReplaceAllStringFunc(format, func(string) string { n++; return "{" + strconv.Itoa(n) + "}" }), "%%", "%")
}

// told are the files whose every sentence a page may show.
var told = []string{"../group/rules.go", "../group/alarm.go", "../policy/warning.go", "../policy/explain.go", "../directory/steps.go", "../gateway/probe.go"}

// saidElsewhere are files of which pages show some sentences.
var saidElsewhere = []string{"../admin/story.go", "../admin/warning.go", "../method/sent/sent.go", "../method/call/call.go", "../authn/challenge.go", "../authn/engine.go", "../authn/wait.go", "../method/otp/totp.go", "../method/otp/hotp.go", "../method/otp/recovery.go", "../method/otp/tap.go", "../method/passkey/passkey.go", "../method/push/push.go", "../node/operator.go", "../node/groupside.go", "../node/left.go", "../node/clock.go", "../node/parkingside.go", "../node/disaster.go", "../policy/rules.go", "../directory/result.go", "../enroll/own.go"}

// notShown are sentences of these files that are on no page.
var notShown = regexp.MustCompile(`^\{1\}: \{2\}$|^server \{1\} \{2\}$|^the certificate of \{1\} \{2\} on|^(tries, lock|first_factor_tries)|^(json|doc):|^Mon 15:04 |^[,;] |^(comes first where|does not come first|first factor lock|without a master)`)

// notesOf are the sentences that a trace of a sign-in may hold: what the engine notes.
func notesOf(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("../authn/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) == 0 {
				return true
			}
			if s, ok := call.Fun.(*ast.SelectorExpr); ok && s.Sel.Name == "note" {
				if text, ok := textOf(call.Args[0], map[ast.Node]bool{}); ok {
					all = append(all, numbered(text))
				}
			}
			return true
		})
	}
	if len(all) < 20 {
		t.Errorf("only %d notes of the engine were found", len(all))
	}
	return all
}

// A sentence that another package has changed is no longer found here, and one that it has
// added is not there in another language: both are seen at once, and not by a reader.
func TestPhrasesAreThoseThatAreSaid(t *testing.T) {
	said := map[string]bool{}
	for _, file := range append(told, saidElsewhere...) {
		for _, s := range sentencesOf(t, file) {
			said[s] = true
		}
	}
	notes := notesOf(t)
	for _, s := range notes {
		said[s] = true
	}
	for _, why := range mfa.Reasons() {
		said[strings.ReplaceAll(why.String(), "_", " ")] = true
	}
	for _, name := range refusing {
		for _, format := range refusalsOf(t, name) {
			whole := numbered(strings.ReplaceAll(format, "%[1]", "%"))
			said[whole] = true
			for rest := whole; rest != ""; { // what stands around an error that is wrapped
				var part string
				part, rest, _ = strings.Cut(rest, ": ")
				said[part], said[rest] = true, true
			}
		}
	}
	for _, l := range mfa.Languages[1:] {
		p, err := LoadPhrases(l.ID)
		if err != nil {
			t.Fatal(err)
		}
		known := map[string]bool{}
		files, err := filepath.Glob("said/" + l.ID + "*.txt")
		if err != nil || len(files) < 2 {
			t.Fatal(files, err)
		}
		var all strings.Builder
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(b)
			all.WriteString("\n")
		}
		for line := range strings.Lines(all.String()) {
			if line = strings.TrimRight(line, "\n"); line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, " ") {
				continue
			}
			known[line] = true
			if strings.Count(line, " ") > 2 && !said[line] && !pieces(line, said) {
				t.Errorf("%s: nobody says %q any more", l.ID, line)
			}
		}
		for _, s := range notes {
			if letters.MatchString(place.ReplaceAllString(s, "")) && !known[s] && p.Say(s) == s {
				t.Errorf("%s lacks %q, which the trace of a sign-in may say", l.ID, s)
			}
		}
		for _, file := range told {
			for _, s := range sentencesOf(t, file) {
				if strings.Count(s, " ") > 1 && !known[s] && !notShown.MatchString(s) && p.Say(s) == s {
					t.Errorf("%s lacks %q of %s", l.ID, s, file)
				}
			}
		}
	}
}

var letters = regexp.MustCompile(`[a-z]`)

// pieces reports whether a sentence is put together, at its places and elsewhere, from few texts
// that are said.
func pieces(line string, said map[string]bool) bool {
	var all strings.Builder
	for s := range said {
		all.WriteString(place.ReplaceAllString(s, "\x00") + "\x01")
	}
	text, runs := all.String(), 0
	for _, part := range place.Split(line, -1) {
		words := strings.Fields(part)
		for len(words) > 0 {
			n := len(words)
			for n > 0 && !strings.Contains(text, strings.Trim(strings.Join(words[:n], " "), " .:,()")) {
				n--
			}
			if n == 0 {
				return false
			}
			words, runs = words[n:], runs+1
		}
	}
	return runs <= 1+2*len(place.FindAllString(line, -1))
}

// A command in a sentence is marked as one, and nothing in a sentence becomes a part of the page.
func TestCommands(t *testing.T) {
	if got := commands("run `countersign doctor` <b>"); got != "run <code>countersign doctor</code> &lt;b&gt;" {
		t.Errorf("%s", got)
	}
}
