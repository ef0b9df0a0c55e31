package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// administratorRecord is r/USER: the role that a user holds. Nothing in it is personal.
type administratorRecord struct {
	V           int       `json:"v"`
	Role        string    `json:"role"`
	Permissions []string  `json:"permissions,omitempty"`
	Reach       mfa.Reach `json:"reach,omitzero"`
	By          string    `json:"by,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Changed     time.Time `json:"changed,omitzero"`
}

func administratorKey(id mfa.UserID) string { return prefixAdministrator + string(id) }

func administratorRecordOf(a mfa.Administrator) administratorRecord {
	return administratorRecord{V: schema, Role: a.Role.String(), Permissions: a.Permissions.Names(), Reach: a.Reach, By: a.By,
		Created: a.Created.UTC(), Changed: a.Changed.UTC()}
}

func parseAdministrator(id mfa.UserID, b []byte) (mfa.Administrator, error) {
	var r administratorRecord
	if err := parse(administratorKey(id), b, &r, &r.V); err != nil {
		return mfa.Administrator{}, err
	}
	role, ok := mfa.ParseRole(r.Role)
	if !ok {
		return mfa.Administrator{}, fmt.Errorf("record %s: role %q is not known", administratorKey(id), r.Role)
	}
	a := mfa.Administrator{User: id, Role: role, Reach: r.Reach, By: r.By, Created: r.Created, Changed: r.Changed}
	for _, name := range r.Permissions {
		p, ok := mfa.ParsePermission(name)
		if !ok {
			return mfa.Administrator{}, fmt.Errorf("record %s: permission %q is not known", administratorKey(id), name)
		}
		a.Permissions |= mfa.SetOf(p)
	}
	return a, nil
}

// Administrators returns all users who hold a role, in the order of their ids.
func (s *Store) Administrators() []mfa.Administrator {
	c := s.catalog()
	list := make([]mfa.Administrator, 0, len(c.administrators))
	for _, a := range c.administrators {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b mfa.Administrator) int { return strings.Compare(string(a.User), string(b.User)) })
	return list
}

// Administrator returns the role that a user holds, or mfa.ErrNotFound. A record that cannot
// be read is an error of its own: whoever holds an unknown role is not nobody.
func (s *Store) Administrator(id mfa.UserID) (mfa.Administrator, error) {
	c := s.catalog()
	if a, ok := c.administrators[id]; ok {
		return newest(s, a, administratorKey(id), func(b []byte) (mfa.Administrator, error) { return parseAdministrator(id, b) })
	}
	return mfa.Administrator{}, s.missing(c, administratorKey(id), "administrator")
}

// CreateAdministrator gives a user, who must exist, a role. It assigns the times that are
// empty. The error wraps mfa.ErrExists if they hold one.
func (s *Store) CreateAdministrator(ctx context.Context, a mfa.Administrator) (mfa.Administrator, error) {
	if a.Created.IsZero() {
		a.Created = s.now()
	}
	a.Changed = a.Created
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if b, err := t.get(ctx, administratorKey(a.User)); err != nil {
			return err
		} else if b != nil {
			return mfa.ErrExists
		}
		return t.putAdministrator(ctx, a)
	})
	if err != nil {
		return mfa.Administrator{}, fmt.Errorf("role of user %s: %w", a.User, err)
	}
	return a, nil
}

// putAdministrator writes a; the user must be there, and still be there.
func (t *tx) putAdministrator(ctx context.Context, a mfa.Administrator) error {
	if _, err := t.user(ctx, a.User); err != nil {
		return err
	}
	t.put(administratorKey(a.User), administratorRecordOf(a))
	return nil
}

// UpdateAdministrator runs change on a fresh copy of a user's role, perhaps more than once,
// and stores what it made of it. The last owner stays one (mfa.ErrLastOwner).
func (s *Store) UpdateAdministrator(ctx context.Context, id mfa.UserID, change func(*mfa.Administrator) error) (mfa.Administrator, error) {
	var a mfa.Administrator
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, administratorKey(id))
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		old, err := parseAdministrator(id, b)
		if err != nil {
			return err
		}
		a = old
		a.Reach.Tags, a.Reach.Directories, a.Reach.Groups = slices.Clone(old.Reach.Tags), slices.Clone(old.Reach.Directories), slices.Clone(old.Reach.Groups)
		if err := change(&a); err != nil {
			return err
		}
		a.User, a.Created, a.Changed = id, old.Created, s.now()
		if old.Role == mfa.RoleOwner && a.Role != mfa.RoleOwner {
			if err := t.keepsOwner(ctx, id); err != nil {
				return err
			}
		}
		return t.putAdministrator(ctx, a)
	})
	if err != nil {
		return mfa.Administrator{}, fmt.Errorf("role of user %s: %w", id, err)
	}
	return a, nil
}

// RemoveAdministrator takes a user's role away; that of the last owner only if lastOwner says so
// (mfa.ErrLastOwner). One that cannot be read goes too.
func (s *Store) RemoveAdministrator(ctx context.Context, id mfa.UserID, lastOwner bool) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, administratorKey(id))
		if err == nil && b == nil {
			err = mfa.ErrNotFound
		}
		if err == nil && !lastOwner {
			err = t.keepsOwner(ctx, id)
		}
		t.del(administratorKey(id))
		return err
	})
	if err != nil {
		return fmt.Errorf("role of user %s: %w", id, err)
	}
	return nil
}
