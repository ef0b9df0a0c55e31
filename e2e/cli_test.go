package e2e_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every verb that has something to show gives scripts one JSON document and nothing else,
// people a text, and nobody a secret.
func TestCLIDocuments(t *testing.T) {
	s := newServer(t)
	const password, phrase = "a-password-nobody-sees", "correct horse battery staple"
	word, file, csv := filepath.Join(s.dir, "phrase"), filepath.Join(s.dir, "b.age"), filepath.Join(s.dir, "u.csv")
	s.write(word, phrase)
	s.write(csv, "login,name\nimported,Imported\n")
	s.application("vpn", "127.0.0.1", "--passcode", "either")
	s.cli("application", "add", "web", "--kind", "api", "--passcode", "append")
	s.user("ann", password, "--email", "ann@test.example", "--tag", "staff")
	k := s.totp("ann")
	s.cliIn("bind-secret", "directory", "add", "corp", "--url", "ldaps://127.0.0.1:1", "--base-dn", "dc=test", "--bind-dn", "cn=x", "--bind-password-stdin")
	s.cli("api-token", "create", "ci", "--scope", "read", "--expires", "1h")
	s.cli("backup", "create", file, "--passphrase-file", word)
	_ = newNAS(t, "127.0.0.1", s.radius).ask("ann", "wrong", nil)
	seed := strings.TrimSpace(s.secretOf("ann2"))

	for _, c := range []struct {
		verb  string
		stdin string
		field string // that the document has
		code  int
	}{
		{verb: "version", field: "version"},
		{verb: "status", field: "front_ends"},
		{verb: "doctor", field: "checks", code: 1}, // the directory is not there
		{verb: "user list", field: "users"},
		{verb: "user list --search ann --limit 1", field: "users"},
		{verb: "user show ann", field: "login"},
		{verb: "user set ann --name Ann", field: "login"},
		{verb: "user block ann --for 1h --reason test", field: "blocked"},
		{verb: "user unblock ann", field: "blocked"},
		{verb: "user unlock ann", field: "login"},
		{verb: "user import " + csv, field: "created"},
		{verb: "user remove imported --yes", field: "removed"},
		{verb: "credential list ann", field: "credentials"},
		{verb: "application list", field: "applications"},
		{verb: "application show vpn", field: "name"},
		{verb: "application set vpn --retries 1", field: "name"},
		{verb: "directory list", field: "directories"},
		{verb: "directory show corp", field: "name"},
		{verb: "directory test corp", field: "checks", code: 1},
		{verb: "policy show", field: "tries"},
		{verb: "policy set tries=6", field: "tries"},
		{verb: "policy explain ann --application vpn", field: "rules"},
		{verb: "test ann --application web --password-stdin", stdin: password + k.now(), field: "trace"},
		{verb: "audit list", field: "attempts"},
		{verb: "audit list --acts", field: "acts"},
		{verb: "audit verify", field: "ok"},
		{verb: "blastradius", field: "clients"},
		{verb: "log level radius=debug --for 1m", field: "level"},
		{verb: "key list", field: "keys"},
		{verb: "key rotate", field: "keys"},
		{verb: "api-token list", field: "api_tokens"},
		{verb: "backup verify " + file + " --passphrase-file " + word, field: "group"},
	} {
		t.Run(c.verb, func(t *testing.T) {
			r := s.try(c.stdin, append(strings.Fields(c.verb), "--json")...)
			var doc map[string]any
			if err := document(r.stdout, &doc); err != nil || r.code != c.code {
				t.Fatalf("exit %d, %v\n%s%s", r.code, err, r.stdout, r.stderr)
			}
			if _, ok := doc[c.field]; !ok {
				t.Errorf("no %s in %s", c.field, r.stdout)
			}
			if c.code == 0 && r.stderr != "" {
				t.Errorf("standard error: %s", r.stderr)
			}
			for key, value := range flat("", doc) {
				if text, ok := value.(string); ok && strings.HasSuffix(key, "time") {
					if _, err := time.Parse(time.RFC3339, text); err != nil {
						t.Errorf("%s: %v", key, err)
					}
				}
				if strings.ToLower(key) != key {
					t.Errorf("%s is not snake_case", key)
				}
			}
			outputs := r.stdout + r.stderr
			if !strings.Contains(c.verb, "import") && !strings.Contains(c.verb, "remove") {
				r = s.try(c.stdin, strings.Fields(c.verb)...)
				if strings.HasPrefix(strings.TrimSpace(r.stdout), "{") || r.stdout == "" {
					t.Errorf("for people: exit %d\n%s%s", r.code, r.stdout, r.stderr)
				}
				outputs += r.stdout + r.stderr
			}
			for _, secret := range []string{password, phrase, "bind-secret", secretWord, seed} {
				if strings.Contains(outputs, secret) {
					t.Errorf("%q is shown:\n%s", secret, outputs)
				}
			}
		})
	}
	for _, secret := range []string{password, phrase, "bind-secret", secretWord, seed} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// secretOf makes a user with a credential whose secret is given, and returns that.
func (s *server) secretOf(login string) string {
	s.t.Helper()
	const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	s.user(login, "")
	s.cliIn(seed, "credential", "add", login, "--method", "hotp", "--secret-stdin")
	return seed
}

// flat lists every value of a document by its path.
func flat(at string, v any) map[string]any {
	all := map[string]any{}
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			for p, y := range flat(at+"."+k, x) {
				all[p] = y
			}
		}
	case []any:
		for i, x := range v {
			for p, y := range flat(fmt.Sprintf("%s.%d", at, i), x) {
				all[p] = y
			}
		}
	default:
		all[strings.TrimPrefix(at, ".")] = v
	}
	return all
}

