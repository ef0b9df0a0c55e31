package console

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
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/enroll"
	"countersign/internal/group"
	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/secret"
	"countersign/internal/session"
)

// engine lets in who types "right" and then 123456. Its handles are the logins.
type engine struct {
	db     *admintest.Memory
	reason mfa.Reason // of an accept; none: OK
	mu     sync.Mutex
	asked  []mfa.Request
}

func (e *engine) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.asked = append(e.asked, r)
	id := mfa.NewAttemptID(nil)
	no := mfa.Decision{Reason: mfa.WrongPassword, Message: "Sign-in refused. Attempt " + id.String(), Attempt: id}
	user, err := e.db.UserByForm(ctx, r.Login)
	switch {
	case err != nil || r.Refuse != mfa.ReasonNone:
		return no, nil
	case r.Handle == nil && string(r.Password.Expose()) == "right":
		return mfa.Decision{Verdict: mfa.Challenge, Message: "Enter the code from your authenticator", Handle: []byte(r.Login)}, nil
	case r.Handle == nil || string(r.Handle) != r.Login:
		return no, nil
	case string(r.Answer.Expose()) == "123456":
		why := mfa.OK
		if e.reason != mfa.ReasonNone {
			why = e.reason
		}
		return mfa.Decision{Verdict: mfa.Accept, Reason: why, User: user, Attempt: id}, nil
	}
	return no, nil
}

// sessionDB keeps sessions in memory.
type sessionDB struct {
	mu  sync.Mutex
	all map[mfa.SessionID]mfa.Session
}

func (m *sessionDB) Sessions() (all []mfa.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range m.all {
		all = append(all, n)
	}
	return all
}

func (m *sessionDB) Session(id mfa.SessionID) (mfa.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.all[id]; ok {
		return n, nil
	}
	return mfa.Session{}, mfa.ErrNotFound
}

func (m *sessionDB) CreateSession(_ context.Context, n mfa.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.all[n.ID] = n
	return nil
}

func (m *sessionDB) UpdateSession(_ context.Context, id mfa.SessionID, change func(*mfa.Session) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, ok := m.all[id]
	if !ok {
		return mfa.ErrNotFound
	}
	err := change(&n)
	m.all[id] = n
	return err
}

func (m *sessionDB) RemoveSessions(_ context.Context, ids ...mfa.SessionID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.all, id)
	}
	return nil
}

func (m *sessionDB) Epoch() uint64 { return 1 }

// codes is package method/otp at the rig's time.
type codes struct{ now func() time.Time }

func (codes) Recovery(c mfa.Credential, n int) ([]secret.Text, secret.Text, error) {
	return otp.GenerateRecovery(nil, c.ID, n)
}
func (codes) Pass(c mfa.Credential) (code, kept secret.Text, err error) {
	return otp.GenerateTAP(nil, c.ID)
}
func (k codes) Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error) {
	p, err := otp.TOTP{Now: k.now, Skew: func() int { return 1 }}.Finish(ctx, c, f, mfa.Step{}, code)
	return p.Floor, err
}
func (codes) Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	return otp.Resync(c, f, first, second, now)
}

// servers are two, of which the second is away.
type servers struct{ now func() time.Time }

func (s servers) Overview(context.Context) (group.Overview, error) {
	return group.Overview{By: "nyc1", Time: s.now(), Servers: []group.ServerView{
		{Name: "nyc1", Role: "master", Alive: true, Heard: s.now(), Epoch: 1, Revision: 7, Version: "1.0", Expires: s.now().Add(48 * time.Hour),
			Listeners: []group.Listener{{Kind: "radius", Address: "10.0.0.1:1812"}}},
		{Name: "nyc2", Role: "replica", Heard: s.now().Add(-time.Hour), Epoch: 1, Revision: 5, ClockOffset: 4.2}}}, nil
}

