package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// memberRecord is m/NAME. There is nothing secret in it.
type memberRecord struct {
	V int `json:"v"`
	mfa.Member
}

func parseMember(name string, b []byte) (mfa.Member, error) {
	var r memberRecord
	if err := parse(prefixMember+name, b, &r, &r.V); err != nil {
		return mfa.Member{}, err
	}
	if r.Name != name {
		return mfa.Member{}, fmt.Errorf("record %s%s: it is of %q", prefixMember, name, r.Name)
	}
	return r.Member, nil
}

// Members returns the servers of the group by name, from the local copy.
func (s *Store) Members() []mfa.Member {
	c := s.catalog()
	list := make([]mfa.Member, 0, len(c.members))
	for _, m := range c.members {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b mfa.Member) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Member returns one of them, or mfa.ErrNotFound.
func (s *Store) Member(name string) (mfa.Member, error) {
	c := s.catalog()
	if m, ok := c.members[name]; ok {
		return m, nil
	}
	return mfa.Member{}, s.missing(c, prefixMember+name, "server "+name)
}

// UpdateMember runs change on a fresh copy of a server's record, perhaps more than once,
// and stores what it made of it. Of a server without one change gets the name alone.
func (s *Store) UpdateMember(ctx context.Context, name string, change func(*mfa.Member) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, prefixMember+name)
		if err != nil {
			return err
		}
		before := mfa.Member{Name: name}
		if b != nil {
			if before, err = parseMember(name, b); err != nil {
				return err
			}
		}
		after := before
		if err := change(&after); err != nil {
			return err
		}
		if after.Name != name {
			return fmt.Errorf("%w: a server's name does not change", mfa.ErrInvalid)
		}
		if b == nil || !reflect.DeepEqual(before, after) {
			t.put(prefixMember+name, memberRecord{schema, after})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("record of server %s: %w", name, err)
	}
	return nil
}

// RemoveMember deletes a server's record and the keyset that was wrapped to it, so that a
// rotation of the keys leaves it out.
func (s *Store) RemoveMember(ctx context.Context, name string) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		b, err := t.get(ctx, prefixMember+name)
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		t.del(prefixMember+name, prefixKeyset+name)
		t.del(ownBlobs(name)...)
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove server %s: %w", name, err)
	}
	return nil
}

// ownBlobs are the keys under which the database keeps what it knows of a server's trail.
func ownBlobs(server string) []string {
	return []string{prefixSealed + "trail/head/" + server, prefixSealed + "trail/mark/" + server, prefixSealed + "ledger/" + server}
}

// JoinCode is a joining code as the group keeps it until it is used.
type JoinCode struct {
	ID      string // 16 hexadecimal digits
	Role    string // that it admits for
	Expires time.Time
	By      string
	Secret  secret.Text
}

// joinRecord is j/ID.
type joinRecord struct {
	V       int       `json:"v"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by,omitempty"`
	Sealed  []byte    `json:"sealed"`
}

// CreateJoinCode stores a new joining code, and removes those that have expired.
func (s *Store) CreateJoinCode(ctx context.Context, c JoinCode) error {
	key := prefixJoin + c.ID
	sealed, err := s.ring.Seal("join", c.ID, key, c.Secret.Expose())
	if err != nil {
		return err
	}
	err = s.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := s.kv.Scan(ctx, prefixJoin, func(key string, value []byte, rev int64) bool {
			var r joinRecord
			if parse(key, value, &r, &r.V) == nil && r.Expires.Before(s.now()) {
				t.del(key)
			}
			return true
		})
		if err != nil {
			return err
		}
		t.absent(key)
		t.put(key, joinRecord{schema, c.Role, c.Expires.UTC(), c.By, sealed})
		return nil
	})
	if err != nil {
		return fmt.Errorf("store the activation code: %w", err)
	}
	return nil
}

// JoinCode reads a code at the master. The error wraps mfa.ErrNotFound if there is none:
// it was used, or it expired a while ago.
func (s *Store) JoinCode(ctx context.Context, id string) (c JoinCode, err error) {
	err = s.withKeys(ctx, func() error {
		c, err = s.joinCode(ctx, s.begin(), id)
		return err
	})
	return c, err
}

