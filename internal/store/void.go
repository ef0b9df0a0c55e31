package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Whoever blocks a user does not know who sits in front of a half-made enrolment, so that none
// outlives the block: what has begun goes in the write that blocks, and what is finished is
// conditional on that.

// VoidEnrolments takes away what a user has begun to enrol before a time (zero: ever) and not
// proven, as a block does.
func (s *Store) VoidEnrolments(ctx context.Context, id mfa.UserID, before time.Time) error {
	if err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.user(ctx, id); err != nil {
			return err
		}
		t.restricts = true
		return t.void(ctx, id, before)
	}); err != nil {
		return fmt.Errorf("void the enrolments of user %s: %w", id, err)
	}
	return nil
}

// voidBlocked voids what users had begun before this server blocked them alone. What is not
// reached stays void all the same where it matters most: no device's code is good (mayEnrol).
func (s *Store) voidBlocked(ctx context.Context, merged []owed) {
	for _, it := range merged {
		if it.change == nil || it.change.What != mfa.ChangeBlock {
			continue
		}
		if err := s.VoidEnrolments(ctx, it.change.User, it.change.Block.Since); err != nil && !errors.Is(err, mfa.ErrNotFound) {
			s.o.Log.Warn("what a blocked user had begun to enrol is still there: remove it (credential list)", "user", it.change.User, "error", err)
		}
	}
}

// keptOut voids what is under way if a user is changed from old to u by keeping them out, and when
// that is taken back what is from before it.
func (t *tx) keptOut(ctx context.Context, old, u mfa.User) error {
	switch {
	case u.State == mfa.StateDenied && old.State != mfa.StateDenied, u.Block != nil && (old.Block == nil || *old.Block != *u.Block):
		return t.void(ctx, u.ID, time.Time{})
	case u.Block == nil && old.Block != nil:
		return t.void(ctx, u.ID, old.Block.Since)
	}
	return nil
}

// void deletes what a user's enrolments have begun with before a time (zero: ever) and not proven.
// AddCredential, AddDevice and ActivateDevice depend on u/, so that the caller, who has read it,
// misses none.
func (t *tx) void(ctx context.Context, user mfa.UserID, before time.Time) error {
	var gone []mfa.Credential
	if _, err := t.s.kv.Scan(ctx, prefixCred+string(user)+"/", func(key string, value []byte, rev int64) bool {
		_, id, ok := cutCredKey(strings.TrimPrefix(key, prefixCred))
		r, err := parseCred(key, value)
		if !ok || err != nil {
			return true // serves nobody
		}
		c, err := r.open(t.s.ring, user, mfa.CredentialID(id.String()))
		if err == nil && c.UnderWay() && (before.IsZero() || c.Created.Before(before)) {
			t.ifRev[key] = rev
			gone = append(gone, c)
		}
		return true
	}); err != nil {
		return err
	}
	if len(gone) == 0 {
		return nil
	}
	return t.record(ctx, user, func(r *settlement.Record) error {
		for _, c := range gone {
			if err := t.retire(ctx, c, r.Floors.Of(c.ID)); err != nil {
				return err
			}
			*r = r.Forget(func(other mfa.CredentialID) bool { return other != c.ID })
			t.del(credKey(user, c.ID))
			if c.Method != mfa.MethodPush { // of whose code nobody was told
				t.notice(user, fmt.Sprintf("credential %s removed", c.Method), "")
			}
		}
		return nil
	})
}

// mayEnrol returns mfa.ErrNotFound if the user is kept out now, or was after c was begun with.
func (t *tx) mayEnrol(r userRecord, c mfa.Credential) error {
	u := t.s.overlay.showUser(r.plain(c.User))
	if u.State == mfa.StateDenied || u.BlockedAt(t.s.now()) || u.Block != nil && c.Created.Before(u.Block.Since) {
		return mfa.ErrNotFound
	}
	return nil
}
