package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// CountUsers returns how many users there are in the view.
func (s *Store) CountUsers() int {
	s.view.mu.RLock()
	defer s.view.mu.RUnlock()
	if s.view.cur == nil {
		return 0
	}
	return s.view.cur.count
}

// ListUsers yields the users after the given id ("": from the first), in an order of ids
// that stays the same, until yield returns false. A user that cannot be read is left out,
// and the first such error is returned at the end.
func (s *Store) ListUsers(ctx context.Context, after mfa.UserID, yield func(mfa.User) bool) error {
	ids, err := s.idsAfter(after)
	if err != nil {
		return err
	}
	var bad error
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		e, err := s.view.entryOf(id)
		if err != nil {
			return err
		}
		if e.profile.rev == 0 {
			continue // removed since
		}
		u, err := s.openUser(mfa.UserID(id.String()), e.profile.data)
		if err != nil {
			if bad == nil {
				bad = err
			}
			continue
		}
		if !yield(s.overlay.showUser(u)) {
			break
		}
	}
	return bad
}

// idsAfter are those of all users behind one, in order.
func (s *Store) idsAfter(after mfa.UserID) ([]rawID, error) {
	ids, err := s.view.userIDs()
	if err != nil || after == "" {
		return ids, err
	}
	raw, ok := parseID(after)
	if !ok {
		return nil, badID("user", string(after))
	}
	start, found := slices.BinarySearchFunc(ids, raw, compareIDs)
	if found {
		start++
	}
	return ids[start:], nil
}

