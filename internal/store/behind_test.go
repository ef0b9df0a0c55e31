package store_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// A copy that is far behind looks to the database like a master that is gone. Asked by
// another way, the master says that it is there: then this server is in contact, so that it
// does not settle alone, and behind, so that it accepts nobody from its copy.
func TestACopyThatIsBehindIsNotIsolated(t *testing.T) {
	kv := &storetest.Memory{}
	ring := newRing(t)
	master := open(t, kv, ring)
	u, err := master.CreateUser(t.Context(), mfa.User{Login: "alice", State: mfa.StateProtected}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var answers atomic.Bool
	answers.Store(true)
	ctx, stop := context.WithCancel(t.Context())
	replica, done := start(t, ctx, kv, ring, store.Options{Server: "n2", Group: func() bool { return true },
		Ping: func(context.Context) bool { return answers.Load() }})
	defer func() { stop(); <-done }()
	if err := replica.Touch(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	if _, now := replica.Contact(); !now || replica.Behind() {
		t.Fatal("a replica that keeps up is behind, or without contact")
	}
	token, err := master.CreateAPIToken(t.Context(), mfa.APIToken{Name: "script", Digest: [32]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	role, err := master.CreateAdministrator(t.Context(), mfa.Administrator{User: u.ID, Role: mfa.RoleOwner, Reach: mfa.Reach{All: true}})
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.Touch(t.Context(), time.Second); err != nil {
		t.Fatal(err)
	}
	kv.Hold()
	if err := errors.Join(master.RemoveAPIToken(t.Context(), token.ID), master.RemoveAdministrator(t.Context(), role.User, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := master.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error {
		u.Block = &mfa.Block{Reason: "lost phone"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := replica.Touch(t.Context(), 20*time.Millisecond); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("behind: %v", err)
	}
	if _, now := replica.Contact(); !now || !replica.Behind() {
		t.Errorf("behind: contact %v, behind %v", now, replica.Behind())
	}
	// What it decides from its copy all the same is refused by the database.
	a, err := replica.Standing(t.Context(), u.ID, false)
	if err != nil || a.User.Block != nil {
		t.Fatalf("the copy should not know: %+v, %v", a.User, err)
	}
	if _, ok, err := replica.Settle(t.Context(), a, nil, a.Record); ok || err != nil {
		t.Errorf("settled from a copy that is behind: %v, %v", ok, err)
	}
	// Nor does it open what was closed a moment ago.
	if _, err := replica.APITokenByDigest([32]byte{1}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a token that was revoked: %v", err)
	}
	if _, err := replica.Administrator(u.ID); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a role that was taken away: %v", err)
	}
	// The master gone too: this server is alone.
	answers.Store(false)
	_ = replica.Touch(t.Context(), 20*time.Millisecond)
	if _, now := replica.Contact(); now || replica.Behind() {
		t.Errorf("alone: contact %v, behind %v", now, replica.Behind())
	}
	// Caught up.
	answers.Store(true)
	kv.Release()
	if err := replica.Touch(t.Context(), time.Second); err != nil {
		t.Error(err)
	}
	if _, now := replica.Contact(); !now || replica.Behind() {
		t.Errorf("caught up: contact %v, behind %v", now, replica.Behind())
	}
}
