package admintest

import (
	"context"
	"sync"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Sealed keeps sealed things in memory, unsealed. The zero Sealed is empty.
type Sealed struct {
	mu  sync.Mutex
	all map[string]sealed
}

type sealed struct {
	plain []byte
	rev   int64
}

// GetSealed implements admin.Sealed.
func (s *Sealed) GetSealed(_ context.Context, name string) (secret.Text, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, ok := s.all[name]
	if !ok {
		return secret.Text{}, 0, mfa.ErrNotFound
	}
	return secret.New(one.plain), one.rev, nil
}

// PutSealed implements admin.Sealed.
func (s *Sealed) PutSealed(_ context.Context, name string, ifRev int64, plain []byte) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[name].rev != ifRev {
		return 0, mfa.ErrConflict
	}
	if s.all == nil {
		s.all = map[string]sealed{}
	}
	s.all[name] = sealed{plain, ifRev + 1}
	return ifRev + 1, nil
}
