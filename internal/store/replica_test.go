package store_test

import (
	"context"
	"errors"
	"testing"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

func TestALaggingViewReadsThrough(t *testing.T) {
	kv := &storetest.Memory{}
	ring := newRing(t)
	master := open(t, kv, ring)
	u, err := master.CreateUser(t.Context(), mfa.User{Login: "alice", State: mfa.StateProtected}, nil)
	if err != nil {
		t.Fatal(err)
	}
	replica := open(t, kv, ring)
	kv.Hold()
	if _, err := master.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.State = mfa.StateDenied; return nil }); err != nil {
		t.Fatal(err)
	}
	c := people(1)[0].Credentials[0]
	c.User = u.ID
	if err := master.AddCredential(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stale, err := replica.Account(t.Context(), u.ID, false)
	if err != nil || stale.User.State != mfa.StateProtected {
		t.Fatalf("the view should lag: %+v, %v", stale, err)
	}
	if _, ok, err := replica.Settle(t.Context(), stale, nil, stale.Record); ok || err != nil {
		t.Errorf("a decision from a lagging view was settled: %v, %v", ok, err)
	}
	for _, fresh := range []bool{true, false} { // the view has learnt it
		a, err := replica.Account(t.Context(), u.ID, fresh)
		if err != nil || a.User.State != mfa.StateDenied || len(a.Credentials) != 1 {
			t.Errorf("fresh %v: %+v, %v", fresh, a, err)
		}
	}
	// A user whom the view does not have yet is read through in any case.
	v, err := master.CreateUser(t.Context(), mfa.User{Login: "bob"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := replica.Account(t.Context(), v.ID, false); err != nil || a.User.Login != "bob" {
		t.Errorf("a user of a moment ago: %+v, %v", a, err)
	}
	if err := master.RemoveUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	for _, fresh := range []bool{true, false} {
		if _, err := replica.Account(t.Context(), u.ID, fresh); !errors.Is(err, mfa.ErrNotFound) {
			t.Errorf("removed elsewhere, fresh %v: %v", fresh, err)
		}
	}
	kv.Compact() // what it missed is history: it starts over
	kv.Release()
	if err := replica.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.UserByForm(t.Context(), "alice"); !errors.Is(err, mfa.ErrNotFound) || replica.CountUsers() != 1 {
		t.Errorf("after catching up: %v, %d users", err, replica.CountUsers())
	}
}

func TestAServerReadsItsOwnWrites(t *testing.T) {
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	kv.Hold() // the watch tells nothing of it
	ctx := t.Context()
	u, err := s.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := s.UserByForm(ctx, "alice"); id != u.ID || err != nil || s.CountUsers() != 1 {
		t.Errorf("created: %q, %v", id, err)
	}
	a, err := s.Account(ctx, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	rev, ok, err := s.Settle(ctx, a, nil, a.Record)
	if b, berr := s.Account(ctx, u.ID, false); !ok || err != nil || berr != nil || b.RecordRev != rev {
		t.Errorf("settled at %d (%v, %v), read at %d", rev, ok, err, b.RecordRev)
	}
	app, err := s.CreateApplication(ctx, mfa.Application{Name: "vpn"})
	if err != nil {
		t.Fatal(err)
	}
	gen := s.ApplicationsGeneration()
	if _, err := s.UpdateApplication(ctx, app.ID, func(a *mfa.Application) error { a.Rate = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Application(app.ID); err != nil || got.Rate != 7 || s.ApplicationsGeneration() == gen {
		t.Errorf("application: %+v, %v", got, err)
	}
	if err := s.RemoveUser(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UserByForm(ctx, "alice"); !errors.Is(err, mfa.ErrNotFound) || s.CountUsers() != 0 {
		t.Errorf("removed: %v", err)
	}
	gen = s.ApplicationsGeneration()
	kv.Compact()
	kv.Release()
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UserByForm(ctx, "alice"); !errors.Is(err, mfa.ErrNotFound) || s.ApplicationsGeneration() <= gen {
		t.Errorf("after starting over: %v, generation %d after %d", err, s.ApplicationsGeneration(), gen)
	}
}

// late is a KV whose watchers are told nothing until somebody scans it.
type late struct{ *storetest.Memory }

func (l late) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (int64, error) {
	l.Release()
	return l.Memory.Scan(ctx, prefix, yield)
}

// A record sealed under a key that another server has just made can be read at the master
// before the view is told of the keyset.
func TestARecordCanComeBeforeItsKey(t *testing.T) {
	for name, read := range map[string]func(s *store.Store, id mfa.UserID) error{
		"Account": func(s *store.Store, id mfa.UserID) error { _, err := s.Account(t.Context(), id, true); return err },
		"UpdateUser": func(s *store.Store, id mfa.UserID) error {
			_, err := s.UpdateUser(t.Context(), id, func(*mfa.User) error { return nil })
			return err
		},
		"GetSealed": func(s *store.Store, _ mfa.UserID) error { _, _, err := s.GetSealed(t.Context(), "ca"); return err },
	} {
		kv := &storetest.Memory{}
		one, keyset := withIdentity(t, kv)
		id, err := keyring.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		ring := keyring.NewRing(keyset)
		if err := store.PutKeyset(t.Context(), kv, "test2", id.Recipient(), ring.Keyset()); err != nil {
			t.Fatal(err)
		}
		two := openNamed(t, late{kv}, ring, id, "test2")
		kv.Hold()
		if err := one.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		u, err := one.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
		if err == nil {
			_, err = one.PutSealed(t.Context(), "ca", 0, []byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := read(two, u.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
