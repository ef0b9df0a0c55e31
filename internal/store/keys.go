package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
)

// keysetRecord is k/keyset/SERVER: the group's keyset, wrapped to that server's identity.
type keysetRecord struct {
	V         int    `json:"v"`
	Recipient string `json:"recipient"`
	Wrapped   []byte `json:"wrapped"`
}

// PutKeyset stores the keyset wrapped to a server's recipient: when a group is founded, a
// server admitted or a backup restored. What was there for that server is replaced.
func PutKeyset(ctx context.Context, kv KV, server, recipient string, k keyring.Keyset) error {
	record, err := wrap(recipient, k)
	if err != nil {
		return err
	}
	t := (&Store{kv: kv, view: newView()}).begin()
	if _, err := t.get(ctx, prefixKeyset+server); err != nil {
		return fmt.Errorf("store the keyset for server %s: %w", server, err)
	}
	t.put(prefixKeyset+server, record)
	ok, err := t.commit(ctx)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("store the keyset for server %s: %w", server, err)
	}
	return nil
}

func wrap(recipient string, k keyring.Keyset) (keysetRecord, error) {
	wrapped, err := k.Wrap(recipient)
	return keysetRecord{schema, recipient, wrapped}, err
}

// KeysetRecord returns the key and value of what PutKeyset writes, for a caller that writes
// it together with something else. An empty recipient: the key alone.
func KeysetRecord(server, recipient string, k keyring.Keyset) (key string, value []byte, err error) {
	key = prefixKeyset + server
	if recipient == "" {
		return key, nil, nil
	}
	r, err := wrap(recipient, k)
	if err != nil {
		return key, nil, err
	}
	value, err = json.Marshal(r)
	return key, value, err
}

// LoadKeyset reads the keyset wrapped to this server from the local copy; it needs no
// master. The error wraps mfa.ErrNotFound if there is none.
func LoadKeyset(ctx context.Context, kv KV, server string, identity keyring.Identity) (keyring.Keyset, error) {
	key := prefixKeyset + server
	found, err := readLocal(ctx, kv, key)
	if err != nil {
		return keyring.Keyset{}, fmt.Errorf("read the keyset of server %s: %w", server, err)
	}
	if found == nil {
		return keyring.Keyset{}, fmt.Errorf("the database has no keyset for a server named %s (was the name changed?): %w", server, mfa.ErrNotFound)
	}
	return unwrap(key, found, identity)
}

func unwrap(key string, b []byte, identity keyring.Identity) (keyring.Keyset, error) {
	var r keysetRecord
	if err := parse(key, b, &r, &r.V); err != nil {
		return keyring.Keyset{}, err
	}
	k, err := keyring.Unwrap(r.Wrapped, identity)
	if err != nil {
		return keyring.Keyset{}, fmt.Errorf("record %s: %w", key, err)
	}
	return k, nil
}

// follow takes over the keyset that the database has for this server, if it can read all
// that the one in use can.
func (s *Store) follow(value []byte) {
	if s.o.Identity.Recipient() == "" {
		return
	}
	k, err := unwrap(s.view.ksKey, value, s.o.Identity)
	if err == nil && !k.Includes(s.ring.Keyset()) {
		err = errors.New("it lacks keys that are in use here")
	}
	if err != nil {
		s.o.Log.Error("the keyset in the database is not taken over", "key", s.view.ksKey, "error", err)
		return
	}
	if k.Primary() != s.ring.Primary() {
		s.o.Log.Info("the keyset was rotated", "primary", k.Primary())
	}
	s.ring.Replace(k)
}

// withKeys runs read, and once more if that met a key that is not here: another server has
// just rotated the keys, and a record sealed under the new one was read at the master
// before the view was told of the keyset.
func (s *Store) withKeys(ctx context.Context, read func() error) error {
	err := read()
	if errors.Is(err, keyring.ErrUnknownKey) && s.Sync(ctx) == nil {
		return read()
	}
	return err
}

// Keys tells what may be told of the keys in use, oldest first.
func (s *Store) Keys() []keyring.Info { return s.ring.Keyset().Keys() }

// RotateKeys makes a new primary key and wraps the keyset to every server. What is written
// from then on is sealed under it; Reseal brings the rest.
func (s *Store) RotateKeys(ctx context.Context) error {
	if s.o.Identity.Recipient() == "" {
		return fmt.Errorf("rotate keys: this server holds no identity: %w", mfa.ErrInvalid)
	}
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		servers := map[string]keysetRecord{}
		var bad error
		_, err := s.kv.Scan(ctx, prefixKeyset, func(key string, value []byte, rev int64) bool {
			var r keysetRecord
			if bad = parse(key, value, &r, &r.V); bad != nil {
				return false
			}
			t.ifRev[key] = rev
			servers[key] = r
			return true
		})
		if err = errors.Join(err, bad); err != nil {
			return err
		}
		mine, ok := servers[s.view.ksKey]
		if !ok {
			return fmt.Errorf("the database has no keyset for server %s: %w", strings.TrimPrefix(s.view.ksKey, prefixKeyset), mfa.ErrNotFound)
		}
		k, err := keyring.Unwrap(mine.Wrapped, s.o.Identity)
		if err != nil {
			return err
		}
		if k, err = k.Rotate(s.o.Random, s.now()); err != nil {
			return err
		}
		for key, r := range servers {
			if r.Wrapped, err = k.Wrap(r.Recipient); err != nil {
				return err
			}
			t.put(key, r)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("rotate keys: %w", err)
	}
	return nil
}
