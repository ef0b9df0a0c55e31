package store

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Rehash replaces a credential's secret by another form of the same thing, such as a
// password's hash made with new parameters, if it is still from; mfa.ErrConflict
// otherwise. The user changed nothing, so no notice is left.
func (s *Store) Rehash(ctx context.Context, user mfa.UserID, id mfa.CredentialID, from, to secret.Text) error {
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		c, err := t.cred(ctx, user, id)
		if err != nil {
			return err
		}
		if !c.Secret.Equal(from) {
			return mfa.ErrConflict
		}
		c.Secret = to
		r, err := sealCred(s.ring, c)
		if err != nil {
			return err
		}
		t.put(credKey(user, id), r)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rehash credential %s of user %s: %w", id, user, err)
	}
	return nil
}
