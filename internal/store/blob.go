package store

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// PutSealed stores what another part of the server keeps sealed in the database (the CA
// key and the like) under name, if the blob of that name is still at revision ifRev (0:
// there is none). It returns the new revision, or mfa.ErrConflict.
func (s *Store) PutSealed(ctx context.Context, name string, ifRev int64, plain []byte) (int64, error) {
	key := prefixSealed + name
	t := s.begin()
	t.ifRev[key] = ifRev
	if err := t.putSealed(name, plain); err != nil {
		return 0, err
	}
	ok, err := t.commit(ctx)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	if err != nil {
		return 0, fmt.Errorf("store %s: %w", key, err)
	}
	return t.rev, nil
}

// GetSealed reads what PutSealed stored, at the master, with its revision. The error wraps
// mfa.ErrNotFound if there is none.
func (s *Store) GetSealed(ctx context.Context, name string) (secret.Text, int64, error) {
	key := prefixSealed + name
	b, rev, err := s.kv.Get(ctx, key)
	if err == nil && rev == 0 {
		err = mfa.ErrNotFound
	}
	if err != nil {
		return secret.Text{}, 0, fmt.Errorf("read %s: %w", key, err)
	}
	var plain secret.Text
	err = s.withKeys(ctx, func() error {
		plain, err = s.openBlob(name, b)
		return err
	})
	if err != nil {
		return secret.Text{}, 0, err
	}
	return plain, rev, nil
}

// ReadSealed is GetSealed from the local copy, which needs no master and may be behind.
func (s *Store) ReadSealed(ctx context.Context, name string) (secret.Text, error) {
	b, err := readLocal(ctx, s.kv, prefixSealed+name)
	if err == nil && b == nil {
		err = mfa.ErrNotFound
	}
	if err != nil {
		return secret.Text{}, fmt.Errorf("read %s%s: %w", prefixSealed, name, err)
	}
	return s.openBlob(name, b)
}

func (s *Store) openBlob(name string, b []byte) (secret.Text, error) {
	key := prefixSealed + name
	var r sealedPart
	if err := parse(key, b, &r, &r.V); err != nil {
		return secret.Text{}, err
	}
	plain, err := s.ring.Open("blob", name, key, r.Sealed)
	if err != nil {
		return secret.Text{}, fmt.Errorf("record %s: %w", key, err)
	}
	return plain, nil
}

// putSealed adds the blob of that name to t.
func (t *tx) putSealed(name string, plain []byte) error {
	key := prefixSealed + name
	sealed, err := t.s.ring.Seal("blob", name, key, plain)
	if err != nil {
		return err
	}
	t.put(key, sealedPart{schema, sealed})
	return nil
}

// readLocal reads one key from the local copy; nil if it is absent.
func readLocal(ctx context.Context, kv KV, key string) ([]byte, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var found []byte
	done := false
	err := kv.Watch(ctx, key, func(k string, value []byte, rev int64) bool {
		if k == key {
			found = append([]byte(nil), value...)
		}
		done = k == "" && rev != 0
		return !done
	})
	if !done {
		return nil, err
	}
	return found, nil
}
