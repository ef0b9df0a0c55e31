package console

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/enroll"
	"countersign/internal/group"
	"countersign/internal/keyring"
	"countersign/internal/method/otp"
	"countersign/internal/method/otp/otptest"
	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/web/webtest"
)

// engine lets in who types "right" and then 123456. Its handles are the logins.
type engine struct {
	db     *admintest.Memory
	reason mfa.Reason   // of an accept; none: OK
	proves mfa.MethodID // what an accept says was proven; none: a token
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
		if !why.Accepts() {
			return mfa.Decision{Verdict: mfa.Reject, Reason: why, Attempt: id}, nil
		}
		return mfa.Decision{Verdict: mfa.Accept, Reason: why, User: user, Attempt: id, Method: e.method()}, nil
	}
	return no, nil
}

// method is what the code is taken for.
func (e *engine) method() mfa.MethodID {
	if e.proves == "" {
		return mfa.MethodTOTP
	}
	return e.proves
}

// sessionDB keeps sessions in memory.
type sessionDB struct {
	mu   sync.Mutex
	all  map[mfa.SessionID]mfa.Session
	ends map[mfa.UserID]mfa.SessionsEnd
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
	n.After = m.ends[n.User].ID
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

func (m *sessionDB) SessionsEnd(user mfa.UserID) (mfa.SessionsEnd, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ends[user], nil
}

func (m *sessionDB) EndSessions(ctx context.Context, e mfa.SessionsEnd, ids ...mfa.SessionID) error {
	m.mu.Lock()
	if m.ends == nil {
		m.ends = map[mfa.UserID]mfa.SessionsEnd{}
	}
	m.ends[e.User] = e
	m.mu.Unlock()
	return m.RemoveSessions(ctx, ids...)
}

func (m *sessionDB) ForgetSessionsEnds(context.Context, time.Time) error { return nil }

func (m *sessionDB) RemoveSessions(_ context.Context, ids ...mfa.SessionID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.all, id)
	}
	return nil
}

func (m *sessionDB) Epoch() uint64 { return 1 }

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
	keys, err := keyring.New(nil, r.now)
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Console{Server: "nyc1", GroupName: "acme", Version: "1.0", Admin: a,
		Enroll:   &enroll.Service{Server: "nyc1", Issuer: "acme", Store: r.db, Applications: r.db, Settings: r.db.Settings, Resolve: a.Resolve, Passcodes: otptest.Passcodes{TOTP: otp.TOTP{Now: now, Skew: func() int { return 1 }}}, Passkeys: keysOf(r.db.Settings, now), Trail: r.trail, Now: now, Portal: a, Sessions: keeper},
		Engine:   r.eng,
		Sessions: keeper, Group: servers{now}, Seals: keyring.NewRing(keys), Now: now, Log: log})
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

func (p page) text() string { return webtest.Text(p.body) }

func (p page) field(t *testing.T, name string) string {
	t.Helper()
	return webtest.Field(t, p.body, name)
}

// send makes a request as the browser would, and keeps the cookie.
func (r *rig) send(req *http.Request) page {
	r.t.Helper()
	res, body := webtest.Send(r, req, r.cookieName(), &r.cookie)
	return page{res, body}
}

func (r *rig) get(path string) page { r.t.Helper(); return r.send(webtest.Get(r.t, path)) }

// post sends a form; fields are names and values in turn.
func (r *rig) post(path string, fields ...string) page {
	r.t.Helper()
	return r.send(webtest.Post(r.t, path, fields...))
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
func (r *rig) code(p page) string { r.t.Helper(); return webtest.Key(r.t, p.body).TOTP(r.now) }

func (r *rig) status(p page, want int) {
	r.t.Helper()
	if p.StatusCode != want {
		r.t.Errorf("%s, want %d\n%s", p.Status, want, p.text())
	}
}

// leads fails unless an answer leads to a page.
func (r *rig) leads(p page, to string) {
	r.t.Helper()
	if got := p.Header.Get("Location"); p.StatusCode != http.StatusSeeOther || len(got) < len(to) || got[:len(to)] != to {
		r.t.Errorf("%s to %q, want %s\n%s", p.Status, got, to, p.text())
	}
}
