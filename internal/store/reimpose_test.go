package store_test

import (
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store/storetest"
)

// What a backup lacks of restrictions is made again once; what it has merged was perhaps lifted
// since, a stricter block stays, and what is gone is no error.
func TestReimpose(t *testing.T) {
	s, ctx := open(t, &storetest.Memory{}, newRing(t)), t.Context()
	u, err := s.CreateUser(ctx, mfa.User{Login: "alice", State: mfa.StateProtected}, nil)
	need(t, err)
	block := func(number uint64, reason string) mfa.Change {
		return mfa.Change{Number: number, What: mfa.ChangeBlock, User: u.ID, Block: &mfa.Block{Reason: reason, By: "root", Since: noon}, By: "root", Time: noon, Server: "test"}
	}
	need(t, s.Restore(ctx, []mfa.Record{{Change: ptr(block(1, "first"))}}))
	need(t, s.Merge(ctx))
	_, err = s.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Block = nil; return nil })
	need(t, err)
	stranger := block(9, "nobody")
	stranger.User = "aaaaaaaaaaaaaaaa"
	for _, c := range []struct {
		name   string
		change mfa.Change
		done   bool
		blocks string
	}{
		{"merged before", block(1, "first"), false, ""},
		{"of a user who is gone", stranger, false, ""},
		{"beyond the backup", block(2, "second"), true, "second"},
		{"the same once more", block(2, "second"), false, "second"},
		{"a later one that is no stricter", block(3, "third"), false, "second"},
	} {
		done, err := s.Reimpose(ctx, c.change)
		a, readErr := s.Account(ctx, u.ID, true)
		reason := ""
		if a.User.Block != nil {
			reason = a.User.Block.Reason
		}
		if err != nil || readErr != nil || done != c.done || reason != c.blocks {
			t.Errorf("%s: done %v, blocked for %q, %v, %v", c.name, done, reason, err, readErr)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func need(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