// userIDs returns the ids of all users in order.
func (v *view) userIDs() ([]rawID, error) {
	v.mu.RLock()
	loaded, ids := v.cur != nil, []rawID(nil)
	if loaded {
		ids = v.cur.order
	}
	v.mu.RUnlock()
	if !loaded {
		return nil, errNotLoaded
	}
	if ids != nil {
		return ids, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.cur.order == nil {
		ids = make([]rawID, 0, v.cur.count)
		for id, e := range v.cur.users {
			if e.profile.rev != 0 {
				ids = append(ids, id)
			}
		}
		slices.SortFunc(ids, compareIDs)
		v.cur.order = ids
	}
	return v.cur.order, nil
}

func compareIDs(a, b rawID) int { return bytes.Compare(a[:], b[:]) }

// prepare makes u fit to be stored: id, normalised and distinct login names, times.
func (s *Store) prepare(u *mfa.User) error {
	if u.ID == "" {
		u.ID = mfa.UserID(mfa.NewID(s.o.Random))
	}
	if _, ok := parseID(u.ID); !ok {
		return badID("user", string(u.ID))
	}
	forms, err := formsOf(*u)
	if err != nil {
		return err
	}
	u.Login, u.Aliases = forms[0], forms[1:]
	if len(u.Aliases) == 0 {
		u.Aliases = nil
	}
	if u.Created.IsZero() {
		u.Created = s.now()
	}
	if u.Changed.IsZero() {
		u.Changed = u.Created
	}
	return nil
}

// formsOf returns the login forms that are the user's: the login's first, then those of
// the aliases that differ. What a domain makes of them is found when somebody signs in.
func formsOf(u mfa.User) ([]string, error) {
	forms := make([]string, 0, 1+len(u.Aliases))
	for _, typed := range append([]string{u.Login}, u.Aliases...) {
		n, err := login.Parse(typed)
		if err != nil {
			return nil, fmt.Errorf("login name %q cannot be used: %w (%w)", typed, mfa.ErrInvalid, err)
		}
		if f := n.String(); !slices.Contains(forms, f) {
			forms = append(forms, f)
		}
	}
	return forms, nil
}

func (s *Store) formKey(form string) string { return prefixForm + s.ring.Digest(form) }

// prepareCreds returns the first credentials of a prepared user, fit to be stored.
func (s *Store) prepareCreds(u mfa.User, given []mfa.Credential) ([]mfa.Credential, error) {
	creds := slices.Clone(given)
	for i := range creds {
		c := &creds[i]
		if c.User == "" {
			c.User = u.ID
		}
		if c.ID == "" {
			c.ID = mfa.CredentialID(mfa.NewID(s.o.Random))
		}
		if c.User != u.ID {
			return nil, fmt.Errorf("credential %q of user %s given for user %s: %w", c.ID, c.User, u.ID, mfa.ErrInvalid)
		}
		if _, ok := parseID(c.ID); !ok {
			return nil, badID("credential", string(c.ID))
		}
		if c.Created.IsZero() {
			c.Created = u.Created
		}
	}
	return creds, nil
}

// create adds a prepared user and their prepared credentials to t.
func (t *tx) create(u mfa.User, creds []mfa.Credential) error {
	r, err := t.s.sealUser(u)
	if err != nil {
		return err
	}
	if err := t.unsettled(u.ID); err != nil {
		return err
	}
	t.put(userKey(u.ID), r)
	t.absent(userKey(u.ID))
	for _, form := range append([]string{u.Login}, u.Aliases...) {
		t.put(t.s.formKey(form), claim{schema, string(u.ID)})
		t.absent(t.s.formKey(form))
	}
	for _, c := range creds {
		r, err := sealCred(t.s.ring, c)
		if err != nil {
			return err
		}
		t.put(credKey(c.User, c.ID), r)
	}
	return nil
}

// unsettled gives a new user a settlement record with nothing in it, so that the first
// settlement too is conditional on one key, unless t gives them one with floors. That a
// record like it is there shows nobody who made it.
func (t *tx) unsettled(user mfa.UserID) error {
	key := recordKey(user)
	if _, floors := t.puts[key]; floors {
		return nil
	}
	b, err := settlement.Record{}.MarshalBinary()
	if err != nil {
		return err
	}
	t.absent(key)
	t.puts[key] = b
	t.alike(key)
	return nil
}

// taken says that a login form of a user to be is somebody's.
func taken(form string) error { return fmt.Errorf("login name %q: %w", form, mfa.ErrExists) }

// CreateUser stores a new user with their first credentials, in one write. It assigns what
// is empty of ids and times and returns the user as stored. The error wraps mfa.ErrExists
// if a login form is somebody's, and names it. It leaves no notice: a new user has no
// older channel.
func (s *Store) CreateUser(ctx context.Context, u mfa.User, creds []mfa.Credential) (mfa.User, error) {
	if err := s.prepare(&u); err != nil {
		return mfa.User{}, err
	}
	creds, err := s.prepareCreds(u, creds)
	if err != nil {
		return mfa.User{}, fmt.Errorf("create user: %w", err)
	}
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		for _, form := range append([]string{u.Login}, u.Aliases...) {
			if b, err := t.get(ctx, s.formKey(form)); err != nil {
				return err
			} else if b != nil {
				return taken(form)
			}
		}
		if b, err := t.get(ctx, userKey(u.ID)); err != nil {
			return err
		} else if b != nil {
			return fmt.Errorf("user id %s: %w", u.ID, mfa.ErrExists)
		}
		if err := t.refer(ctx, u.Directory); err != nil {
			return err
		}
		if err := t.reuse(ctx, u.ID, creds...); err != nil {
			return err
		}
		return t.create(u, creds)
	})
	if err != nil {
		return mfa.User{}, fmt.Errorf("create user: %w", err)
	}
	return u, nil
}

