package store

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
)

// activationRecord is ac/DIGEST: what an activation code is good for.
type activationRecord struct {
	V       int              `json:"v"`
	User    mfa.UserID       `json:"user"`
	Cred    mfa.CredentialID `json:"credential"`
	Expires time.Time        `json:"expires"`
}

// AddDevice stores the credential of a device that is still to come, c, which whoever brings
// code before c.Expires completes. Those of the user that nobody brought a code for in time go.
// The error wraps mfa.ErrInvalid if the user has most devices already.
func (s *Store) AddDevice(ctx context.Context, c mfa.Credential, code string, most int) error {
	key := s.nameKey(prefixActivation, code)
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		u, err := t.user(ctx, c.User)
		if err != nil {
			return err
		}
		a, err := s.Account(ctx, c.User, true)
		if err != nil {
			return err
		}
		devices := 0
		for _, has := range a.Credentials {
			switch {
			case has.Method != mfa.MethodPush:
			case has.Hold == mfa.CredentialUnproven && !has.Expires.IsZero() && !s.now().Before(has.Expires):
				if _, err := t.cred(ctx, c.User, has.ID); err != nil { // only as it was read
					return fmt.Errorf("%w: %w", mfa.ErrConflict, err)
				}
				t.del(credKey(c.User, has.ID))
			default:
				devices++
			}
		}
		if devices >= most {
			return fmt.Errorf("%w: the user has %d devices or codes for one already, as many as the policy lets (devices_per_user); remove one first", mfa.ErrInvalid, devices)
		}
		r, err := sealCred(s.ring, c)
		if err != nil {
			return err
		}
		t.absent(credKey(c.User, c.ID), key)
		t.put(credKey(c.User, c.ID), r)
		t.put(key, activationRecord{schema, c.User, c.ID, c.Expires.UTC()})
		u.Changed = s.now() // a new revision of u/, so that RemoveUser cannot miss the credential
		t.put(userKey(c.User), u)
		return nil
	})
	if err != nil {
		return fmt.Errorf("add device %s of user %s: %w", c.ID, c.User, err)
	}
	return nil
}

// ActivateDevice uses code up, if it is good, and runs change on the credential that it is for,
// perhaps more than once, in one write; the user is told by a notice in it. The error wraps
// mfa.ErrNotFound if the code is not good, as none is while its user is kept out, nor after that
// if it is older than the block.
func (s *Store) ActivateDevice(ctx context.Context, code string, change func(*mfa.Credential) error) (c mfa.Credential, err error) {
	key := s.nameKey(prefixActivation, code)
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		}
		var r activationRecord
		if b == nil {
			return mfa.ErrNotFound
		}
		if err := parse(key, b, &r, &r.V); err != nil {
			return err
		}
		if !s.now().Before(r.Expires) {
			return mfa.ErrNotFound
		}
		if c, err = t.cred(ctx, r.User, r.Cred); err != nil {
			return err
		}
		if c.Method != mfa.MethodPush || c.Hold != mfa.CredentialUnproven || c.Disabled {
			return mfa.ErrNotFound
		}
		u, err := t.user(ctx, r.User)
		if err != nil {
			return err
		}
		if err := t.mayEnrol(u, c); err != nil {
			return err
		}
		if err := change(&c); err != nil {
			return err
		}
		sealed, err := sealCred(s.ring, c)
		if err != nil {
			return err
		}
		t.put(credKey(r.User, r.Cred), sealed)
		t.del(key)
		t.notice(r.User, fmt.Sprintf("credential %s added", c.Method), c.By)
		return nil
	})
	return c, err
}

// UpdateDevice runs change on a fresh copy of a device's credential, perhaps more than once, and
// stores it. Nobody is told: it is about where the device is reached.
func (s *Store) UpdateDevice(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		c, err := t.cred(ctx, user, id)
		if err != nil {
			return err
		}
		if c.Method != mfa.MethodPush {
			return mfa.ErrNotFound
		}
		if err := change(&c); err != nil {
			return err
		}
		r, err := sealCred(s.ring, c)
		if err == nil {
			t.put(credKey(user, id), r)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("change device %s of user %s: %w", id, user, err)
	}
	return nil
}

// SweepActivations deletes activation codes that are over, with the devices that never came.
func (s *Store) SweepActivations(ctx context.Context) error {
	var old []string
	over := func(key string, b []byte) (r activationRecord, ok bool) {
		err := parse(key, b, &r, &r.V)
		return r, err == nil && s.now().After(r.Expires)
	}
	if _, err := s.kv.Scan(ctx, prefixActivation, func(key string, value []byte, _ int64) bool {
		if _, ok := over(key, value); ok {
			old = append(old, key)
		}
		return len(old) < 1000
	}); err != nil {
		return fmt.Errorf("read activation codes: %w", err)
	}
	for _, key := range old {
		if err := s.write(ctx, func(ctx context.Context, t *tx) error {
			b, err := t.get(ctx, key)
			if err != nil || b == nil {
				return err
			}
			r, ok := over(key, b)
			if !ok {
				return nil
			}
			t.del(key)
			if c, err := t.cred(ctx, r.User, r.Cred); err == nil && c.Hold == mfa.CredentialUnproven {
				t.del(credKey(r.User, r.Cred))
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
