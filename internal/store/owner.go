package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// keepsOwner refuses (mfa.ErrLastOwner) a write after which a user is no owner any more who can
// sign in, if there is no other. The write is conditional on that other: of two owners who take
// each other's role one does.
func (t *tx) keepsOwner(ctx context.Context, user mfa.UserID) error {
	if stands, err := t.isOwner(ctx, user); err != nil || !stands {
		return err
	}
	var others []mfa.UserID
	if _, err := t.s.kv.Scan(ctx, prefixAdministrator, func(key string, value []byte, _ int64) bool {
		id := mfa.UserID(strings.TrimPrefix(key, prefixAdministrator))
		if a, err := parseAdministrator(id, value); err == nil && a.Role == mfa.RoleOwner && id != user {
			others = append(others, id)
		}
		return true
	}); err != nil {
		return err
	}
	slices.Sort(others)
	for _, id := range others {
		held := t.ifRev
		t.ifRev = map[string]int64{}
		stands, err := t.isOwner(ctx, id)
		read := t.ifRev
		if t.ifRev = held; err != nil {
			return err
		}
		if stands { // who does not count is no condition
			for key, rev := range read {
				t.ifRev[key] = rev
			}
			return nil
		}
	}
	return mfa.ErrLastOwner
}

// isOwner reports whether a user is an owner who can sign in: console and portal want both factors,
// so nobody else than who is protected does.
func (t *tx) isOwner(ctx context.Context, id mfa.UserID) (bool, error) {
	b, err := t.get(ctx, administratorKey(id))
	if err != nil || b == nil {
		return false, err
	}
	a, err := parseAdministrator(id, b)
	if err != nil || a.Role != mfa.RoleOwner {
		return false, nil //nolint:nilerr // a role that cannot be read is nobody's
	}
	if b, err = t.get(ctx, userKey(id)); err != nil || b == nil {
		return false, err
	}
	r, err := parseUser(userKey(id), b)
	if err != nil {
		return false, nil //nolint:nilerr // nor does a user who cannot be read sign in
	}
	u, err := r.open(t.s.ring, id)
	if err != nil {
		return false, fmt.Errorf("owner %s: %w", id, err)
	}
	return u.State == mfa.StateProtected, nil
}