// What cannot be done is one line on standard error; 1 is refused, 2 is misused.
func TestCLIErrors(t *testing.T) {
	s := newServer(t)
	s.user("ann", "")
	s.application("vpn", "127.0.0.1")
	down := filepath.Join(s.dir, "nowhere")
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"no verb", nil, 2, "--help"},
		{"unknown verb", []string{"frobnicate"}, 2, "frobnicate"},
		{"unknown flag", []string{"user", "list", "--colour"}, 2, "--colour"},
		{"missing argument", []string{"user", "show"}, 2, "login"},
		{"secret as an argument", []string{"user", "add", "bob", "--password", "x"}, 2, ""},
		{"nobody", []string{"user", "show", "bob"}, 1, `user "bob": not found`},
		{"twice", []string{"user", "add", "ann"}, 1, "exists"},
		{"twice in another spelling", []string{"user", "add", "ANN"}, 1, "exists"},
		{"no user name", []string{"user", "add", "a b"}, 1, "not a user name"},
		{"overlapping network", []string{"application", "add", "x", "--kind", "radius", "--address", "127.0.0.1"}, 2, "the secret is missing"},
		{"no application", []string{"application", "show", "x"}, 1, "not found"},
		{"nothing asked before something is destroyed", []string{"user", "remove", "ann"}, 2, "--yes"},
		{"unknown reason", []string{"audit", "list", "--reason", "bad_luck"}, 1, "bad_luck"},
		{"no server there", []string{"status", "--data", down}, 1, "no server is running"},
		{"no server for a change", []string{"user", "add", "bob", "--data", down}, 1, "countersign server --config FILE"},
		{"no node file", []string{"status", "--config", "/nowhere.yaml"}, 1, "/nowhere.yaml: no such file"},
		{"no backup", []string{"backup", "verify", "/nowhere.age", "--passphrase-file", s.config}, 1, "/nowhere.age"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := s.try("", c.args...)
			line := r.oneLine(t)
			if r.code != c.code || !strings.Contains(line, c.want) {
				t.Errorf("exit %d, %q; want %d, %q", r.code, line, c.code, c.want)
			}
		})
	}
	s.cli("user", "show", "ann")
	if r := s.try("", "user", "--help"); r.code != 0 || !strings.Contains(r.stdout, "user add") {
		t.Errorf("help: exit %d\n%s", r.code, r.stdout)
	}
}

// audit tail shows attempts as they happen, one document a line.
func TestCLIAuditTail(t *testing.T) {
	s := newServer(t)
	s.application("none", "127.0.0.1", "--first-factor", "none")
	s.user("ann", "")
	k := s.hotp("ann")
	c := exec.CommandContext(t.Context(), program, "audit", "tail", "--json", "--data", s.data)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			lines <- sc.Text()
		}
	}()
	n := newNAS(t, "127.0.0.1", s.radius)
	var got struct{ Login, Reason string }
	deadline := time.After(patience)
	for got.Login == "" {
		_ = n.ask("ann", k.press(), nil) // again: it may not have listened yet
		select {
		case l, ok := <-lines:
			if !ok {
				t.Fatalf("audit tail ended: %s", stderr.String())
			}
			if err := json.Unmarshal([]byte(l), &got); err != nil {
				t.Fatalf("%v: %s", err, l)
			}
		case <-time.After(200 * time.Millisecond):
		case <-deadline:
			t.Fatal("audit tail shows nothing")
		}
	}
	if got.Login != "ann" || got.Reason != "ok" {
		t.Errorf("got %+v", got)
	}
	go func() {
		for range lines {
		}
	}()
	_ = c.Process.Signal(syscall.SIGINT)
	if err := c.Wait(); err != nil && c.ProcessState.ExitCode() > 1 {
		t.Errorf("audit tail after Ctrl-C: %v", err)
	}
}
