package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
)

// newDemo starts a demo on free ports.
func newDemo(t testing.TB) *server {
	t.Helper()
	s := prepare(t, "")
	s.config, s.data = "", filepath.Join(s.dir, "var")
	s.demo()
	return s
}

func (s *server) demo() {
	s.t.Helper()
	for name, value := range map[string]string{"RADIUS": s.radius, "HTTPS": s.https, "METRICS": s.metrics} {
		s.t.(*testing.T).Setenv("COUNTERSIGN_LISTEN_"+name, value)
	}
	s.proc = launch(s.t, s.log, "server", "--demo", "--data", s.data)
	s.ready()
}

// What the README tells a newcomer to do.
func TestDemo(t *testing.T) {
	s := newDemo(t)
	await(t, "what to try", func() bool { return strings.Contains(s.log.String(), "Stop with Ctrl-C.") })
	printed := s.log.String()
	var demo map[string]any
	b, err := os.ReadFile(filepath.Join(s.data, "demo.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &demo); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(s.data, "demo.json")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("demo.json: %v %v, want mode 0600", info.Mode(), err)
	}
	for _, field := range []string{"user", "password", "totp_secret", "radius_secret"} {
		if v, _ := demo[field].(string); v == "" || !strings.Contains(printed, v) {
			t.Errorf("%s %q of demo.json is not printed", field, v)
		}
	}
	sign := func() {
		t.Helper()
		out := s.cli("demo", "sign-in", "--data", s.data)
		order := regexp.MustCompile(`(?s)^> Access-Request .*< Access-Challenge .*Message-Authenticator verified.*> Access-Request .*State=.*< Access-Accept .*Message-Authenticator verified`)
		if !order.MatchString(out) {
			t.Errorf("demo sign-in says:\n%s", out)
		}
	}
	sign()
	sign() // with another code, or it would be refused
	if got := s.reasons(); got["ok"] != 2 || len(got) != 1 {
		t.Errorf("the trail has %v, want 2 ok", got)
	}
	s.cli("status")
	s.verify()

	// The next start tells the same, and the third sign-in has to wait for its code.
	s.stop()
	s.log = &log{}
	s.demo()
	again, _ := os.ReadFile(filepath.Join(s.data, "demo.json"))
	var after map[string]any
	_ = json.Unmarshal(again, &after)
	for _, field := range []string{"user", "password", "totp_secret", "otpauth_url", "application", "radius_secret"} {
		if demo[field] != after[field] || demo[field] == nil {
			t.Errorf("%s was %v, is %v", field, demo[field], after[field])
		}
	}
	words := func(text string) string {
		_, text, _ = strings.Cut(text, "Countersign demo:")
		text, _, _ = strings.Cut(text, "Stop with Ctrl-C.")
		return text
	}
	await(t, "what to try", func() bool { return strings.Contains(s.log.String(), "Stop with Ctrl-C.") })
	if words(s.log.String()) != words(printed) {
		t.Errorf("the second start prints\n%s\nthe first\n%s", words(s.log.String()), words(printed))
	}
	if got := s.reasons(); got["ok"] != 2 {
		t.Errorf("after the restart the trail has %v", got)
	}

	// What else a demo's folder is good for.
	s.stop()
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"init on it", []string{"init", "--group", "x", "--data", s.data}, "holds a group's data already, and was left as it is"},
		{"sign-in without a server", []string{"demo", "sign-in", "--data", s.data}, "is the demo running?"},
		{"no demo there", []string{"demo", "sign-in", "--data", s.dir}, "is no demo's data folder; start one with: countersign server --demo --data"},
		{"an address that others reach", nil, "a demo listens on the loopback only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.args == nil {
				c.args = []string{"server", "--demo", "--data", s.data}
				t.Setenv("COUNTERSIGN_LISTEN_RADIUS", "0.0.0.0:1812")
			}
			r := countersign(t, nil, "", c.args...)
			if line := r.oneLine(t); r.code != 1 || !strings.Contains(line, c.want) {
				t.Errorf("exit %d, %q; want %q", r.code, line, c.want)
			}
		})
	}
	if _, err := os.Stat(filepath.Join(s.dir, "demo.json")); err == nil {
		t.Error("a folder that is no demo's was written to")
	}
}

