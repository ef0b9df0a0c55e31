package cli_test

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/cli"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// start starts a server for one test.
func start(t *testing.T) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "cs") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return newRig(t, dir, t.Cleanup)
}

// oneLine checks that an error is one line that says want, and no stack.
func oneLine(t *testing.T, got, want string) {
	t.Helper()
	if strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "countersign: ") || !strings.Contains(got, want) || strings.Contains(got, "goroutine") {
		t.Errorf("standard error is %q, want one line with %q", got, want)
	}
}

func TestExitCodes(t *testing.T) {
	r := start(t)
	tests := []struct {
		args string
		code int
		want string
	}{
		{"user list", 0, ""},
		{"--help", 0, ""},
		{"user add --help", 0, ""},
		{"version", 0, ""},
		{"--version", 0, ""},
		{"help", 0, ""},
		{"help user add", 0, ""},
		{"", 2, "expected one of"},
		{"frob", 2, "unexpected argument frob"},
		{"user", 2, "countersign user --help"},
		{"user add", 2, `expected "<login>"`},
		{"user add a b", 2, "unexpected argument b"},
		{"user add a --frob", 2, "unknown flag --frob"},
		{"user add a --password-file x --password-stdin", 2, "not from both"},
		{"user add a --password", 2, "no terminal"},
		{"user add a --password=hunter2", 2, "--password takes no value"},
		{"user add a --password hunter2", 2, "--password takes no value"},
		{"user add a --password-stdin hunter2", 2, "--password-stdin takes no value"},
		{"user remove a", 2, "--yes"},
		{"user list --limit=-1", 2, "--limit -1"},
		{"user block a --for ever", 2, "7d"},
		{"credential add a", 2, "--method"},
		{"completion tcsh", 2, "bash"},
		{"--server http://x status", 2, "https://HOST:PORT"},
		{"--server https://user:pw@x status", 2, "https://HOST:PORT"},
		{"--server https://x status", 2, "COUNTERSIGN_TOKEN"},
		{"--server https://x --token-file /nonexistent status", 1, "--token-file"},
		{"user show nobody", 1, `user "nobody": not found`},
		{"user add a --password-file /nonexistent", 1, "password: open /nonexistent"},
		{"server", 2, "unexpected argument server"}, // no hook, no verb
		{"--data /nonexistent status", 1, "no server is running"},
	}
	for _, tt := range tests {
		t.Run(tt.args, func(t *testing.T) {
			got := r.run(nil, strings.Fields(tt.args)...)
			if got.code != tt.code {
				t.Errorf("exit %d, want %d: %s", got.code, tt.code, got.err)
			}
			if strings.Contains(got.err, "hunter2") {
				t.Errorf("a secret is said again: %s", got.err)
			}
			if tt.want != "" {
				oneLine(t, got.err, tt.want)
				if got.out != "" {
					t.Errorf("standard output has %q", got.out)
				}
			}
		})
	}
}

func TestSecretsThatCannotBe(t *testing.T) {
	r := start(t)
	for name, tt := range map[string]struct{ in, want string }{
		"nothing":     {"", "ended before it"},
		"not UTF-8":   {"a\xff\n", "not UTF-8"},
		"NUL":         {"a\x00b\n", "NUL"},
		"far too big": {strings.Repeat("x", 5000) + "\n", "longer than"},
		"too long":    {strings.Repeat("x", 129) + "\n", "128 bytes"},
	} {
		got := r.run(func(d *cli.Deps) { d.Stdin = strings.NewReader(tt.in) }, "user", "add", "x", "--password-stdin")
		if got.code != 1 {
			t.Errorf("%s: exit %d", name, got.code)
		}
		oneLine(t, got.err, tt.want)
	}
	if got := r.run(nil, "user", "show", "x"); got.code != 1 {
		t.Error("the user is there")
	}
}

