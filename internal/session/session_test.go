package session_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/session"
)

// memory is a database in memory; fail is what its writes return.
type memory struct {
	mu    sync.Mutex
	all   map[mfa.SessionID]mfa.Session
	ends  map[mfa.UserID]mfa.SessionsEnd
	epoch uint64
	fail  error
	wrote int
}

func (m *memory) Sessions() []mfa.Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.SortedFunc(maps.Values(m.all), func(a, b mfa.Session) int { return a.Created.Compare(b.Created) })
}

func (m *memory) Session(id mfa.SessionID) (mfa.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n, ok := m.all[id]; ok {
		return n, nil
	}
	return mfa.Session{}, mfa.ErrNotFound
}

func (m *memory) write(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.wrote++
	return do()
}

func (m *memory) CreateSession(_ context.Context, n mfa.Session) error {
	return m.write(func() error { n.After = m.ends[n.User].ID; m.all[n.ID] = n; return nil })
}

func (m *memory) UpdateSession(_ context.Context, id mfa.SessionID, change func(*mfa.Session) error) error {
	return m.write(func() error {
		n, ok := m.all[id]
		if !ok {
			return mfa.ErrNotFound
		}
		err := change(&n)
		m.all[id] = n
		return err
	})
}

func (m *memory) RemoveSessions(_ context.Context, ids ...mfa.SessionID) error {
	return m.write(func() error {
		for _, id := range ids {
			delete(m.all, id)
		}
		return nil
	})
}

func (m *memory) SessionsEnd(user mfa.UserID) (mfa.SessionsEnd, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ends[user], nil
}

func (m *memory) EndSessions(_ context.Context, e mfa.SessionsEnd, ids ...mfa.SessionID) error {
	return m.write(func() error {
		m.ends[e.User] = e
		for _, id := range ids {
			delete(m.all, id)
		}
		return nil
	})
}

func (m *memory) ForgetSessionsEnds(_ context.Context, before time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.ends, func(_ mfa.UserID, e mfa.SessionsEnd) bool { return e.Time.Before(before) })
	return nil
}

func (m *memory) Epoch() uint64 { return m.epoch }

type rig struct {
	*session.Keeper
	db  *memory
	now time.Time
}

func newRig() *rig {
	r := &rig{db: &memory{all: map[mfa.SessionID]mfa.Session{}, ends: map[mfa.UserID]mfa.SessionsEnd{}, epoch: 1}, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)}
	r.Keeper = &session.Keeper{Server: "n1", Store: r.db, Now: func() time.Time { return r.now }, Log: slog.New(slog.DiscardHandler)}
	return r
}

func (r *rig) begin(t *testing.T, n mfa.Session) secret.Text {
	t.Helper()
	token, _, err := r.Begin(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (r *rig) open(t *testing.T, token secret.Text, active bool) bool {
	t.Helper()
	n, err := r.Check(token)
	if err == nil && active {
		r.Touch(t.Context(), n)
	}
	if err != nil && !errors.Is(err, session.ErrNone) {
		t.Fatal(err)
	}
	return err == nil
}

func TestTokenIsNowhereKept(t *testing.T) {
	r := newRig()
	token := r.begin(t, mfa.Session{User: "alice", Application: "console"})
	if kept := fmt.Sprintf("%+v", r.db.all); strings.Contains(kept, string(token.Expose())) {
		t.Errorf("the database holds the token: %s", kept)
	}
	if other := r.begin(t, mfa.Session{User: "alice"}); other.Equal(token) {
		t.Error("two sessions have one token")
	}
	for _, bad := range []string{"", "x", strings.Repeat("a", 52), string(token.Expose()) + "a", strings.Repeat("a", 1<<20)} {
		if r.open(t, secret.FromString(bad), true) {
			t.Errorf("%.60q opens a session", bad)
		}
	}
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		setup  bool
		step   time.Duration // between requests
		active bool          // made by a person
		ends   time.Duration
	}{
		"idle":                        {step: session.Idle, active: true, ends: session.Idle},
		"busy":                        {step: time.Minute, active: true, ends: session.Absolute},
		"a page that looks by itself": {step: time.Second * 30, active: false, ends: session.Idle},
		"setting up":                  {setup: true, step: time.Minute, active: true, ends: session.SetupTime},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			token := r.begin(t, mfa.Session{User: "alice", Setup: c.setup})
			start := r.now
			for r.open(t, token, c.active) && r.now.Sub(start) < 24*time.Hour {
				r.now = r.now.Add(c.step)
			}
			if got := r.now.Sub(start); got != c.ends {
				t.Errorf("it ended after %s, want %s", got, c.ends)
			}
			r.now = r.now.Add(session.Absolute)
			if err := r.Purge(t.Context()); err != nil || len(r.db.all) != 0 {
				t.Errorf("left %d, %v", len(r.db.all), err)
			}
		})
	}
}