// Every command that the demo prints works as it is printed.
func TestDemoPrinted(t *testing.T) {
	mfatest.Need(t, "radclient", "oathtool")
	s := newDemo(t)
	shell := func(line string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		out, err := exec.CommandContext(ctx, "sh", "-c", line).CombinedOutput()
		return string(out), err
	}
	lines := map[string]string{}
	await(t, "what to try", func() bool { return strings.Contains(s.log.String(), "Stop with Ctrl-C") })
	for _, l := range strings.Split(s.log.String(), "\n") {
		for _, verb := range []string{"demo sign-in", "radclient", "audit list", "status"} {
			if strings.HasPrefix(l, "  ") && !strings.HasPrefix(l, "  #") && strings.Contains(l, verb+" ") {
				lines[verb] = l
			}
		}
	}
	if len(lines) != 4 {
		t.Fatalf("commands printed: %q", lines)
	}
	await(t, "a time step with some seconds left", func() bool { return time.Now().Unix()%30 < 22 })
	// The other client first: it takes the code of now. The demo's own tells what that means.
	if out, err := shell(lines["radclient"]); err != nil || !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("%s: %v\n%s", lines["radclient"], err, out)
	}
	if out, err := shell(lines["demo sign-in"]); err == nil || !strings.Contains(out, "run this again for the next") {
		t.Errorf("%s with a used code: %v\n%s", lines["demo sign-in"], err, out)
	}
	if out, err := shell(lines["demo sign-in"]); err != nil || !strings.Contains(out, "< Access-Accept") {
		t.Errorf("%s: %v\n%s", lines["demo sign-in"], err, out)
	}
	if out, err := shell(lines["audit list"]); err != nil || strings.Count(out, " ok ") != 2 || strings.Count(out, "replayed_code") != 1 {
		t.Errorf("%s: %v\n%s", lines["audit list"], err, out)
	}
	if out, err := shell(lines["status"]); err != nil || !strings.Contains(out, "master") {
		t.Errorf("%s: %v\n%s", lines["status"], err, out)
	}
}

// What is in the way of a start is told in one line, with what to do.
func TestStartRefused(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	takenUDP, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = takenUDP.Close() }()
	founded := prepare(t, "")
	founded.found()
	file := func(t *testing.T, name, text string) string {
		path := filepath.Join(t.TempDir(), name)
		founded.write(path, text)
		return path
	}
	node := func(change func(text string) string) func(t *testing.T) string {
		return func(t *testing.T) string {
			b, err := os.ReadFile(founded.config)
			if err != nil {
				t.Fatal(err)
			}
			return file(t, "node.yaml", change(string(b)))
		}
	}
	replace := func(old, by string) func(t *testing.T) string {
		return node(func(text string) string {
			if !strings.Contains(text, old) {
				t.Fatalf("%q is not in the node file", old)
			}
			return strings.Replace(text, old, by, 1)
		})
	}
	for _, c := range []struct {
		name   string
		config func(t *testing.T) string
		verb   []string
		want   []string
	}{
		{"empty folder", replace(founded.data, t.TempDir()), nil, []string{"is empty", "countersign init --group NAME --config ", "countersign activate CODE"}},
		{"folder that does not exist", replace(founded.data, filepath.Join(t.TempDir(), "none")), nil, []string{"does not exist", "countersign init"}},
		{"taken TCP port", replace(founded.https, taken.Addr().String()), nil, []string{"listen.https: ", taken.Addr().String(), "address already in use", "ss -lntup"}},
		{"taken UDP port", replace(founded.radius, takenUDP.LocalAddr().String()), nil, []string{takenUDP.LocalAddr().String(), "address already in use"}},
		{"address of another machine", replace(founded.radius, "192.0.2.1:1812"), nil, []string{"192.0.2.1:1812", "this machine has no such address"}},
		{"another server's name", replace("name: n1", "name: n2"), nil, []string{`belongs to server "n1"`, "name: n1"}},
		{"init on a used folder", replace("name: n1", "name: n1"), []string{"init", "--group", "test"}, []string{"holds a group's data already, and was left as it is"}},
		{"bad group name", replace(founded.data, t.TempDir()), []string{"init", "--group", "a b"}, []string{`group name "a b"`}},
		{"typed wrong", replace("  radius:", "  radus:"), nil, []string{"node.yaml:", `unknown key "listen.radus"; did you mean "radius"?`}},
		{"port out of range", replace(founded.https, "127.0.0.1:99999"), nil, []string{"node.yaml:", "99999", "1 to 65535"}},
		{"not YAML", func(t *testing.T) string { return file(t, "node.yaml", "name: [n1\n") }, nil, []string{"node.yaml:"}},
		{"no such node file", func(*testing.T) string { return "/nowhere/node.yaml" }, nil, []string{"/nowhere/node.yaml: no such file"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			verb := c.verb
			if verb == nil {
				verb = []string{"server"}
			}
			r := countersign(t, nil, "", append(verb, "--config", c.config(t))...)
			line := r.oneLine(t)
			if r.code != 1 {
				t.Errorf("exit %d, want 1", r.code)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q lacks %q", line, want)
				}
			}
		})
	}
	// After all of that the folder is as good as before.
	founded.start()
}