func TestPrompts(t *testing.T) {
	r := start(t)
	tests := []struct {
		name    string
		args    []string
		answers []string
		asked   []string
		code    int
		out     string
	}{
		{"a password, typed twice", []string{"user", "add", "alice", "--password"}, []string{"hunter2", "hunter2"},
			[]string{"Password: ", "Once more: "}, 0, "alice"},
		{"two that differ", []string{"user", "add", "bob", "--password"}, []string{"a", "b"}, []string{"Password: ", "Once more: "}, 1, ""},
		{"the shared secret of a RADIUS client", []string{"application", "add", "vpn", "--kind", "radius", "--address", "10.0.0.1"},
			[]string{"testing123", "testing123"}, []string{"Secret: ", "Once more: "}, 0, "kind                   radius"},
		{"the bind password", []string{"directory", "add", "corp", "--url", "ldaps://dc", "--base-dn", "dc=x", "--bind-dn", "cn=x"},
			[]string{"pw"}, []string{"Bind password: "}, 0, "bind dn          cn=x"},
		{"removal, no", []string{"user", "remove", "alice"}, []string{"n"}, []string{"Remove user alice for ever? [y/N] "}, 1, ""},
		{"removal, a line's end is no", []string{"user", "remove", "alice"}, []string{""}, []string{"Remove user alice for ever? [y/N] "}, 1, ""},
		{"a token by hand: asked for a code, later", []string{"credential", "add", "alice", "--method", "totp"}, []string{""},
			[]string{"Code that the app shows now (empty: later): "}, 0, "otpauth://totp/"},
		{"a new epoch, yes is not enough", []string{"group", "promote", "--disaster"}, []string{"yes"}, []string{"Type acme/1 to go on: "}, 1, "Not known: what nyc2 wrote"},
		{"a new epoch, forced all the same", []string{"group", "promote", "--disaster", "--force", "--yes"}, []string{"acme/2"}, []string{"Type acme/1 to go on: "}, 1, ""},
		{"a new epoch", []string{"group", "promote", "--disaster"}, []string{" acme/1 "}, []string{"Type acme/1 to go on: "}, 0, "new epoch       2"},
		{"removal, yes", []string{"user", "remove", "alice"}, []string{"Yes"}, []string{"Remove user alice for ever? [y/N] "}, 0, "alice"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var asked []string
			got := r.run(typing(t, &asked, tt.answers...), tt.args...)
			if got.code != tt.code || !strings.Contains(got.out, tt.out) {
				t.Errorf("exit %d\n%s%s", got.code, got.out, got.err)
			}
			if !slices.Equal(asked, tt.asked) {
				t.Errorf("asked %q, want %q", asked, tt.asked)
			}
		})
	}
}

// TestActivationCodeIsTyped: at a terminal a line's end ends the code, and nothing else reads the keyboard.
func TestActivationCodeIsTyped(t *testing.T) {
	r := start(t)
	var asked []string
	var code string
	got := r.run(func(d *cli.Deps) {
		typing(t, &asked, "AEEFM-M9ZDR", "y")(d)
		d.Stdin = strings.NewReader("not this")
		d.Activate = func(_ context.Context, _ cli.Globals, c string, confirm func(group.Preview) error) error {
			code = c
			return confirm(group.Preview{Group: "corp"})
		}
	}, "activate", "-")
	if want := []string{"Activation code: ", "Join this group? [y/N] "}; got.code != 0 || code != "AEEFM-M9ZDR" || !slices.Equal(asked, want) {
		t.Errorf("exit %d, code %q, asked %q\n%s", got.code, code, asked, got.err)
	}
}