// UsedCode is JoinCode for a code that has admitted a server. It is kept until it expires, for
// that server alone, which may not have heard the answer.
func (s *Store) UsedCode(ctx context.Context, id string) (c JoinCode, err error) {
	err = s.withKeys(ctx, func() error {
		c, err = s.joinCode(ctx, s.begin(), usedCode+id)
		return err
	})
	c.ID = id
	return c, err
}

func (s *Store) joinCode(ctx context.Context, t *tx, id string) (JoinCode, error) {
	key := prefixJoin + id
	b, err := t.get(ctx, key)
	if err == nil && b == nil {
		err = mfa.ErrNotFound
	}
	if err != nil {
		return JoinCode{}, fmt.Errorf("activation code %s: %w", id, err)
	}
	var r joinRecord
	if err := parse(key, b, &r, &r.V); err != nil {
		return JoinCode{}, err
	}
	plain, err := s.ring.Open("join", id, key, r.Sealed)
	if err != nil {
		return JoinCode{}, fmt.Errorf("record %s: %w", key, err)
	}
	return JoinCode{ID: id, Role: r.Role, Expires: r.Expires, By: r.By, Secret: plain}, nil
}

// Admit makes m a server of the group by a code: in one commit the code is used up, the
// record of m is written, and the keyset is wrapped to m.Wrap (a witness gets none). check sees the code and
// what is recorded of a server of that name (nil: nothing), and may run more than once. The
// server that has used a code up, and has not joined yet, may use it again.
func (s *Store) Admit(ctx context.Context, id string, m mfa.Member, check func(JoinCode, *mfa.Member) error) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		code, err := s.joinCode(ctx, t, id)
		again := errors.Is(err, mfa.ErrNotFound)
		if again {
			code, err = s.joinCode(ctx, t, usedCode+id)
		}
		if err != nil {
			return err
		}
		code.ID = id
		b, err := t.get(ctx, prefixMember+m.Name)
		if err != nil {
			return err
		}
		var before *mfa.Member
		if b != nil {
			old, err := parseMember(m.Name, b)
			if err != nil {
				return err
			}
			before = &old
		}
		if again && !(before != nil && before.Same(m)) {
			return fmt.Errorf("activation code %s: %w", id, mfa.ErrNotFound)
		}
		if err := check(code, before); err != nil {
			return err
		}
		if err := t.fits(ctx, m); err != nil {
			return err
		}
		if m.Role == mfa.RoleWitness {
			err = t.unwrap(ctx, m.Name)
		} else {
			err = s.wrapTo(ctx, t, m.Name, m.Wrap)
		}
		if err != nil {
			return err
		}
		if !again {
			sealed, err := s.ring.Seal("join", usedCode+id, prefixJoin+usedCode+id, code.Secret.Expose())
			if err != nil {
				return err
			}
			t.del(prefixJoin + id)
			t.put(prefixJoin+usedCode+id, joinRecord{schema, code.Role, code.Expires, code.By, sealed})
		}
		t.del(ownBlobs(m.Name)...) // of an earlier server of that name, whose trail this one has not got
		t.put(prefixMember+m.Name, memberRecord{schema, m})
		return nil
	})
	if err != nil {
		return fmt.Errorf("admit server %s: %w", m.Name, err)
	}
	return nil
}

// unwrap removes the keyset that an earlier server of that name had.
func (t *tx) unwrap(ctx context.Context, server string) error {
	b, err := t.get(ctx, prefixKeyset+server)
	if b != nil {
		t.del(prefixKeyset + server)
	}
	return err
}

// wrapTo adds the keyset, wrapped for a server, to t. This server's own is written again
// beside it, so that a rotation at the same time meets a conflict and wraps to both.
func (s *Store) wrapTo(ctx context.Context, t *tx, server, recipient string) error {
	own, err := t.get(ctx, s.view.ksKey)
	if err != nil {
		return err
	}
	if own == nil || s.view.ksKey == prefixKeyset+server {
		return errors.New("this server has no keyset of its own to pass on")
	}
	var r keysetRecord
	if err := parse(s.view.ksKey, own, &r, &r.V); err != nil {
		return err
	}
	k, err := keyring.Unwrap(r.Wrapped, s.o.Identity)
	if err != nil {
		return err
	}
	wrapped, err := k.Wrap(recipient)
	if err != nil {
		return fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	if _, err := t.get(ctx, prefixKeyset+server); err != nil {
		return err
	}
	t.put(prefixKeyset+server, keysetRecord{schema, recipient, wrapped})
	t.puts[s.view.ksKey] = own
	return nil
}
