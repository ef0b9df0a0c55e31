package e2e_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
)

// server is one server with a data folder of its own. It listens on the loopback.
type server struct {
	t       testing.TB
	dir     string // everything lies in it; short, because a socket's path holds 108 bytes
	data    string
	config  string
	radius  string // addresses
	acct    string
	https   string
	metrics string
	ns      string   // network namespace; "": this one
	binary  string   // "": the program under test
	env     []string // of it, besides ours
	log     *log
	proc    *process // of the last start
}

// newServer founds a group and starts its server. It ends with the test.
func newServer(t testing.TB) *server {
	t.Helper()
	s := prepare(t, "")
	s.found()
	s.start()
	return s
}

// prepare writes a node file for a server that does not exist yet. dir holds its data
// folder; "" makes one.
func prepare(t testing.TB, dir string) *server {
	t.Helper()
	if dir == "" {
		var err error
		if dir, err = os.MkdirTemp("", "cs"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	s := &server{t: t, dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "node.yaml"), log: &log{},
		radius: freeAddress(t), acct: freeAddress(t), https: freeAddress(t), metrics: freeAddress(t)}
	s.write(s.config, fmt.Sprintf(`
name: n1
data_dir: %s
listen:
  radius: ["%s"]
  radius_accounting: ["%s"]
  https: %s
  metrics: %s
`, s.data, s.radius, s.acct, s.https, s.metrics))
	t.Cleanup(func() {
		s.end(syscall.SIGTERM)
		out := s.log.String()
		if strings.Contains(out, "WARNING: DATA RACE") || strings.Contains(out, "panic: ") {
			t.Error("the server raced or panicked")
		}
		if t.Failed() {
			t.Logf("the server said:\n%s", tail(out, 40_000))
		}
	})
	return s
}

func (s *server) write(file, text string) {
	s.t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func tail(text string, n int) string {
	if len(text) > n {
		return "... " + text[len(text)-n:]
	}
	return text
}

// found founds the group "test".
func (s *server) found() {
	s.t.Helper()
	if r := countersign(s.t, nil, "", "init", "--group", "test", "--config", s.config); r.code != 0 {
		s.t.Fatalf("init: exit %d\n%s", r.code, r.stderr)
	}
}

// start starts the server and waits until it decides sign-ins.
func (s *server) start() {
	s.t.Helper()
	s.launch()
	s.ready()
}

// launch starts the server where it is at home.
func (s *server) launch() {
	s.t.Helper()
	within(s.t, s.ns, func() { s.proc = launchAs(s.t, cmp.Or(s.binary, racer), s.env, s.log, "server", "--config", s.config) })
}

// ready waits until a running server decides sign-ins.
func (s *server) ready() {
	s.t.Helper()
	last := ""
	await(s.t, "ready", func() bool {
		if !s.proc.alive() {
			s.t.Fatalf("the server ended at its start")
		}
		var code int
		code, last = s.get("/health/ready")
		return code == http.StatusOK
	})
	if !strings.Contains(last, `"ready":true`) {
		s.t.Fatalf("/health/ready says %s", last)
	}
}

// get reads from the metrics listener; 0 if it does not answer.
func (s *server) get(path string) (int, string) {
	c := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (conn net.Conn, err error) {
			within(s.t, s.ns, func() { conn, err = new(net.Dialer).DialContext(ctx, network, address) })
			return conn, err
		}}}
	r, err := c.Get("http://" + s.metrics + path)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = r.Body.Close() }()
	b, _ := io.ReadAll(r.Body)
	return r.StatusCode, string(b)
}

// kill9 ends the server without a word.
func (s *server) kill9() { s.end(syscall.SIGKILL) }

// stop ends the server as systemd does.
func (s *server) stop() {
	s.t.Helper()
	s.end(syscall.SIGTERM)
	if c := s.proc.cmd.ProcessState.ExitCode(); c != 0 {
		s.t.Errorf("the stopped server ended with exit %d", c)
	}
}

func (s *server) end(how syscall.Signal) {
	if s.proc != nil && s.proc.alive() {
		s.proc.signal(s.t, how)
	}
}

// try runs a verb on this server. stdin holds what the verb reads.
func (s *server) try(stdin string, args ...string) result {
	s.t.Helper()
	return countersign(s.t, []string{"COUNTERSIGN_DATA=" + s.data}, stdin, args...)
}

// cli runs a verb that must succeed and returns its standard output.
func (s *server) cli(args ...string) string { s.t.Helper(); return s.cliIn("", args...) }

