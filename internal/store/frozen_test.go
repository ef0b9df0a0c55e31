package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// While an epoch has two sides nobody may change what administrators manage; sign-ins are
// settled, and servers say what they are.
func TestFrozen(t *testing.T) {
	kv, ring := &storetest.Memory{}, newRing(t)
	p := people(2)
	u, err := open(t, kv, ring).CreateUser(t.Context(), p[0].User, p[0].Credentials)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	frozen := fmt.Errorf("two sides: %w", mfa.ErrReadOnly)
	s, done := start(t, ctx, kv, ring, store.Options{Server: "test", Identity: keyring.Identity{}, Frozen: func() error { return frozen }})
	t.Cleanup(func() { stop(); <-done })
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	cred := p[0].Credentials[0].ID
	for name, write := range map[string]func() error{
		"a user":     func() error { _, err := s.CreateUser(ctx, p[1].User, nil); return err },
		"many users": func() error { errs, err := s.CreateUsers(ctx, p[1:]); return errors.Join(append(errs, err)...) },
		"a removal":  func() error { return s.RemoveUser(ctx, u.ID) },
		"a block": func() error {
			_, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Block = &mfa.Block{}; return nil })
			return err
		},
		"a credential":   func() error { return s.RemoveCredential(ctx, u.ID, cred) },
		"an application": func() error { _, err := s.CreateApplication(ctx, mfa.Application{Name: "vpn"}); return err },
		"settings":       func() error { return s.UpdateSettings(ctx, func(p *policy.Settings) error { p.Skew++; return nil }) },
		"a joining code": func() error { return s.CreateJoinCode(ctx, store.JoinCode{ID: "0011223344556677", Expires: noon}) },
	} {
		if err := write(); !errors.Is(err, mfa.ErrReadOnly) {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
	a, err := s.Account(ctx, u.ID, true)
	if err != nil {
		t.Fatal(err)
	}
	next := a.Record
	if err := settledOnce(&next); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Settle(ctx, a, []mfa.CredentialID{cred}, next); !ok || err != nil {
		t.Errorf("a settlement: %v, %v", ok, err)
	}
	if err := s.UpdateMember(ctx, "n1", func(m *mfa.Member) error { m.Role = mfa.RoleServer; return nil }); err != nil {
		t.Errorf("a server's record: %v", err)
	}
	if _, err := s.PutSealed(ctx, "trail/head/n1", 0, []byte("x")); err != nil {
		t.Errorf("the trail's head: %v", err)
	}
}
