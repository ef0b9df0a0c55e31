package store

import (
	"context"
	"strconv"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// A seed outlives its credential and its user: taken away and registered again, for
// whomever, its used codes stay used. So the floor of a token that is taken away stays in
// the database for good, under a keyed digest of its seed.

// seedRecord is f/DIGEST.
type seedRecord struct {
	V    int    `json:"v"`
	Next uint64 `json:"next"`
}

// seedKey returns the key for the seed of a token; ok is false if c is none. The period
// belongs to it: with another one the same steps have other numbers.
func (s *Store) seedKey(c mfa.Credential) (key string, ok bool) {
	if c.Method != mfa.MethodTOTP && c.Method != mfa.MethodHOTP {
		return "", false
	}
	d := s.ring.DigestOf("seed of a credential", string(c.Method)+" "+strconv.Itoa(c.Period)+" "+string(c.Secret.Expose()))
	return prefixSeed + idEncoding.EncodeToString(d[:16]), true
}

// seed returns f/DIGEST as it is after t; the zero record if there is none.
func (t *tx) seed(ctx context.Context, key string) (r seedRecord, err error) {
	b, put := t.puts[key] // two credentials of one seed
	if !put {
		b, err = t.get(ctx, key)
	}
	if err != nil || b == nil {
		return seedRecord{}, err
	}
	return r, parse(key, b, &r, &r.V)
}

// retire keeps the floor that a token had when it was taken away.
func (t *tx) retire(ctx context.Context, c mfa.Credential, f mfa.Floor) error {
	key, ok := t.s.seedKey(c)
	if !ok || f.Next == 0 {
		return nil
	}
	r, err := t.seed(ctx, key)
	if err == nil && f.Next > r.Next {
		t.put(key, seedRecord{schema, f.Next})
	}
	return err
}

// reuse gives new credentials of a user the floors that their seeds had under earlier ones.
func (t *tx) reuse(ctx context.Context, user mfa.UserID, creds ...mfa.Credential) error {
	floors := map[mfa.CredentialID]mfa.Floor{}
	for _, c := range creds {
		key, ok := t.s.seedKey(c)
		if !ok {
			continue
		}
		r, err := t.seed(ctx, key)
		if err != nil {
			return err
		}
		if r.Next > 0 {
			floors[c.ID] = mfa.Floor{Next: r.Next}
		}
	}
	if len(floors) == 0 {
		return nil
	}
	return t.record(ctx, user, func(r *settlement.Record) error {
		for id, f := range floors {
			*r = r.Raise(id, f)
		}
		return nil
	})
}