// A folder that the server may not write to. root may write everywhere, so the program
// runs as nobody.
func TestStartUnwritableFolder(t *testing.T) {
	if os.Getuid() != 0 {
		mfatest.Missing(t, "root, to become another user")
	}
	s := prepare(t, "")
	for _, d := range []string{s.dir, s.data} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(s.config, 0o644); err != nil {
		t.Fatal(err)
	}
	r := asNobody(t, "init", "--group", "test", "--config", s.config)
	if line := r.oneLine(t); r.code != 1 || !strings.Contains(line, s.data) || !strings.Contains(line, "permission denied") {
		t.Errorf("init: exit %d, %q", r.code, line)
	}
	s.found()
	r = asNobody(t, "server", "--config", s.config)
	if line := r.oneLine(t); r.code != 1 || !strings.Contains(line, s.data) || !strings.Contains(line, "permission denied") {
		t.Errorf("server: exit %d, %q", r.code, line)
	}
	s.start()
	r = asNobody(t, "status", "--data", s.data)
	if line := r.oneLine(t); r.code != 1 || !strings.Contains(line, "permission denied") {
		t.Errorf("status: exit %d, %q", r.code, line)
	}
}

// One folder, one server.
func TestSecondServer(t *testing.T) {
	s := newServer(t)
	s.application("none", "127.0.0.1", "--first-factor", "none")
	s.user("ann", "")
	k := s.hotp("ann")
	other := prepare(t, "")
	b, err := os.ReadFile(other.config)
	if err != nil {
		t.Fatal(err)
	}
	other.write(other.config, strings.Replace(string(b), other.data, s.data, 1))
	r := countersign(t, nil, "", "server", "--config", other.config)
	if want := fmt.Sprintf("%s: data folder is in use by process %d", s.data, s.proc.cmd.Process.Pid); r.code != 1 || !strings.Contains(r.oneLine(t), want) {
		t.Errorf("exit %d, %q; want %q", r.code, r.stderr, want)
	}
	if r := signIn(t, s.radius, "ann", k.press(), ""); r.code.String() != "Access-Accept" {
		t.Errorf("the first server says %v", r)
	}
	// What kill -9 leaves behind keeps nobody out.
	s.kill9()
	s.start()
	if r := signIn(t, s.radius, "ann", k.press(), ""); r.code.String() != "Access-Accept" {
		t.Errorf("after kill -9: %v", r)
	}
}

