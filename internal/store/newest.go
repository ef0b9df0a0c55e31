package store

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
)

// newestTimeout bounds the question what the master has of a record.
const newestTimeout = 2 * time.Second

// newest returns what lets somebody in as the master has it, if the copy here is behind the
// master's: a token that was revoked a second ago opens nothing. here is what the copy has,
// key its key. The error wraps mfa.ErrNotFound if it is gone, and mfa.ErrUnavailable if the
// master does not say.
func newest[T any](s *Store, here T, key string, parse func(b []byte) (T, error)) (T, error) {
	if !s.Behind() {
		return here, nil
	}
	var none T
	ctx, cancel := context.WithTimeout(context.Background(), newestTimeout)
	defer cancel()
	b, rev, err := s.kv.Get(ctx, key)
	switch {
	case err != nil:
		return none, fmt.Errorf("read at the master, since the copy here is behind: %w", err)
	case rev == 0:
		return none, fmt.Errorf("it was removed a moment ago: %w", mfa.ErrNotFound)
	}
	return parse(b)
}
