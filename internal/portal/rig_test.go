package portal

import (
	"bytes"
	"context"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/authn"
	"countersign/internal/challenge"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/method/passkey"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/session"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

const password = "correct horse battery"

// codes is package method/otp at the rig's time.
type codes struct{ totp otp.TOTP }

func (codes) Recovery(c mfa.Credential, n int) ([]secret.Text, secret.Text, error) {
	return otp.GenerateRecovery(nil, c.ID, n)
}
func (codes) Pass(c mfa.Credential) (code, kept secret.Text, err error) {
	return otp.GenerateTAP(nil, c.ID)
}
func (k codes) Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error) {
	p, err := k.totp.Finish(ctx, c, f, mfa.Step{}, code)
	return p.Floor, err
}
func (codes) Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	return otp.Resync(c, f, first, second, now)
}

// rig is a portal over the real engine and a real store on a map in memory.
type rig struct {
	*Portal
	t      *testing.T
	db     *store.Store
	trail  *admintest.Trail
	node   *admintest.Node
	now    time.Time
	cookie string // what the browser holds
}

func newRig(t *testing.T) *rig {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	r := &rig{t: t, trail: admintest.NewTrail(), now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	now := func() time.Time { return r.now }
	r.node = &admintest.Node{Now: now}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	keys, err := keyring.New(nil, r.now)
	must(err)
	identity, err := keyring.NewIdentity()
	must(err)
	kv, ring := &storetest.Memory{}, keyring.NewRing(keys)
	must(store.PutKeyset(t.Context(), kv, "nyc1", identity.Recipient(), keys))
	r.db, err = store.Open(t.Context(), kv, ring, store.Options{Epoch: 1, Server: "nyc1", Identity: identity, Now: now, Log: log})
	must(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.db.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	must(r.db.Sync(t.Context()))
	totp := otp.TOTP{Now: now, Skew: func() int { return 1 }}
	checker := directory.New(r.db, directory.Options{Now: now})
	keysOf := passkey.Ceremonies{Method: passkey.Method{Name: "acme", Settings: r.db.Settings, Digest: ring.DigestOf},
		Sealer: challenge.Sealer{Keys: ring}, Epoch: r.db.Epoch, Now: now, Life: enroll.ProofLife}
	engine := authn.New(authn.Config{Server: "nyc1", Store: r.db, First: checker, Methods: []authn.Method{totp, otp.Recovery{}, otp.TAP{}, keysOf.Method},
		Trail: r.trail, Handles: challenge.Sealer{Keys: ring}, Settings: r.db.Settings, CodeLength: otp.CodeLength, Now: now, Log: log})
	keeper := &session.Keeper{Server: "nyc1", Store: r.db, Now: now, Log: log}
	a := admintest.Admin(admintest.New(), r.trail, r.node, engine)
	a.Users, a.Credentials, a.Applications, a.Directories, a.APITokens, a.Administrators, a.Settings = r.db, r.db, r.db, r.db, r.db, r.db, r.db
	a.Passwords, a.Sessions, a.Notices, a.Portal = checker, keeper, r.db, func() string { return "https://nyc1.example/portal" }
	e := &enroll.Service{Server: "nyc1", Issuer: "acme", Store: r.db, Applications: r.db, Resolve: a.Resolve, Passcodes: codes{totp}, Passkeys: keysOf, Trail: r.trail,
		Settings: r.db.Settings, Now: now, Sessions: keeper, Portal: a}
	r.Portal, err = New(Portal{Server: "nyc1", GroupName: "acme", Admin: a, Enroll: e, Engine: engine, Sessions: keeper, Now: now, Log: log})
	must(err)
	return r
}

// page is an answer.
type page struct {
	*http.Response
	body string
}

// text is what a person reads of it.
func (p page) text() string {
	plain := regexp.MustCompile(`(?s)<[^>]*>`).ReplaceAllString(p.body, " ")
	return strings.Join(strings.Fields(html.UnescapeString(plain)), " ")
}

// field is the value of a hidden or filled field.
func (p page) field(t *testing.T, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no field %s in\n%s", name, p.body)
	}
	return html.UnescapeString(m[1])
}

// send makes a request as the browser would, and keeps the cookie.
func (r *rig) send(req *http.Request) page {
	r.t.Helper()
	if r.cookie != "" {
		req.AddCookie(&http.Cookie{Name: cookieName, Value: r.cookie})
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	res := w.Result()
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	for _, k := range res.Cookies() {
		if k.Name == cookieName {
			r.cookie = k.Value
		}
	}
	return page{res, string(b)}
}

func (r *rig) get(path string) page {
	r.t.Helper()
	return r.send(httptest.NewRequestWithContext(r.t.Context(), http.MethodGet, "https://nyc1.example"+path, nil))
}

// post sends a form; fields are names and values in turn.
func (r *rig) post(path string, fields ...string) page {
	r.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://nyc1.example"+path, bytes.NewBufferString(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return r.send(req)
}

func (r *rig) status(p page, want int) {
	r.t.Helper()
	if p.StatusCode != want {
		r.t.Errorf("%s, want %d\n%s", p.Status, want, p.text())
	}
}

// leads fails unless an answer leads to a page.
func (r *rig) leads(p page, to string) {
	r.t.Helper()
	if got := p.Header.Get("Location"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(got, to) {
		r.t.Fatalf("%s to %q, want %s\n%s", p.Status, got, to, p.text())
	}
}

// person makes a user, with a password or none.
func (r *rig) person(login, password string) mfa.UserID {
	r.t.Helper()
	c := admin.UserChange{Login: &login}
	if password != "" {
		c.Password = secret.NewWire(password)
	}
	u, err := r.Admin.AddUser(r.t.Context(), "test", c)
	if err != nil {
		r.t.Fatal(err)
	}
	return u.ID
}

// invite returns the code of an invitation by link.
func (r *rig) invite(login string) string {
	r.t.Helper()
	made, err := r.Enroll.Invite(r.t.Context(), "root", login, enroll.InviteRequest{})
	if err != nil {
		r.t.Fatal(err)
	}
	u, err := url.Parse(string(made.Link.Expose()))
	if err != nil || u.Path != welcomePath {
		r.t.Fatalf("%v, %v", u, err)
	}
	return u.Query().Get("code")
}

// device is what an authenticator shows for the key on a page.
type device struct {
	r   *rig
	key oath.Key
}

func (r *rig) device(p page) device {
	r.t.Helper()
	m := regexp.MustCompile(`<p class="code">([A-Z2-7 ]+)</p>`).FindStringSubmatch(p.body)
	if m == nil || !strings.Contains(p.body, `<svg class="qr"`) {
		r.t.Fatalf("no key and no QR code in\n%s", p.body)
	}
	key, err := oath.ParseSecret(secret.FromString(strings.ReplaceAll(m[1], " ", "")))
	if err != nil {
		r.t.Fatal(err)
	}
	k, err := oath.NewTOTP(key, oath.SHA1, 6, 30)
	if err != nil {
		r.t.Fatal(err)
	}
	return device{r, k}
}

// next waits for the next time step, and returns its code.
func (d device) next() string {
	d.r.now = d.r.now.Add(30 * time.Second)
	return d.key.TOTP(d.r.now)
}

// enrolled is a rig where alice has come in by an invitation and has enrolled.
func enrolled(t *testing.T) (*rig, device) {
	t.Helper()
	r := newRig(t)
	r.person("alice", password)
	r.leads(r.post(welcomePath, "login", "alice", "password", password, "code", r.invite("alice")), "/portal/token")
	return r, r.enrol("phone")
}

// enrol adds a token to who is signed in.
func (r *rig) enrol(label string) device {
	r.t.Helper()
	p := r.post("/portal/token", "label", label)
	r.status(p, http.StatusOK)
	d := r.device(p)
	r.leads(r.post("/portal/token/prove", "credential", p.field(r.t, "credential"), "code", d.next()), "/portal/?done=done.token")
	return d
}

// signIn signs in with a password and a code, and returns the last answer.
func (r *rig) signIn(path, login, password, code string) page {
	r.t.Helper()
	p := r.post(path, "login", login, "password", password, "back", "/portal/")
	if p.StatusCode != http.StatusOK {
		return p
	}
	return r.post(path, "login", login, "handle", p.field(r.t, "handle"), "code", code, "back", p.field(r.t, "back"))
}
