package adminapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

type rig struct {
	api    *API
	db     *admintest.Memory
	trail  *admintest.Trail
	node   *admintest.Node
	log    *lockedBuffer
	socket string       // path; the test's own user is at the other end
	owner  *http.Client // through it
	tls    *httptest.Server
	late   atomic.Bool // a year has gone by
}

// lockedBuffer is a log that goroutines write to.
type lockedBuffer = mfatest.Output

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{db: admintest.New(), trail: admintest.NewTrail(), log: &lockedBuffer{}}
	now := func() time.Time {
		if r.late.Load() {
			return noon.AddDate(1, 0, 0)
		}
		return noon
	}
	r.node = &admintest.Node{Now: now}
	a := admintest.Admin(r.db, r.trail, r.node, admintest.Engine(func(mfa.Request) mfa.Decision { return mfa.Decision{} }))
	e := &enroll.Service{Server: "nyc1", Issuer: "acme", Store: r.db, Applications: r.db, Settings: r.db.Settings, Resolve: a.Resolve, Trail: r.trail, Now: now}
	log := slog.New(slog.NewTextHandler(r.log, nil))
	r.api = New(a, e, "test", log)
	r.socket = filepath.Join(t.TempDir(), "admin.sock")
	l, err := ListenSocket(r.socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, r.api, log) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	r.owner = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", r.socket)
	}}}
	t.Cleanup(r.owner.CloseIdleConnections)
	r.tls = httptest.NewTLSServer(r.api)
	t.Cleanup(r.tls.Close)
	return r
}

// do sends a request as the owner and returns status and body.
func (r *rig) do(t *testing.T, method, path, body string) (int, string) {
	t.Helper()
	return send(t, r.owner, method, "http://unix"+Prefix+path, "", body)
}

func send(t *testing.T, c *http.Client, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// token makes one with the scopes.
func (r *rig) token(t *testing.T, scopes ...string) string {
	t.Helper()
	made, err := r.api.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: mfa.NewID(nil), Scopes: scopes, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	return string(made.Token.Expose())
}

// operations returns every operation of the document.
func (r *rig) operations() map[string]*huma.Operation {
	ops := map[string]*huma.Operation{}
	for path, item := range r.api.huma.OpenAPI().Paths {
		for method, op := range methodsOf(item) {
			ops[method+" "+path] = op
		}
	}
	return ops
}

// as sends a request with what a caller of those permissions may, past identification.
func (r *rig) as(method, path, body string, who admin.Caller) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	r.api.mux.ServeHTTP(w, as(req, who))
	return w
}

// concrete fills in the parameters of a path.
func concrete(path string) string {
	return strings.NewReplacer("{login}", "alice", "{name}", "x", "{id}", "totp").Replace(path)
}

// TestRules walks every operation with every permission alone: it is reached by those of its
// rule and by no other. An operation without a rule fails.
func TestRules(t *testing.T) {
	r := newRig(t)
	ops := r.operations()
	if len(ops) < 50 {
		t.Fatalf("only %d operations", len(ops))
	}
	every := append(mfa.RoleOwner.Permissions().List(), mfa.MayAuthenticate)
	for name, op := range ops {
		need, _ := op.Metadata[ruleKey].(rule)
		if len(need) == 0 {
			t.Errorf("%s declares no rule", name)
		}
		method, path, _ := strings.Cut(name, " ")
		if method != http.MethodGet && path != "/audit/verify" && !slices.ContainsFunc(need, func(p mfa.Permission) bool { return !mfa.RoleAuditor.Permissions().Has(p) }) {
			t.Errorf("%s: an auditor may", name)
		}
		if method == http.MethodGet && !slices.ContainsFunc(need, mfa.RoleAuditor.Permissions().Has) {
			t.Errorf("%s: an auditor may not", name)
		}
		for _, p := range every {
			want := slices.Contains(need, p)
			if path == "/audit/tail" && want {
				continue // it does not end; below
			}
			w := r.as(method, concrete(path), "{}", admin.Caller{By: "x", Role: mfa.RoleOwner, Permissions: mfa.SetOf(p), Reach: mfa.Reach{All: true}})
			refused := w.Code == http.StatusForbidden && !strings.Contains(w.Body.String(), "name the user")
			if refused == want {
				t.Errorf("%s with %s: %d %s", name, p, w.Code, w.Body)
			}
		}
		if w := r.as(method, concrete(path), "{}", admin.Caller{}); w.Code != http.StatusForbidden {
			t.Errorf("%s by nobody: %d", name, w.Code)
		}
	}
}