// UpdateUser runs change on a fresh copy of the user, perhaps more than once, and stores
// what it made of it, with the login forms in step. The id stays. Of somebody who is kept out
// by that, what they have begun to enrol is void.
func (s *Store) UpdateUser(ctx context.Context, id mfa.UserID, change func(*mfa.User) error) (mfa.User, error) {
	var u mfa.User
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		r, err := t.user(ctx, id)
		if err != nil {
			return err
		}
		old, err := r.open(s.ring, id)
		if err != nil {
			return err
		}
		u = old
		u.Aliases, u.Tags = slices.Clone(old.Aliases), slices.Clone(old.Tags)
		if old.Block != nil {
			b := *old.Block
			u.Block = &b
		}
		if err := change(&u); err != nil {
			return err
		}
		t.restricts = onlyBlocks(old, u) && !old.Block.Stricter(u.Block)
		u.ID, u.Created, u.Changed = id, old.Created, s.now()
		if err := s.prepare(&u); err != nil {
			return err
		}
		if old.State == mfa.StateProtected && u.State != old.State {
			if err := t.keepsOwner(ctx, id); err != nil {
				return err
			}
		}
		if u.Directory != old.Directory {
			if err := t.refer(ctx, u.Directory); err != nil {
				return err
			}
		}
		if err := t.moveForms(ctx, old, u); err != nil {
			return err
		}
		if err := t.keptOut(ctx, old, u); err != nil {
			return err
		}
		if r, err = s.sealUser(u); err != nil {
			return err
		}
		t.put(userKey(id), r)
		return t.contacts(old, u)
	})
	if errors.Is(err, mfa.ErrUnavailable) {
		if blocked, ok, local := s.blockLocal(ctx, id, change); ok {
			u, err = blocked, local
		}
	}
	if err != nil {
		return mfa.User{}, fmt.Errorf("change user %s: %w", id, err)
	}
	return u, nil
}

// moveForms frees the login forms that old has and u has not, and claims those that only u
// has.
func (t *tx) moveForms(ctx context.Context, old, u mfa.User) error {
	had := append([]string{old.Login}, old.Aliases...)
	has := append([]string{u.Login}, u.Aliases...)
	for _, form := range had {
		if !slices.Contains(has, form) {
			t.del(t.s.formKey(form))
		}
	}
	for _, form := range has {
		if slices.Contains(had, form) {
			continue
		}
		if b, err := t.get(ctx, t.s.formKey(form)); err != nil {
			return err
		} else if b != nil {
			return taken(form)
		}
		t.put(t.s.formKey(form), claim{schema, string(u.ID)})
	}
	return nil
}

// RemoveUser deletes the user with login forms, credentials and settlement record. The
// seeds of tokens keep their floors.
func (s *Store) RemoveUser(ctx context.Context, id mfa.UserID) error {
	return s.RemoveUserIf(ctx, id, func(mfa.User) error { return nil })
}

// RemoveUserIf is RemoveUser of a user who, in the write itself, is as holds wants them; its
// error is returned otherwise. The last owner stays (mfa.ErrLastOwner).
func (s *Store) RemoveUserIf(ctx context.Context, id mfa.UserID, holds func(mfa.User) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		r, err := t.user(ctx, id)
		if err != nil {
			return err
		}
		u, err := r.open(s.ring, id)
		if err != nil {
			return err
		}
		if err := holds(u); err != nil {
			return err
		}
		if err := t.keepsOwner(ctx, id); err != nil {
			return err
		}
		for _, form := range append([]string{u.Login}, u.Aliases...) {
			t.del(s.formKey(form))
		}
		if err := t.removeCreds(ctx, id); err != nil {
			return err
		}
		t.del(userKey(id), recordKey(id), administratorKey(id))
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove user %s: %w", id, err)
	}
	return nil
}

// removeCreds deletes all credentials of a user. AddCredential changes u/ as well, so that
// none can come in between.
func (t *tx) removeCreds(ctx context.Context, user mfa.UserID) error {
	b, err := t.get(ctx, recordKey(user))
	if err != nil {
		return err
	}
	var r settlement.Record
	if b != nil {
		if err := r.UnmarshalBinary(b); err != nil {
			return fmt.Errorf("record %s: %w", recordKey(user), err)
		}
	}
	var creds []mfa.Credential
	_, err = t.s.kv.Scan(ctx, prefixCred+string(user)+"/", func(key string, value []byte, _ int64) bool {
		t.del(key)
		// One that does not open serves nobody, and must not keep its user here.
		if _, id, ok := cutCredKey(strings.TrimPrefix(key, prefixCred)); ok {
			id := mfa.CredentialID(id.String())
			if sealed, err := parseCred(key, value); err == nil {
				if c, err := sealed.open(t.s.ring, user, id); err == nil {
					creds = append(creds, c)
				}
			}
		}
		return true
	})
	for _, c := range creds {
		err = errors.Join(err, t.retire(ctx, c, r.Floors.Of(c.ID)))
	}
	return err
}
