package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// directoryRecord is d/NAME. Sealed holds the bind password.
type directoryRecord struct {
	V          int           `json:"v"`
	Kind       string        `json:"kind"`
	URLs       []string      `json:"urls,omitempty"`
	StartTLS   bool          `json:"start_tls,omitempty"`
	CAs        string        `json:"cas,omitempty"`
	BindDN     string        `json:"bind_dn,omitempty"`
	BaseDN     string        `json:"base_dn,omitempty"`
	UserFilter string        `json:"user_filter,omitempty"`
	GroupAttr  string        `json:"group_attr,omitempty"`
	UPNSuffix  string        `json:"upn_suffix,omitempty"`
	Timeout    time.Duration `json:"timeout_ns,omitempty"`
	Removing   bool          `json:"removing,omitempty"` // nothing may begin to name it
	Created    time.Time     `json:"created,omitzero"`
	Changed    time.Time     `json:"changed,omitzero"`
	Sealed     []byte        `json:"sealed"`

	password secret.Text // opened
}

func dirKey(name string) string { return prefixDirectory + name }

func (s *Store) sealDirectory(d mfa.Directory) (directoryRecord, error) {
	sealed, err := s.ring.Seal("directory", d.Name, dirKey(d.Name), d.BindPassword.Expose())
	return directoryRecord{V: schema, Kind: d.Kind, URLs: d.URLs, StartTLS: d.StartTLS, CAs: d.CAs, BindDN: d.BindDN, BaseDN: d.BaseDN,
		UserFilter: d.UserFilter, GroupAttr: d.GroupAttr, UPNSuffix: d.UPNSuffix, Timeout: d.Timeout, Created: d.Created.UTC(),
		Changed: d.Changed.UTC(), Sealed: sealed}, err
}

func (s *Store) parseDirectory(name string, b []byte) (r directoryRecord, err error) {
	if err := parse(dirKey(name), b, &r, &r.V); err != nil {
		return r, err
	}
	if r.password, err = s.ring.Open("directory", name, dirKey(name), r.Sealed); err != nil {
		err = fmt.Errorf("record %s: %w", dirKey(name), err)
	}
	return r, err
}

func (r directoryRecord) directory(name string) mfa.Directory {
	return mfa.Directory{Name: name, Kind: r.Kind, URLs: r.URLs, StartTLS: r.StartTLS, CAs: r.CAs, BindDN: r.BindDN, BindPassword: r.password,
		BaseDN: r.BaseDN, UserFilter: r.UserFilter, GroupAttr: r.GroupAttr, UPNSuffix: r.UPNSuffix, Timeout: r.Timeout, Created: r.Created, Changed: r.Changed}
}

// Directory returns the directory of that name, or mfa.ErrNotFound.
func (s *Store) Directory(name string) (mfa.Directory, error) {
	c := s.catalog()
	if r, ok := c.dirs[name]; ok {
		return r.directory(name), nil
	}
	return mfa.Directory{}, s.missing(c, dirKey(name), fmt.Sprintf("directory %q", name))
}