// TestTokens walks every operation with a token of every scope, and with none.
func TestTokens(t *testing.T) {
	r := newRig(t)
	tokens := map[string]string{}
	for _, s := range admin.Scopes() {
		if s != admin.ScopeAuthenticate {
			tokens[s] = r.token(t, s)
		}
	}
	for name, op := range r.operations() {
		need, _ := op.Metadata[ruleKey].(rule)
		method, path, _ := strings.Cut(name, " ")
		ask := func(token string) (int, string) {
			req := httptest.NewRequest(method, "https://nyc1.example.net"+Prefix+concrete(path), strings.NewReader("{}"))
			req.Header.Set("Content-Type", "application/json")
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			r.api.ServeHTTP(w, req)
			return w.Code, w.Body.String()
		}
		for scope, token := range tokens {
			want := slices.Contains(need.scopes(), scope)
			if path == "/audit/tail" && want {
				continue
			}
			status, body := ask(token)
			if refused := status == 403 && !strings.Contains(body, "name the user"); refused == want || status == 401 {
				t.Errorf("%s with scope %s: %d %s", name, scope, status, body)
			}
		}
		for _, token := range []string{"", "cs_nonsense"} {
			if status, body := ask(token); status != 401 {
				t.Errorf("%s with %q: %d %s", name, token, status, body)
			}
		}
		if slices.Contains(need, mfa.MayOwn) && len(need.scopes()) > 0 {
			t.Errorf("%s is an owner's and has scopes %v", name, need.scopes())
		}
	}
	if status, body := send(t, r.tls.Client(), "GET", r.tls.URL+Prefix+"/nonsense", "", ""); status != 401 {
		t.Errorf("what there is may not be asked by strangers: %d %s", status, body)
	}
}

// TestOperationWithoutRuleIsClosed: forgetting the rule closes, not opens.
func TestOperationWithoutRuleIsClosed(t *testing.T) {
	r := newRig(t)
	huma.Register(r.api.huma, huma.Operation{OperationID: "forgotten", Method: "GET", Path: "/forgotten"}, func(context.Context, *none) (*answer[string], error) {
		return &answer[string]{Body: "secret"}, nil
	})
	if status, body := r.do(t, "GET", "/forgotten", ""); status != 403 || strings.Contains(body, "secret") {
		t.Errorf("owner got %d %s", status, body)
	}
}

func TestNobodyWithoutTLSOrSocket(t *testing.T) {
	r := newRig(t)
	plain := httptest.NewServer(r.api)
	defer plain.Close()
	status, body := send(t, plain.Client(), "GET", plain.URL+Prefix+"/status", r.token(t, admin.ScopeRead), "")
	if status != 401 || !strings.Contains(body, "https only") {
		t.Errorf("a token over plain TCP: %d %s", status, body)
	}
}

func TestPeers(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    peer
		want bool
	}{
		{"root", peer{uid: 0}, true},
		{"the server's own user", peer{uid: os.Geteuid()}, true},
		{"somebody else", peer{uid: 65534}, false},
		{"nobody knows", peer{err: net.ErrClosed}, false},
	} {
		if got := tt.p.owner(); got != tt.want {
			t.Errorf("%s: owner %v", tt.name, got)
		}
	}
	r := newRig(t)
	for name, p := range map[string]peer{"a stranger": {uid: 65534}, "no answer": {err: net.ErrClosed}} {
		req := httptest.NewRequest("GET", Prefix+"/status", nil)
		w := httptest.NewRecorder()
		r.api.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), peerKey{}, p)))
		if w.Code != 401 {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	// The kernel's own word, through a real socket.
	if status, body := r.do(t, "POST", "/users", `{"login":"alice"}`); status != 200 {
		t.Fatalf("owner: %d %s", status, body)
	}
	if by := r.trail.Recorded()[0].By; !strings.HasSuffix(by, " (unix socket)") {
		t.Errorf("recorded by %q", by)
	}
}