// TestQRAndConfirmation is what a person at a terminal sees when they enrol somebody.
func TestQRAndConfirmation(t *testing.T) {
	r := start(t)
	r.run(nil, "user", "add", "alice")
	// The code is computed from what is on the screen, as an app would.
	var out, errs bytes.Buffer
	got := r.run(func(d *cli.Deps) {
		d.Terminal, d.Stdout, d.Stderr = true, &out, &errs
		d.Prompt = func(string, bool) (string, error) {
			for line := range strings.Lines(out.String()) {
				if seed, ok := strings.CutPrefix(line, "secret"); ok {
					return code(t, strings.TrimSpace(seed), 0), nil
				}
			}
			return "", errors.New("no secret on the screen")
		}
	}, "credential", "add", "alice", "--method", "totp")
	if got.code != 0 || !strings.Contains(out.String(), "▀") && !strings.Contains(out.String(), "█") || !strings.Contains(errs.String(), "Proven.") {
		t.Errorf("exit %d\n%s%s", got.code, &out, &errs)
	}
	if list := r.run(nil, "credential", "list", "alice", "--json"); !strings.Contains(list.out, `"confirmed": "2026-11-25T12:00:00Z"`) {
		t.Errorf("not proven: %s", list.out)
	}
}

func TestRemoteServer(t *testing.T) {
	r := start(t)
	srv := httptest.NewTLSServer(r.api)
	defer srv.Close()
	made, err := r.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: "ci", Scopes: []string{"read"}, Seconds: 60})
	if err != nil {
		t.Fatal(err)
	}
	token := string(made.Token.Expose())
	dir := t.TempDir()
	ca, file, junk := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "token"), filepath.Join(dir, "junk")
	for name, b := range map[string][]byte{file: []byte(token + "\n"), junk: []byte("junk"),
		ca: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := func(token string) func(*cli.Deps) {
		return func(d *cli.Deps) {
			d.Env = func(name string) string { return map[string]string{"COUNTERSIGN_TOKEN": token}[name] }
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := "https://" + closed.Addr().String()
	_ = closed.Close()
	tests := []struct {
		name, token string
		args        []string
		code        int
		want        string
	}{
		{"token in the environment", token, []string{"status", "--server", srv.URL, "--ca-file", ca}, 0, ""},
		{"token in a file", "", []string{"status", "--server", srv.URL, "--ca-file", ca, "--token-file", file}, 0, ""},
		{"unknown authority", token, []string{"status", "--server", srv.URL}, 1, "--ca-file"},
		{"no certificate in the file", token, []string{"status", "--server", srv.URL, "--ca-file", junk}, 1, "no PEM certificate"},
		{"wrong token", "cs_wrong", []string{"status", "--server", srv.URL, "--ca-file", ca}, 1, "not valid or has expired"},
		{"scope too small", token, []string{"user", "add", "x", "--server", srv.URL, "--ca-file", ca}, 1, `; these scopes do: write, users:write`},
		{"owners only", token, []string{"api-token", "create", "x", "--scope", "read", "--server", srv.URL, "--ca-file", ca}, 1, "this is an owner's"},
		{"nobody there", token, []string{"status", "--server", away, "--ca-file", ca}, 1, "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := r.run(env(tt.token), tt.args...)
			if got.code != tt.code {
				t.Errorf("exit %d: %s", got.code, got.err)
			}
			if tt.want != "" {
				oneLine(t, got.err, tt.want)
			}
			if strings.Contains(got.out+got.err, token) {
				t.Error("the token is shown")
			}
		})
	}
}

// TestTokenStaysWithItsServer: a redirect must not carry the token away.
func TestTokenStaysWithItsServer(t *testing.T) {
	r := start(t)
	thief := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer thief.Close()
	srv := httptest.NewTLSServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer srv.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	got := r.run(func(d *cli.Deps) { d.Env = func(string) string { return "cs_x" } }, "status", "--server", srv.URL, "--ca-file", ca)
	if got.code != 1 {
		t.Errorf("exit %d", got.code)
	}
	oneLine(t, got.err, "not Countersign's way")
}

// safeBuffer is an output that is read while it is written.
type safeBuffer struct {
	mu   sync.Mutex
	b    bytes.Buffer
	line chan struct{} // one for each write
}

func (s *safeBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	n, err := s.b.Write(b)
	s.mu.Unlock()
	s.line <- struct{}{}
	return n, err
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestAuditTail(t *testing.T) {
	for _, flag := range []string{"--json", "--yes"} {
		r := start(t)
		out := &safeBuffer{line: make(chan struct{}, 8)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan int, 1)
		d := deps()
		d.Stdout = out
		go func() { ended <- cli.Run(ctx, []string{"audit", "tail", flag, "--data", r.dir}, d) }()
		r.trail.Listening()
		for _, login := range []string{"alice", "bo\x1b[31mb"} {
			a := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: noon, Login: login, Application: "vpn", Verdict: mfa.Reject, Reason: mfa.WrongCode}
			if err := r.trail.Append(ctx, mfa.Record{Attempt: &a}); err != nil {
				t.Fatal(err)
			}
			<-out.line
		}
		stop()
		if code := <-ended; code != 0 {
			t.Errorf("%s: exit %d after an interrupt", flag, code)
		}
		want := "2026-11-25 13:00:00  reject    wrong_code             alice  vpn"
		if flag == "--json" {
			want = `"login":"alice"`
		}
		got := out.String()
		if !strings.Contains(got, want) || strings.Count(got, "\n") != 2 || strings.Contains(got, "\x1b") {
			t.Errorf("%s: %q", flag, got)
		}
	}
}

func TestServerThatIsAwayIsNamed(t *testing.T) {
	dir := t.TempDir()
	got := (&rig{dir: dir}).run(nil, "status")
	oneLine(t, got.err, filepath.Join(dir, "admin.sock")+": no server is running")
	stale := filepath.Join(dir, "admin.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	got = (&rig{dir: dir}).run(nil, "status")
	oneLine(t, got.err, "countersign server --config FILE")
}

func TestDoctorWithoutServer(t *testing.T) {
	got := (&rig{dir: t.TempDir()}).run(func(d *cli.Deps) {
		d.Doctor = func(context.Context, cli.Globals) ([]admin.Check, error) {
			return []admin.Check{{Name: "data folder", OK: true}, {Name: "port", Detail: "taken", NextStep: "choose another"}}, nil
		}
	}, "doctor", "--json")
	if got.code != 1 || !strings.Contains(got.out, `"next_step": "choose another"`) {
		t.Errorf("exit %d: %s", got.code, got.out)
	}
	oneLine(t, got.err, "1 of 2 checks failed")
}

func TestDataFolder(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  string
		args []string
		want string
	}{
		{"the flag wins", "/env", []string{"--data", "/flag", "--config", "/c.yaml"}, "/flag/"},
		{"then the node file", "/env", []string{"--config", "/c.yaml"}, "/from/c.yaml/"},
		{"then the environment", "/env", nil, "/env/"},
		{"then the default node file", "", nil, "/from/default/"},
	} {
		d := deps()
		var errs bytes.Buffer
		d.Stderr = &errs
		d.Env = func(string) string { return tt.env }
		d.DataDir = func(file string) (string, error) {
			if file == "" {
				file = "/default"
			}
			return "/from" + file, nil
		}
		if cli.Run(t.Context(), append([]string{"status"}, tt.args...), d); !strings.Contains(errs.String(), tt.want+"admin.sock") {
			t.Errorf("%s: %s", tt.name, errs.String())
		}
	}
}

// addedVerbs are verbs that the calling program adds.
type addedVerbs struct {
	Members struct{} `cmd:"" help:"List."`
	Leave   leave    `cmd:"" help:"Leave."`
}

type leave struct{ Hard bool }

func (l *leave) Run(ctx context.Context, g cli.Globals) error {
	if ctx == nil || !g.JSON || !l.Hard {
		return errors.New("not what was given")
	}
	return nil
}

func TestHooks(t *testing.T) {
	var called []string
	d := deps()
	d.Init = func(_ context.Context, g cli.Globals, group string) error {
		called = append(called, "init "+group+" "+g.Config)
		return nil
	}
	d.Server = func(_ context.Context, _ cli.Globals, demo bool) error {
		called = append(called, map[bool]string{true: "demo", false: "server"}[demo])
		return errors.New("port taken\nby somebody")
	}
	d.DemoSignIn = func(context.Context, cli.Globals) error { called = append(called, "sign-in"); return nil }
	d.RestoreBackup = func(_ context.Context, g cli.Globals, r io.Reader, p secret.Text, confirm string) error {
		b, err := io.ReadAll(r)
		called = append(called, string(b)+string(p.Expose())+confirm+g.Data)
		return err
	}
	d.RestoreSnapshot = func(_ context.Context, g cli.Globals, file, confirm string) error {
		called = append(called, "snapshot "+file+" "+confirm+g.Data)
		return nil
	}
	d.Commands = []cli.Command{{Name: "cluster", Help: "The cluster.", Grammar: &addedVerbs{}}}
	var errs bytes.Buffer
	d.Stderr = &errs
	dir := t.TempDir()
	file, pass := filepath.Join(dir, "b"), filepath.Join(dir, "p")
	for name, text := range map[string]string{file: "backup/", pass: "pass/"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for args, want := range map[string]int{
		"init --group acme --config /c.yaml": 0, "init": 2, "server": 1, "server --demo": 1, "demo sign-in": 0,
		"cluster leave --hard --json": 0, "cluster leave --json": 1,
		"backup restore " + file + " --passphrase-file " + pass + " --confirm acme/1 --data /d": 0,
		"backup restore /old/snapshots/x.snapshot --confirm acme/1 --data /d":                   0,
	} {
		if code := cli.Run(t.Context(), strings.Fields(args), d); code != want {
			t.Errorf("%s: exit %d, want %d: %s", args, code, want, errs.String())
		}
	}
	slices.Sort(called)
	if want := []string{"backup/pass/acme/1/d", "demo", "init acme /c.yaml", "server", "sign-in", "snapshot /old/snapshots/x.snapshot acme/1/d"}; !slices.Equal(called, want) {
		t.Errorf("called %q, want %q", called, want)
	}
	if !strings.Contains(errs.String(), "countersign: port taken; by somebody\n") {
		t.Errorf("errors: %s", errs.String())
	}
}

// TestCompletion runs the script in the shells that are here: bash always is.
func TestCompletion(t *testing.T) {
	r := &rig{dir: t.TempDir()}
	script := r.run(nil, "completion", "bash").out
	complete := func(words ...string) []string {
		cmd := exec.Command("bash", "-c", script+`
COMP_WORDS=(countersign "$@"); COMP_CWORD=$#; _countersign; printf '%s\n' "${COMPREPLY[@]}"`, "bash")
		cmd.Args = append(cmd.Args, words...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.Fields(string(out))
	}
	for _, tt := range []struct {
		words []string
		want  string
	}{
		{[]string{"cred"}, "credential"},
		{[]string{"user", "unb"}, "unblock"},
		{[]string{"--json", "api-token", "rev"}, "revoke"},
		{[]string{"user", "add", "alice", "--st"}, "--state"},
		{[]string{"user", "add", "alice", "--state", "ex"}, "exempt"},
		{[]string{"credential", "add", "alice", "--method", "ta"}, "tap"},
		{[]string{"completion", "z"}, "zsh"},
	} {
		if got := complete(tt.words...); !slices.Equal(got, []string{tt.want}) {
			t.Errorf("%q: got %q, want %q", tt.words, got, tt.want)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		got := r.run(nil, "completion", shell)
		for _, want := range []string{"user add", "exempt", "api-token"} {
			if got.code != 0 || !strings.Contains(got.out, want) {
				t.Errorf("%s: exit %d, no %q", shell, got.code, want)
			}
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		cmd := exec.Command(shell, "-n")
		cmd.Stdin = strings.NewReader(got.out)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s does not parse it: %s", shell, out)
		}
	}
}