func TestABusySessionWritesLittle(t *testing.T) {
	r := newRig()
	token := r.begin(t, mfa.Session{User: "alice"})
	for range 60 {
		r.now = r.now.Add(time.Second)
		if !r.open(t, token, true) {
			t.Fatal("ended")
		}
	}
	if r.db.wrote != 1 {
		t.Errorf("%d writes in a minute", r.db.wrote)
	}
	r.now = r.now.Add(5 * time.Minute)
	r.open(t, token, true)
	other := &session.Keeper{Server: "n2", Store: r.db, Now: r.Now, Log: r.Log}
	r.now = r.now.Add(session.Idle - time.Second)
	if _, err := other.Check(token); err != nil {
		t.Errorf("another server does not know that it was used: %v", err)
	}
}

func TestEnds(t *testing.T) {
	r, ctx := newRig(), t.Context()
	a, b := r.begin(t, mfa.Session{User: "alice"}), r.begin(t, mfa.Session{User: "bob"})
	n, err := r.Check(a)
	if err != nil {
		t.Fatal(err)
	}
	renewed, _, err := r.Renew(ctx, n, n.Method)
	if err != nil || r.open(t, a, true) || !r.open(t, renewed, true) {
		t.Errorf("renewed: %v; the old token must be worth nothing", err)
	}
	if ended, err := r.EndAll(ctx, "alice", ""); err != nil || ended != 1 || r.open(t, renewed, true) || !r.open(t, b, true) {
		t.Errorf("ended %d of alice's, %v", ended, err)
	}
	r.db.epoch = 2
	if r.open(t, b, true) {
		t.Error("a session outlives its epoch")
	}
}

func TestOldestGoes(t *testing.T) {
	r := newRig()
	first := r.begin(t, mfa.Session{User: "alice"})
	for range 16 {
		r.now = r.now.Add(time.Second)
		if !r.open(t, first, true) {
			t.Fatal("ended too early")
		}
		r.begin(t, mfa.Session{User: "alice"})
	}
	if r.open(t, first, true) {
		t.Error("a user has as many sessions as they please")
	}
}

func TestWithoutAMaster(t *testing.T) {
	r, ctx := newRig(), t.Context()
	before := r.begin(t, mfa.Session{User: "bob"})
	n, _ := r.Check(before)
	r.db.fail = fmt.Errorf("no master: %w", mfa.ErrUnavailable)
	if _, _, err := r.Begin(ctx, mfa.Session{User: "eve", Setup: true}); err == nil {
		t.Error("something is set up without a master")
	}
	token := r.begin(t, mfa.Session{User: "alice"})
	if !r.open(t, token, true) || !r.open(t, before, true) {
		t.Error("nobody sees what is wrong")
	}
	if err := r.End(ctx, n.ID); err != nil || r.open(t, before, true) {
		t.Errorf("signed out: %v, and still in", err)
	}
	if own, _ := r.Check(token); r.End(ctx, own.ID) != nil || r.open(t, token, true) {
		t.Error("signed out, and still in")
	}
	r.db.fail = nil
	other := r.begin(t, mfa.Session{User: "carol"})
	r.db.fail = fmt.Errorf("no master: %w", mfa.ErrUnavailable)
	alone := r.begin(t, mfa.Session{User: "carol"})
	if ended, err := r.EndAll(ctx, "carol", ""); ended != 2 || err != nil || r.open(t, other, true) || r.open(t, alone, true) {
		t.Errorf("carol's factors changed: %d sessions ended, %v", ended, err)
	}
	r.db.fail = nil
	if err := r.Purge(ctx); err != nil || len(r.db.all) != 0 {
		t.Errorf("the master is back and does not hear of it: %d, %v", len(r.db.all), err)
	}
}