func TestSocketFile(t *testing.T) {
	r := newRig(t)
	fi, err := os.Stat(r.socket)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	again, err := ListenSocket(stale)
	if err != nil {
		t.Fatalf("a dead server's socket: %v", err)
	}
	_ = again.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ListenSocket(file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file in its place: %v", err)
	}
	if _, err := ListenSocket(filepath.Join(dir, strings.Repeat("x", 108))); err == nil || !strings.Contains(err.Error(), "data_dir") {
		t.Errorf("a long path: %v", err)
	}
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name, method, path, body string
		status                   int
		detail                   string
	}{
		{"not found", "GET", "/users/nobody", "", 404, `user "nobody": not found`},
		{"unknown operation", "GET", "/nonsense", "", 404, "no operation GET"},
		{"wrong method", "PUT", "/users", "{}", 405, "no operation PUT /api/v1/users; there is GET, HEAD, POST"},
		{"no body", "POST", "/users", "", 400, "body is required"},
		{"no JSON", "POST", "/users", "{", 400, ""},
		{"unknown field", "POST", "/users", `{"login":"a","pasword":"hunter2"}`, 422, "pasword"},
		{"wrong type", "POST", "/users", `{"login":"a","password":["hunter2"]}`, 422, "password: expected string"},
		{"wrong word", "POST", "/users", `{"login":"a","state":"hunter2"}`, 422, "state: expected value to be one of"},
		{"bad login", "POST", "/users", `{"login":"a b"}`, 422, "login: "},
		{"unknown query", "GET", "/users?stat=exempt", "", 422, "stat: unknown query parameter"},
		{"bad number", "GET", "/users?limit=0", "", 422, "limit"},
		{"bad time", "GET", "/audit/attempts?since=yesterday", "", 422, "since"},
		{"unknown reason", "GET", "/audit/attempts?reason=bad_luck", "", 422, "bad_luck"},
		{"empty policy", "PATCH", "/policy", `{"tries":0}`, 422, "tries"},
		{"no passphrase", "POST", "/backup", "{}", 422, "passphrase"},
		{"short passphrase", "POST", "/backup", `{"passphrase":"hunter2"}`, 422, "passphrase"},
		{"body too large", "POST", "/users", `{"login":"` + strings.Repeat("a", 2<<20) + `"}`, 413, ""},
		{"level nobody has", "POST", "/log-level", `{"component":"nonsense","level":"debug"}`, 500, "none of that name"},
	}
	r := newRig(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := r.do(t, tt.method, tt.path, tt.body)
			var p huma.ErrorModel
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%d %s: %v", status, body, err)
			}
			if status != tt.status || p.Status != tt.status || !strings.Contains(p.Detail, tt.detail) || strings.Contains(body, "hunter2") {
				t.Errorf("got %d %s, want %d with %q", status, body, tt.status, tt.detail)
			}
		})
	}
	if len(r.trail.Recorded()) != 0 {
		t.Errorf("refused requests left acts: %+v", r.trail.Recorded())
	}
	for err, want := range map[error]int{mfa.ErrUnavailable: 503, mfa.ErrReadOnly: 503, mfa.ErrUnknownOutcome: 503, mfa.ErrTooMany: 429, mfa.ErrConflict: 409, mfa.ErrExists: 409, io.EOF: 500} {
		r.db.Fail = fmt.Errorf("write: %w", err)
		if status, body := r.do(t, "POST", "/users", `{"login":"x"}`); status != want {
			t.Errorf("%v: %d %s", err, status, body)
		}
	}
}

