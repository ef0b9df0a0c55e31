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
	sealed, err := s.ring.Seal("blob", name, key, plain)
	if err != nil {
		return 0, err
	}
	t := s.begin()
	t.ifRev[key] = ifRev
	t.put(key, sealedPart{schema, sealed})
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
	var r sealedPart
	if err := parse(key, b, &r, &r.V); err != nil {
		return secret.Text{}, 0, err
	}
	var plain secret.Text
	err = s.withKeys(ctx, func() error {
		plain, err = s.ring.Open("blob", name, key, r.Sealed)
		return err
	})
	if err != nil {
		return secret.Text{}, 0, fmt.Errorf("record %s: %w", key, err)
	}
	return plain, rev, nil
}
