package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// AddCredential stores a further credential of the user c.User. c.ID must be set. The
// user is told by a notice in the same write.
func (s *Store) AddCredential(ctx context.Context, c mfa.Credential) error {
	if _, ok := parseID(c.ID); !ok {
		return badID("credential", string(c.ID))
	}
	if c.Created.IsZero() {
		c.Created = s.now()
	}
	key := credKey(c.User, c.ID)
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		u, err := t.user(ctx, c.User)
		if err != nil {
			return err
		}
		if b, err := t.get(ctx, key); err != nil {
			return err
		} else if b != nil {
			return mfa.ErrExists
		}
		r, err := sealCred(s.ring, c)
		if err != nil {
			return err
		}
		t.put(key, r)
		if err := t.reuse(ctx, c.User, c); err != nil {
			return err
		}
		u.Changed = s.now() // a new revision of u/, so that RemoveUser cannot miss the credential
		t.put(userKey(c.User), u)
		t.notice(c.User, fmt.Sprintf("credential %s added", c.Method), c.By)
		return nil
	})
	if err != nil {
		return fmt.Errorf("add credential %s of user %s: %w", c.ID, c.User, err)
	}
	return nil
}

// UpdateCredential runs change on a fresh copy of the credential, perhaps more than once,
// and stores what it made of it. Id, user and method stay. The user is told by a notice in
// the same write.
func (s *Store) UpdateCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) (mfa.Credential, error) {
	var c mfa.Credential
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		old, err := t.cred(ctx, user, id)
		if err != nil {
			return err
		}
		c = old
		c.Scope = slices.Clone(old.Scope)
		if err := change(&c); err != nil {
			return err
		}
		t.restricts = onlyDisables(old, c)
		c.ID, c.User, c.Method, c.Created = id, user, old.Method, old.Created
		r, err := sealCred(s.ring, c)
		if err != nil {
			return err
		}
		t.put(credKey(user, id), r)
		t.notice(user, fmt.Sprintf("credential %s %s", c.Method, changed(old, c)), c.By)
		return nil
	})
	if errors.Is(err, mfa.ErrUnavailable) {
		if disabled, ok, local := s.disableLocal(ctx, user, id, change); ok {
			c, err = disabled, local
		}
	}
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("change credential %s of user %s: %w", id, user, err)
	}
	return c, nil
}

// changed says in a word what was changed from old to c.
func changed(old, c mfa.Credential) string {
	switch {
	case !c.Secret.Equal(old.Secret):
		return "replaced"
	case c.Disabled && !old.Disabled:
		return "disabled"
	case !c.Disabled && old.Disabled:
		return "enabled"
	case old.Awaits && !c.Awaits:
		return "approved"
	case old.Confirmed.IsZero() && !c.Confirmed.IsZero():
		return "confirmed"
	}
	return "changed"
}

// RemoveCredential deletes the credential, and its floor from the settlement record; the
// seed keeps it. The user is told by a notice in the same write.
func (s *Store) RemoveCredential(ctx context.Context, user mfa.UserID, id mfa.CredentialID) error {
	return s.RemoveCredentialIf(ctx, user, id, func([]mfa.Credential) error { return nil })
}

// RemoveCredentialIf is RemoveCredential if may, which gets all credentials that the user has
// when it is written and may be called more than once, returns nil.
func (s *Store) RemoveCredentialIf(ctx context.Context, user mfa.UserID, id mfa.CredentialID, may func([]mfa.Credential) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		c, err := t.cred(ctx, user, id)
		if err != nil {
			return err
		}
		t.del(credKey(user, id))
		t.notice(user, fmt.Sprintf("credential %s removed", c.Method), "")
		return t.record(ctx, user, func(r *settlement.Record) error {
			if err := t.retire(ctx, c, r.Floors.Of(id)); err != nil {
				return err
			}
			*r = r.Forget(func(other mfa.CredentialID) bool { return other != id })
			// The record was read before them, and each change of a credential gives it a new revision:
			// if one of them is changed meanwhile, this write fails and is made again.
			a, err := s.Account(ctx, user, true)
			if err != nil {
				return err
			}
			return may(a.Credentials)
		})
	})
	if err != nil {
		return fmt.Errorf("remove credential %s of user %s: %w", id, user, err)
	}
	return nil
}

// cred reads c/USER/ID, which must exist.
func (t *tx) cred(ctx context.Context, user mfa.UserID, id mfa.CredentialID) (mfa.Credential, error) {
	_, userOK := parseID(user)
	if _, ok := parseID(id); !ok || !userOK {
		return mfa.Credential{}, mfa.ErrNotFound
	}
	b, err := t.get(ctx, credKey(user, id))
	if err != nil {
		return mfa.Credential{}, err
	}
	if b == nil {
		return mfa.Credential{}, mfa.ErrNotFound
	}
	r, err := parseCred(credKey(user, id), b)
	if err != nil {
		return mfa.Credential{}, err
	}
	return r.open(t.s.ring, user, id)
}