func TestLargeHeaderIsRefused(t *testing.T) {
	r := newRig(t)
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://unix"+Prefix+"/status", nil)
	req.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	res, err := r.owner.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 431 {
		t.Errorf("got %s", res.Status)
	}
}

func TestObjectsOverHTTP(t *testing.T) {
	r := newRig(t)
	for _, step := range []struct{ method, path, body, want string }{
		{"POST", "/users", `{"login":"corp\\alice","tags":["a"]}`, `"login":"corp\\alice"`},
		{"PATCH", "/users/corp%5Calice", `{"login":"alice@corp.example","tags":[]}`, `"tags":[]`},
		{"GET", "/users/alice@corp.example", "", `"state":"protected"`},
		{"GET", "/users?limit=1&state=protected", "", `{"users":[{"id":`},
		{"POST", "/users/alice@corp.example/block", `{"reason":"x","seconds":60}`, `"blocked":true`},
		{"POST", "/users/alice@corp.example/unblock", "", `"blocked":false`},
		{"POST", "/users/alice@corp.example/unlock", "", `"login"`},
		{"POST", "/users/alice@corp.example/credentials", `{"method":"totp"}`, `"otpauth_url":"otpauth://totp/acme:alice%40corp.example?`},
		{"GET", "/users/alice@corp.example/credentials", "", `{"credentials":[{`},
		{"POST", "/users/alice@corp.example/credentials/totp/disable", "", `"disabled":true`},
		{"DELETE", "/users/alice@corp.example/credentials/totp", "", `{"removed":"totp"}`},
		{"POST", "/applications", `{"name":"vpn","kind":"radius","addresses":["10.0.0.1"],"secret":"long enough"}`, `"message_authenticator":"learn"`},
		{"PATCH", "/applications/vpn", `{"reply":[{"attribute":"Class","value":"x"}]}`, `"reply":[{"attribute":"Class","value":"x"}]`},
		{"GET", "/policy", "", `"login_domains":[]`},
		{"PATCH", "/policy", `{"tries":7}`, `"tries":7`},
		{"GET", "/policy/explain?login=alice@corp.example&application=vpn", "", `"rules":[{`},
		{"GET", "/keys", "", `{"keys":[{"id":"00000001"`},
		{"GET", "/blastradius", "", `"state":"unknown"`},
		{"GET", "/audit/acts?limit=1", "", `{"acts":[{`},
		{"POST", "/audit/verify", "", `"ok":true`},
		{"POST", "/doctor", "", `"changes":{"ok":false,"detail":"are refused: no master"},"checks":[]}`},
		{"GET", "/openapi.json", "", `"openapi":"3.1.0"`},
		{"DELETE", "/users/alice@corp.example", "", `{"removed":"alice@corp.example"}`},
	} {
		status, body := r.do(t, step.method, step.path, step.body)
		if status != 200 || !strings.Contains(body, step.want) || strings.Contains(body, "$schema") {
			t.Errorf("%s %s: %d %s", step.method, step.path, status, body)
		}
	}
}

