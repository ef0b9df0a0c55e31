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
		"a block with a new name": func() error {
			_, err := s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Block, u.Name = &mfa.Block{}, "Other"; return nil })
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

// While an epoch has two sides what takes something away is done all the same: a block, a
// credential disabled, a token revoked, and what was so settled alone; the way back waits.
func TestFrozenRestricts(t *testing.T) {
	kv, ring := &storetest.Memory{}, newRing(t)
	p := people(1)
	before := open(t, kv, ring)
	u, err := before.CreateUser(t.Context(), p[0].User, p[0].Credentials)
	if err != nil {
		t.Fatal(err)
	}
	token, err := before.CreateAPIToken(t.Context(), mfa.APIToken{Name: "script"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s, done := start(t, ctx, kv, ring, store.Options{Server: "test", Identity: keyring.Identity{}, Frozen: func() error { return mfa.ErrReadOnly },
		Group: func() bool { return true }, Keep: func(context.Context, mfa.Record) error { return nil }})
	t.Cleanup(func() { stop(); <-done })
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	cred := p[0].Credentials[0].ID
	block := func(b *mfa.Block) func(*mfa.User) error {
		return func(u *mfa.User) error { u.Block = b; return nil }
	}
	if got, err := s.UpdateUser(ctx, u.ID, block(&mfa.Block{Until: noon, Reason: "lost"})); err != nil || got.Block == nil {
		t.Errorf("a block: %+v, %v", got.Block, err)
	}
	if _, err := s.UpdateUser(ctx, u.ID, block(nil)); !errors.Is(err, mfa.ErrReadOnly) {
		t.Errorf("the end of a block: %v, want it refused", err)
	}
	if _, err := s.UpdateUser(ctx, u.ID, block(&mfa.Block{Until: noon.Add(-1)})); !errors.Is(err, mfa.ErrReadOnly) {
		t.Errorf("a milder block: %v, want it refused", err)
	}
	disable := func(off bool) error {
		_, err := s.UpdateCredential(ctx, u.ID, cred, func(c *mfa.Credential) error { c.Disabled = off; return nil })
		return err
	}
	if err := disable(true); err != nil {
		t.Errorf("a credential disabled: %v", err)
	}
	if err := disable(false); !errors.Is(err, mfa.ErrReadOnly) {
		t.Errorf("it is enabled: %v, want it refused", err)
	}
	if err := s.RemoveAPIToken(ctx, token.ID); err != nil {
		t.Errorf("a token revoked: %v", err)
	}
	err = s.Restore(ctx, []mfa.Record{{Change: &mfa.Change{Number: 1, What: mfa.ChangeBlock, User: u.ID, Block: &mfa.Block{Reason: "for good"}, Time: noon, Server: "test"}}})
	if err == nil {
		err = s.Merge(ctx)
	}
	a, aerr := s.Account(ctx, u.ID, true)
	if err = errors.Join(err, aerr); err != nil || s.Unmerged() != 0 || a.User.Block == nil || a.User.Block.Reason != "for good" {
		t.Errorf("a block that was made alone: %+v, %d left, %v", a.User.Block, s.Unmerged(), err)
	}
}