// A session that began at another server without a master is known there alone; what ends all
// sessions of its user, once there is a master again, ends it too.
func TestEndAllReachesSessionsBegunAlone(t *testing.T) {
	r, ctx := newRig(), t.Context()
	other := &session.Keeper{Server: "n2", Store: r.db, Now: r.Now, Log: r.Log}
	alone := func() (token secret.Text, n mfa.Session) {
		t.Helper()
		r.db.fail = fmt.Errorf("no master: %w", mfa.ErrUnavailable)
		defer func() { r.db.fail = nil }()
		token, n, err := other.Begin(ctx, mfa.Session{User: "alice"})
		if err != nil {
			t.Fatal(err)
		}
		return token, n
	}
	open := func(k *session.Keeper, token secret.Text) bool { _, err := k.Check(token); return err == nil }
	a, _ := alone()
	b, spared := alone()
	c, _, err := other.Begin(ctx, mfa.Session{User: "bob"})
	if err != nil {
		t.Fatal(err)
	}
	if !open(other, a) || !open(other, b) {
		t.Fatal("nobody is in")
	}
	if _, err := r.EndAll(ctx, "alice", spared.ID); err != nil || open(other, a) || !open(other, b) || !open(other, c) {
		t.Errorf("ended all of alice's but one: %v, %t %t %t", err, open(other, a), open(other, b), open(other, c))
	}
	later, _ := alone()
	in := r.begin(t, mfa.Session{User: "alice"})
	if !open(other, later) || !open(other, in) || !open(r.Keeper, in) {
		t.Error("who signs in after that is out")
	}
	if _, err := r.EndAll(ctx, "alice", ""); err != nil || open(other, b) || open(other, later) || open(other, in) {
		t.Errorf("ended all: %v, %t %t %t", err, open(other, b), open(other, later), open(other, in))
	}

	// Without a master the others hear of it once there is one.
	later, _ = alone()
	r.db.fail = fmt.Errorf("no master: %w", mfa.ErrUnavailable)
	if _, err := r.EndAll(ctx, "alice", ""); err != nil || !open(other, later) {
		t.Errorf("ended without a master: %v, %t", err, open(other, later))
	}
	r.db.fail = nil
	if err := r.Purge(ctx); err != nil || open(other, later) {
		t.Errorf("the others do not hear of it: %v", err)
	}
	r.now = r.now.Add(session.Absolute)
	if err := r.Purge(ctx); err != nil || len(r.db.ends) != 1 {
		t.Errorf("forgotten while a session may live: %v, %v", r.db.ends, err)
	}
	r.now = r.now.Add(3 * time.Hour)
	if err := r.Purge(ctx); err != nil || len(r.db.ends) != 0 {
		t.Errorf("kept for ever: %v, %v", r.db.ends, err)
	}
}

// What a session is worth rises with a factor that is enrolled in it, and is what was proven last
// once both factors are proven anew.
func TestWhatASessionIsWorth(t *testing.T) {
	for name, alone := range map[string]bool{"with a master": false, "without one": true} {
		t.Run(name, func(t *testing.T) {
			r := newRig()
			if alone {
				r.db.fail = mfa.ErrUnavailable
			}
			token, n, err := r.Begin(t.Context(), mfa.Session{User: "alice", Application: "portal", Method: mfa.MethodRecovery})
			if err != nil || n.Method != mfa.MethodRecovery {
				t.Fatalf("%+v, %v", n, err)
			}
			for _, m := range []mfa.MethodID{mfa.MethodTOTP, mfa.MethodEmail, ""} { // the weaker ones change nothing
				if err := r.Enrolled(t.Context(), n.ID, m); err != nil {
					t.Fatal(err)
				}
				if n, err = r.Check(token); err != nil || n.Method != mfa.MethodTOTP {
					t.Errorf("after %q: %+v, %v", m, n, err)
				}
			}
			if _, n, err = r.Renew(t.Context(), n, mfa.MethodRecovery); err != nil || n.Method != mfa.MethodRecovery {
				t.Errorf("renewed by a recovery code: %+v, %v", n, err)
			}
		})
	}
}