// A data folder that is not as we left it is refused with one line, and nothing in it is
// touched.
func TestFolderRefused(t *testing.T) {
	s := newServer(t)
	s.user("ann", "")
	s.stop()
	pristine := filepath.Join(s.dir, "pristine")
	copyTree(t, s.data, pristine)
	only := func(pattern string) string {
		t.Helper()
		m, err := filepath.Glob(filepath.Join(s.data, pattern))
		if err != nil || len(m) == 0 {
			t.Fatalf("%s: %v, %v", pattern, m, err)
		}
		return m[len(m)-1]
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	scribble := func(t *testing.T, path string, at int64) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
		_, err = f.WriteAt([]byte(strings.Repeat("not what was here ", 512)), at)
		must(t, err)
		must(t, f.Close())
	}
	for _, c := range []struct {
		name   string
		damage func(t *testing.T)
		want   []string
	}{
		{"foreign files", func(t *testing.T) {
			must(t, os.RemoveAll(s.data))
			must(t, os.Mkdir(s.data, 0o700))
			s.write(filepath.Join(s.data, "budget.xls"), "x")
		}, []string{"is not a data folder of this program: it holds budget.xls"}},
		{"a file instead", func(t *testing.T) { must(t, os.RemoveAll(s.data)); s.write(s.data, "x") }, []string{s.data}},
		{"no epoch file", func(t *testing.T) { must(t, os.Remove(filepath.Join(s.data, "epoch.json"))) }, []string{"no epoch.json", "put epoch.json back from a backup"}},
		{"damaged epoch file", func(t *testing.T) { s.write(filepath.Join(s.data, "epoch.json"), "{") }, []string{"epoch.json"}},
		{"changed epoch file", func(t *testing.T) {
			path := filepath.Join(s.data, "epoch.json")
			b, err := os.ReadFile(path)
			must(t, err)
			s.write(path, strings.Replace(string(b), `"decided_by": "init"`, `"decided_by": "Mallory"`, 1))
		}, []string{"epoch.json", "not signed by this server's key"}},
		{"no database", func(t *testing.T) { must(t, os.RemoveAll(only("db/epoch-*"))) }, []string{"which is not there"}},
		{"damaged log of the database", func(t *testing.T) { scribble(t, only("db/epoch-*/member/wal/*.wal"), 200) }, []string{"write-ahead log is damaged", "restore"}},
		{"damaged database", func(t *testing.T) { scribble(t, only("db/epoch-*/member/snap/db"), 0) }, []string{"damaged", "restore"}},
		{"no keys", func(t *testing.T) { must(t, os.RemoveAll(filepath.Join(s.data, "keys"))) }, []string{"not this server's keys", "backup"}},
		{"keys that others may read", func(t *testing.T) { must(t, os.Chmod(filepath.Join(s.data, "keys", "wrap.key"), 0o644)) }, []string{"wrap.key", "chmod 600"}},
		{"another server's keys", func(t *testing.T) {
			other := prepare(t, "")
			other.found()
			must(t, os.RemoveAll(filepath.Join(s.data, "keys")))
			copyTree(t, filepath.Join(other.data, "keys"), filepath.Join(s.data, "keys"))
		}, []string{"epoch.json", "not signed by this server's key"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			must(t, os.RemoveAll(s.data))
			copyTree(t, pristine, s.data)
			c.damage(t)
			before := digest(t, s.data)
			r := countersign(t, nil, "", "server", "--config", s.config)
			line := r.oneLine(t)
			if r.code != 1 {
				t.Errorf("exit %d", r.code)
			}
			for _, want := range c.want {
				if !strings.Contains(line, want) {
					t.Errorf("%q lacks %q", line, want)
				}
			}
			if after := digest(t, s.data); after != before {
				t.Errorf("the folder was touched; before\n%s\nafter\n%s", before, after)
			}
		})
	}
	must(t, os.RemoveAll(s.data))
	copyTree(t, pristine, s.data)
	s.start()
	s.cli("user", "show", "ann")
}