// Directories returns all directories in the order of their names.
func (s *Store) Directories() []mfa.Directory {
	c := s.catalog()
	list := make([]mfa.Directory, 0, len(c.dirs))
	for name, r := range c.dirs {
		list = append(list, r.directory(name))
	}
	slices.SortFunc(list, func(a, b mfa.Directory) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// refer makes t conditional on the directory name being there, for a record that begins to
// name it. "" and "local" are no directories.
func (t *tx) refer(ctx context.Context, name string) error {
	if name == "" || name == mfa.FirstFactorLocal {
		return nil
	}
	r, err := t.directory(ctx, name)
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return fmt.Errorf("directory %q does not exist: %w", name, mfa.ErrInvalid)
	case err != nil:
		return err
	case r.Removing:
		return fmt.Errorf("directory %q is being removed: %w", name, mfa.ErrInvalid)
	}
	return nil
}

// directory reads d/NAME, which must exist.
func (t *tx) directory(ctx context.Context, name string) (directoryRecord, error) {
	b, err := t.get(ctx, dirKey(name))
	if err != nil {
		return directoryRecord{}, err
	}
	if b == nil {
		return directoryRecord{}, mfa.ErrNotFound
	}
	return t.s.parseDirectory(name, b)
}

// CreateDirectory stores a new directory. It assigns what is empty of times.
func (s *Store) CreateDirectory(ctx context.Context, d mfa.Directory) (mfa.Directory, error) {
	if d.Name == "" || strings.ContainsAny(d.Name, "/\x00") || d.Name == mfa.FirstFactorLocal || d.Name == mfa.FirstFactorNone {
		return mfa.Directory{}, fmt.Errorf("directory name %q: may not be empty, local or none, nor hold a slash: %w", d.Name, mfa.ErrInvalid)
	}
	if d.Created.IsZero() {
		d.Created = s.now()
	}
	if d.Changed.IsZero() {
		d.Changed = d.Created
	}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		if b, err := t.get(ctx, dirKey(d.Name)); err != nil {
			return err
		} else if b != nil {
			return mfa.ErrExists
		}
		r, err := s.sealDirectory(d)
		t.put(dirKey(d.Name), r)
		return err
	})
	if err != nil {
		return mfa.Directory{}, fmt.Errorf("create directory %q: %w", d.Name, err)
	}
	return d, nil
}

// UpdateDirectory runs change on a fresh copy of the directory, perhaps more than once, and
// stores what it made of it. The name stays.
func (s *Store) UpdateDirectory(ctx context.Context, name string, change func(*mfa.Directory) error) (mfa.Directory, error) {
	var d mfa.Directory
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		old, err := t.directory(ctx, name)
		if err != nil {
			return err
		}
		d = old.directory(name)
		d.URLs = slices.Clone(old.URLs)
		if err := change(&d); err != nil {
			return err
		}
		d.Name, d.Created, d.Changed = name, old.Created, s.now()
		r, err := s.sealDirectory(d)
		t.put(dirKey(name), r)
		return err
	})
	if err != nil {
		return mfa.Directory{}, fmt.Errorf("change directory %q: %w", name, err)
	}
	return d, nil
}

// RemoveDirectory deletes the directory. While an application or a user names it the error
// wraps mfa.ErrInvalid and says which.
//
// It takes two writes. The first marks the directory: whatever begins to name it is
// conditional on the mark not being there. So what names it afterwards did so before, and
// is seen.
func (s *Store) RemoveDirectory(ctx context.Context, name string) error {
	err := s.mark(ctx, name, true)
	if err == nil {
		if err = s.unnamed(ctx, name); err != nil {
			if undo := s.mark(context.WithoutCancel(ctx), name, false); undo != nil {
				err = errors.Join(err, undo)
			}
		}
	}
	if err == nil {
		err = s.write(ctx, func(ctx context.Context, t *tx) error {
			r, err := t.directory(ctx, name)
			if err != nil {
				return err
			}
			if !r.Removing { // somebody else changed their mind
				return mfa.ErrConflict
			}
			t.del(dirKey(name))
			return nil
		})
	}
	if err != nil {
		return fmt.Errorf("remove directory %q: %w", name, err)
	}
	return nil
}

func (s *Store) mark(ctx context.Context, name string, removing bool) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		r, err := t.directory(ctx, name)
		if err != nil {
			return err
		}
		r.Removing = removing
		t.put(dirKey(name), r)
		return nil
	})
}

// unnamed reports the first application or user that names the directory.
func (s *Store) unnamed(ctx context.Context, name string) error {
	if err := s.Sync(ctx); err != nil {
		return err
	}
	for _, a := range s.Applications() {
		if firstFactorDirectory(a) == name {
			return fmt.Errorf("application %q names it: %w", a.Name, mfa.ErrInvalid)
		}
	}
	var who error
	err := s.ListUsers(ctx, "", func(u mfa.User) bool {
		if u.Directory == name {
			who = fmt.Errorf("user %q names it: %w", u.Login, mfa.ErrInvalid)
		}
		return who == nil
	})
	if who != nil {
		return who
	}
	return err
}
