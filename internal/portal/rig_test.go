package portal

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
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
	"countersign/internal/method/otp/otptest"
	"countersign/internal/method/passkey"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/session"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
	"countersign/internal/web/webtest"
)

const password = "correct horse battery"

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
		Trail: r.trail, Handles: challenge.Sealer{Keys: ring}, Settings: r.db.Settings, CodeLength: otp.CodeLength, PIN: checker.MatchPIN, Now: now, Log: log})
	keeper := &session.Keeper{Server: "nyc1", Store: r.db, Now: now, Log: log}
	a := admintest.Admin(admintest.New(), r.trail, r.node, engine)
	a.Users, a.Credentials, a.Applications, a.Directories, a.APITokens, a.Administrators, a.Settings = r.db, r.db, r.db, r.db, r.db, r.db, r.db
	a.PINs = checker
	a.Passwords, a.Sessions, a.Notices, a.Portal = checker, keeper, r.db, func() string { return "https://nyc1.example/portal" }
	e := &enroll.Service{Server: "nyc1", Issuer: "acme", Store: r.db, Applications: r.db, Resolve: a.Resolve, Passcodes: otptest.Passcodes{TOTP: totp}, Passkeys: keysOf, Trail: r.trail,
		Settings: r.db.Settings, Now: now, Sessions: keeper, Portal: a}
	r.Portal, err = New(Portal{Server: "nyc1", GroupName: "acme", Admin: a, Enroll: e, Engine: engine, Sessions: keeper, Seals: ring, Now: now, Log: log})
	must(err)
	return r
}

// page is an answer.
type page struct {
	*http.Response
	body string
}

func (p page) text() string { return webtest.Text(p.body) }

func (p page) field(t *testing.T, name string) string {
	t.Helper()
	return webtest.Field(t, p.body, name)
}

// send makes a request as the browser would, and keeps the cookie.
func (r *rig) send(req *http.Request) page {
	r.t.Helper()
	res, body := webtest.Send(r, req, cookieName, &r.cookie)
	return page{res, body}
}

func (r *rig) get(path string) page { r.t.Helper(); return r.send(webtest.Get(r.t, path)) }

// post sends a form; fields are names and values in turn.
func (r *rig) post(path string, fields ...string) page {
	r.t.Helper()
	return r.send(webtest.Post(r.t, path, fields...))
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

func (r *rig) device(p page) device { r.t.Helper(); return device{r, webtest.Key(r.t, p.body)} }

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

// telephone is whose numbers are called: the code is always the same one, and what comes of a
// trial is what it says.
type telephone struct {
	fails error
	told  int
	came  mfa.WaitAnswer
	wait  mfa.Wait
}

func (p *telephone) SendProof(context.Context, mfa.Credential, string, time.Duration) (string, error) {
	if p.fails != nil {
		return "", p.fails
	}
	p.told++
	return "told", nil
}

func (p *telephone) CheckProof(_ context.Context, _ mfa.Credential, _, challenge string, code secret.Text) (settlement.Nonce, error) {
	if challenge != "told" || !code.Equal(secret.FromString("123456")) {
		return settlement.Nonce{}, mfa.WrongCode
	}
	return settlement.Nonce{ID: rand.Uint64() | 1}, nil // each code is another
}

func (p *telephone) Carries(m mfa.MethodID) bool { return m == mfa.MethodCall || m == mfa.MethodEmail }

func (p *telephone) Ask(_ context.Context, w mfa.Wait, creds []mfa.Credential) error {
	p.wait, p.came.Credential = w, creds[0].ID
	return p.fails
}

func (p *telephone) Wait(context.Context, mfa.UserID, mfa.WaitID, bool) (mfa.Wait, error) {
	p.wait.Answer = p.came
	return p.wait, nil
}