// cliIn is cli with standard input.
func (s *server) cliIn(stdin string, args ...string) string {
	s.t.Helper()
	r := s.try(stdin, args...)
	if r.code != 0 {
		s.t.Fatalf("countersign %q: exit %d\n%s%s", args, r.code, r.stdout, r.stderr)
	}
	return r.stdout
}

// json runs a verb that must print one JSON document and reads that into v.
func (s *server) json(v any, args ...string) { s.t.Helper(); s.jsonIn("", v, args...) }

// jsonIn is json with standard input.
func (s *server) jsonIn(stdin string, v any, args ...string) {
	s.t.Helper()
	out := s.cliIn(stdin, append(args, "--json")...)
	if err := document(out, v); err != nil {
		s.t.Fatalf("countersign %q: %v\n%s", args, err, out)
	}
}

// document reads text as exactly one JSON document.
func document(text string, v any) error {
	d := json.NewDecoder(strings.NewReader(text))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("more than one JSON document: %v", err)
	}
	return nil
}

// attempts returns the verdicts in the trail, newest first.
func (s *server) attempts(args ...string) []admin.Attempt {
	s.t.Helper()
	var doc admin.AttemptList
	s.json(&doc, append([]string{"audit", "list", "--here", "--limit", "0"}, args...)...)
	return doc.Attempts
}

// reasons counts the verdicts in the trail by reason.
func (s *server) reasons(args ...string) map[string]int {
	s.t.Helper()
	n := map[string]int{}
	for _, a := range s.attempts(args...) {
		n[a.Reason]++
	}
	return n
}

// verify checks the trail.
func (s *server) verify() {
	s.t.Helper()
	var v admin.AuditVerification
	s.json(&v, "audit", "verify")
	if !v.OK || v.Records == 0 {
		s.t.Errorf("audit verify: %+v", v)
	}
}

// user adds a user with a password ("": none).
func (s *server) user(login, password string, flags ...string) {
	s.t.Helper()
	args := append([]string{"user", "add", login}, flags...)
	if password != "" {
		args = append(args, "--password-stdin")
	}
	s.cliIn(password, args...)
}

// totp gives a user a TOTP credential whose secret the server makes, and confirms nothing.
func (s *server) totp(login string) *token { s.t.Helper(); return s.credential(login, "totp") }

// hotp gives a user a HOTP credential: its codes do not depend on the time.
func (s *server) hotp(login string) *token { s.t.Helper(); return s.credential(login, "hotp") }

func (s *server) credential(login, method string) *token {
	s.t.Helper()
	var made struct{ ID, Method, Secret, OTPAuthURL string }
	s.json(&made, "credential", "add", login, "--method", method)
	if made.Secret == "" || made.Method != method {
		s.t.Fatalf("credential add: %+v", made)
	}
	return newToken(s.t, method, made.Secret)
}

// secretWord is the shared secret of every RADIUS application.
const secretWord = "testing123"

// application adds a RADIUS application for clients from an address.
func (s *server) application(name, address string, flags ...string) {
	s.t.Helper()
	s.cliIn(secretWord, append([]string{"application", "add", name, "--kind", "radius", "--address", address, "--secret-stdin"}, flags...)...)
}

// given are the ports that freeAddress has returned: a server that is down keeps its own.
var given sync.Map

// freeAddress returns an address of the loopback whose port nobody uses for UDP or TCP, and
// that no other test was given. It lies below the ports that the system gives to outgoing
// connections.
func freeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		a := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		if _, taken := given.LoadOrStore(a, true); taken {
			continue
		}
		u, err := net.ListenPacket("udp", a)
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", a)
		_ = u.Close()
		if err == nil {
			_ = l.Close()
			return a
		}
	}
	t.Fatal("no free port")
	return ""
}

// rewrite sets one address in the node file and returns the file's name.
func (s *server) rewrite(setting, value string) string {
	s.t.Helper()
	b, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "  "+setting+":") {
			lines[i] = fmt.Sprintf("  %s: %q", setting, value)
		}
	}
	s.write(s.config, strings.Join(lines, "\n"))
	return s.config
}

// metric reads one number of /metrics; 0 if it is not there.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	code, text := s.get("/metrics")
	if code != http.StatusOK {
		s.t.Fatalf("/metrics: %d %s", code, text)
	}
	for _, line := range strings.Split(text, "\n") {
		if v, ok := strings.CutPrefix(line, name+" "); ok {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				s.t.Fatal(err)
			}
			return f
		}
	}
	return 0
}
