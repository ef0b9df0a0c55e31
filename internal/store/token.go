package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// tokenRecord is t/ID. The digest is of 256 random bits: nothing to seal.
type tokenRecord struct {
	V           int               `json:"v"`
	Name        string            `json:"name"`
	Digest      string            `json:"digest"`
	Scopes      []string          `json:"scopes,omitempty"`
	Created     time.Time         `json:"created,omitzero"`
	Expires     time.Time         `json:"expires,omitzero"`
	By          string            `json:"by,omitempty"`
	Application mfa.ApplicationID `json:"application,omitempty"`
	Used        time.Time         `json:"used,omitzero"`
}

func tokenRecordOf(t mfa.APIToken) tokenRecord {
	return tokenRecord{V: schema, Name: t.Name, Digest: hex.EncodeToString(t.Digest[:]), Scopes: t.Scopes,
		Created: t.Created.UTC(), Expires: t.Expires.UTC(), By: t.By, Application: t.Application, Used: t.Used.UTC()}
}

func parseToken(id string, b []byte) (mfa.APIToken, error) {
	var r tokenRecord
	if err := parse(prefixToken+id, b, &r, &r.V); err != nil {
		return mfa.APIToken{}, err
	}
	t := mfa.APIToken{ID: id, Name: r.Name, Scopes: r.Scopes, Created: r.Created, Expires: r.Expires, By: r.By, Application: r.Application, Used: r.Used}
	if hex.DecodedLen(len(r.Digest)) != len(t.Digest) {
		return mfa.APIToken{}, fmt.Errorf("record %s%s: digest of %d characters", prefixToken, id, len(r.Digest))
	}
	if _, err := hex.Decode(t.Digest[:], []byte(r.Digest)); err != nil {
		return mfa.APIToken{}, fmt.Errorf("record %s%s: digest: %w", prefixToken, id, err)
	}
	return t, nil
}

// APITokens returns all tokens in the order of their names.
func (s *Store) APITokens() []mfa.APIToken {
	c := s.catalog()
	list := make([]mfa.APIToken, 0, len(c.tokens))
	for _, t := range c.tokens {
		if s.overlay.revoked(t.ID) {
			continue
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b mfa.APIToken) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// APITokenByDigest returns the token with that SHA-256, expired or not, or mfa.ErrNotFound.
func (s *Store) APITokenByDigest(digest [32]byte) (mfa.APIToken, error) {
	c := s.catalog()
	if id, ok := c.digests[digest]; ok && !s.overlay.revoked(id) {
		return newest(s, c.tokens[id], prefixToken+id, func(b []byte) (mfa.APIToken, error) { return parseToken(id, b) })
	}
	return mfa.APIToken{}, s.missing(c, "", "API token")
}

// CreateAPIToken stores a new token. It assigns what is empty of id and time. The error
// wraps mfa.ErrExists if the name is taken, in any case.
func (s *Store) CreateAPIToken(ctx context.Context, t mfa.APIToken) (mfa.APIToken, error) {
	if t.ID == "" {
		t.ID = mfa.NewID(s.o.Random)
	}
	if _, ok := parseID(t.ID); !ok {
		return mfa.APIToken{}, badID("API token", t.ID)
	}
	if t.Created.IsZero() {
		t.Created = s.now()
	}
	err := s.write(ctx, func(ctx context.Context, x *tx) error {
		if err := x.claimName(ctx, prefixTokenName, t.Name, t.ID); err != nil {
			return err
		}
		if b, err := x.get(ctx, prefixToken+t.ID); err != nil {
			return err
		} else if b != nil {
			return fmt.Errorf("API token id %s: %w", t.ID, mfa.ErrExists)
		}
		x.put(prefixToken+t.ID, tokenRecordOf(t))
		return nil
	})
	if err != nil {
		return mfa.APIToken{}, fmt.Errorf("create API token %q: %w", t.Name, err)
	}
	return t, nil
}

// UseAPIToken notes when a token was last used. Of several servers the latest counts. The
// error wraps mfa.ErrNotFound if the token is gone, which it then stays.
func (s *Store) UseAPIToken(ctx context.Context, id string, at time.Time) error {
	err := s.write(ctx, func(ctx context.Context, x *tx) error {
		b, err := x.get(ctx, prefixToken+id)
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		t, err := parseToken(id, b)
		if err == nil && at.After(t.Used) {
			t.Used = at
			x.put(prefixToken+id, tokenRecordOf(t))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("note the use of API token %s: %w", id, err)
	}
	return nil
}

// RemoveAPIToken deletes a token.
func (s *Store) RemoveAPIToken(ctx context.Context, id string) error {
	err := s.write(ctx, func(ctx context.Context, x *tx) error {
		b, err := x.get(ctx, prefixToken+id)
		if err != nil {
			return err
		}
		if b == nil {
			return mfa.ErrNotFound
		}
		t, err := parseToken(id, b)
		if err != nil {
			return err
		}
		x.restricts = true
		x.del(prefixToken+id, s.nameKey(prefixTokenName, t.Name))
		return nil
	})
	if errors.Is(err, mfa.ErrUnavailable) {
		if ok, local := s.revokeLocal(ctx, id); ok {
			err = local
		}
	}
	if err != nil {
		return fmt.Errorf("remove API token %s: %w", id, err)
	}
	return nil
}
