package admin

import (
	"context"
	"time"

	"countersign/internal/mfa"
)

// When a token was last used is written down now and then: that it is used at all is worth
// knowing, each single use is not worth a write.
const (
	usePrecision = 10 * time.Minute
	useInterval  = 15 * time.Second // between two writes
	useTimeout   = 2 * time.Second  // of one; without a master the use is forgotten
)

// noteUse remembers that t is used now, for WriteUses.
func (s *Service) noteUse(t mfa.APIToken) {
	now := s.Now()
	if now.Sub(t.Used) < usePrecision {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uses == nil {
		s.uses = map[string]time.Time{}
	}
	s.uses[t.ID] = now
}

// WriteUses writes down when tokens were last used. What cannot be written is told by their
// next use.
func (s *Service) WriteUses(ctx context.Context) {
	s.mu.Lock()
	uses := s.uses
	s.uses = nil
	s.mu.Unlock()
	for id, at := range uses {
		ctx, cancel := context.WithTimeout(ctx, useTimeout)
		_ = s.APITokens.UseAPIToken(ctx, id, at)
		cancel()
	}
}

// RunUses does so until ctx is done.
func (s *Service) RunUses(ctx context.Context) error {
	tick := time.NewTicker(useInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			s.WriteUses(ctx)
		}
	}
}