func TestSecretsAreWriteOnlyInTheDocument(t *testing.T) {
	r := newRig(t)
	doc, err := r.api.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Components struct {
			Schemas map[string]struct {
				Properties map[string]struct {
					WriteOnly bool `json:"writeOnly"`
				} `json:"properties"`
			} `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		t.Fatal(err)
	}
	// What the server made itself is shown once; everything else goes in only.
	once := map[string]bool{"APIToken.token": true, "Created.secret": true, "Created.codes": true, "Created.otpauth_url": true}
	for schema, s := range d.Components.Schemas {
		for p, v := range s.Properties {
			secret := strings.Contains(p, "password") && p != "has_password" || strings.Contains(p, "secret") || p == "passphrase" || p == "codes" || p == "token"
			if secret && !v.WriteOnly && !once[schema+"."+p] && schema != "Request" {
				t.Errorf("%s.%s is not write-only", schema, p)
			}
		}
	}
	if bytes.Contains(doc, []byte("http://")) {
		t.Error("the document points elsewhere")
	}
}

func TestTailStreamsAndEndsWithTheServer(t *testing.T) {
	r := newRig(t)
	l, err := ListenSocket(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, r.api, slog.New(slog.DiscardHandler)) }()
	c := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", l.Addr().String())
	}}}
	res, err := c.Get("http://unix" + Prefix + "/audit/tail")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	r.trail.Listening()
	lines := bufio.NewScanner(res.Body)
	for _, login := range []string{"alice", "bob"} {
		a := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: noon, Login: login, Verdict: mfa.Accept, Reason: mfa.OK, Duration: 1500 * time.Microsecond}
		if err := r.trail.Append(ctx, mfa.Record{Attempt: &a}); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
		var got admin.Attempt
		if err := json.Unmarshal(lines.Bytes(), &got); err != nil || got.Login != login || got.DurationMS != 1.5 || got.Verdict != "accept" {
			t.Errorf("line %s: %v", lines.Bytes(), err)
		}
	}
	stop()
	if lines.Scan() {
		t.Errorf("a line after the end: %s", lines.Bytes())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestBackupThatBreaksOffIsNoBackup(t *testing.T) {
	r := newRig(t)
	pass := `{"passphrase":"correct horse battery"}`
	if status, body := r.do(t, "POST", "/backup", pass); status != 200 || body != "a backup" {
		t.Errorf("got %d %q", status, body)
	}
	r.node.Break = true
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://unix"+Prefix+"/backup", strings.NewReader(pass))
	req.Header.Set("Content-Type", "application/json")
	res, err := r.owner.Do(req)
	if err == nil {
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
	}
	if err == nil {
		t.Error("a backup that broke off looks whole")
	}
	if !strings.Contains(r.log.String(), "the disk went away") {
		t.Errorf("the log does not say why: %s", r.log)
	}
}

func TestImportOverHTTP(t *testing.T) {
	r := newRig(t)
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://unix"+Prefix+"/import/users?dry_run=true", strings.NewReader("login\nalice\nb b\n"))
	req.Header.Set("Content-Type", "text/csv")
	res, err := r.owner.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var rep admin.ImportReport
	if err := json.NewDecoder(res.Body).Decode(&rep); err != nil || rep.Created != 1 || rep.Failed != 1 || !rep.DryRun || r.db.CountUsers() != 0 {
		t.Errorf("report %+v, %v", rep, err)
	}
}

func TestPanicEndsOneRequest(t *testing.T) {
	r := newRig(t)
	huma.Register(r.api.huma, operation(readStatus, "GET", "/panic", "Panic"), func(context.Context, *none) (*answer[string], error) {
		panic("of no use")
	})
	if res, err := r.owner.Get("http://unix" + Prefix + "/panic"); err == nil {
		res.Body.Close()
		t.Errorf("got %s", res.Status)
	}
	if status, _ := r.do(t, "GET", "/status", ""); status != 200 {
		t.Errorf("the next request: %d", status)
	}
	if !strings.Contains(r.log.String(), "of no use") {
		t.Error("the log does not tell")
	}
}

func TestRevokedToken(t *testing.T) {
	r := newRig(t)
	token := r.token(t, admin.ScopeRead)
	if status, _ := send(t, r.tls.Client(), "GET", r.tls.URL+Prefix+"/status", token, ""); status != 200 {
		t.Errorf("a good token: %d", status)
	}
	for _, tok := range r.db.APITokens() {
		if err := r.db.RemoveAPIToken(t.Context(), tok.ID); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := send(t, r.tls.Client(), "GET", r.tls.URL+Prefix+"/status", token, ""); status != 401 {
		t.Errorf("a revoked token: %d", status)
	}
	if strings.Contains(r.log.String(), token) {
		t.Error("the token is in the log")
	}
}