type rig struct {
	*Console
	t      *testing.T
	db     *admintest.Memory
	trail  *admintest.Trail
	node   *admintest.Node
	parked *admintest.Parked
	eng    *engine
	kept   *sessionDB
	now    time.Time
	cookie string // what the browser holds
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, db: admintest.New(), trail: admintest.NewTrail(), now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC),
		kept: &sessionDB{all: map[mfa.SessionID]mfa.Session{}}}
	now := func() time.Time { return r.now }
	r.eng = &engine{db: r.db}
	r.node, r.parked = &admintest.Node{Now: now}, &admintest.Parked{}
	a := admintest.Admin(r.db, r.trail, r.node, r.eng)
	a.Parked = r.parked
	a.Sealed, a.Web = &admintest.Sealed{}, func() string { return "https://nyc1.example" }
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	keeper := &session.Keeper{Server: "nyc1", Store: r.kept, Now: now, Log: log}
	a.Sessions = keeper
	a.Portal = func() string { return "https://nyc1.example/portal" }
	c, err := New(Console{Server: "nyc1", GroupName: "acme", Version: "1.0", Admin: a,
		Enroll:   &enroll.Service{Server: "nyc1", Issuer: "acme", Store: r.db, Applications: r.db, Settings: r.db.Settings, Resolve: a.Resolve, Passcodes: codes{now}, Passkeys: keysOf(r.db.Settings, now), Trail: r.trail, Now: now, Portal: a},
		Engine:   r.eng,
		Sessions: keeper, Group: servers{now}, Now: now, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	r.Console = c
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
		req.AddCookie(&http.Cookie{Name: r.Console.cookieName(), Value: r.cookie})
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	res := w.Result()
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	for _, k := range res.Cookies() {
		if k.Name == r.Console.cookieName() {
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

// person makes a user with a role; RoleNone gives none.
func (r *rig) person(login string, role mfa.Role) mfa.UserID {
	r.t.Helper()
	u, err := r.Admin.AddUser(r.t.Context(), "test", admin.UserChange{Login: &login})
	if err != nil {
		r.t.Fatal(err)
	}
	if name := role.String(); role != mfa.RoleNone {
		all := true
		c := admin.AdministratorChange{Login: &login, Role: &name}
		if role == mfa.RoleHelpDesk {
			c.AllUsers = &all
		}
		if _, err := r.Admin.AddAdministrator(r.t.Context(), "test", c); err != nil {
			r.t.Fatal(err)
		}
	}
	return u.ID
}

// signInAs signs somebody in and returns the last answer.
func (r *rig) signInAs(login string) page {
	r.t.Helper()
	p := r.post("/sign-in", "login", login, "password", "right", "back", "/")
	return r.post("/sign-in", "login", login, "handle", p.field(r.t, "handle"), "code", "123456", "back", p.field(r.t, "back"))
}

// signedInAs returns a rig where somebody with a role is signed in.
func signedInAs(t *testing.T, role mfa.Role) *rig {
	t.Helper()
	r := newRig(t)
	r.person("alice", role)
	if p := r.signInAs("alice"); p.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign-in: %s\n%s", p.Status, p.text())
	}
	return r
}

// code is what an authenticator shows for the key on a page.
func (r *rig) code(p page) string {
	r.t.Helper()
	m := regexp.MustCompile(`<p class="code">([A-Z2-7 ]+)</p>`).FindStringSubmatch(p.body)
	if m == nil {
		r.t.Fatalf("no key in\n%s", p.body)
	}
	key, err := oath.ParseSecret(secret.FromString(strings.ReplaceAll(m[1], " ", "")))
	if err != nil {
		r.t.Fatal(err)
	}
	k, err := oath.NewTOTP(key, oath.SHA1, 6, 30)
	if err != nil {
		r.t.Fatal(err)
	}
	return k.TOTP(r.now)
}

func (r *rig) status(p page, want int) {
	r.t.Helper()
	if p.StatusCode != want {
		r.t.Errorf("%s, want %d\n%s", p.Status, want, p.text())
	}
}
