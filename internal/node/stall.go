package node

import (
	"fmt"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/mfa"
)

// joinStall is how long nothing may come in while a copy is being filled. The server that sends
// it may be gone: then others are asked, or the copy that was there before counts again.
const joinStall = time.Minute

// stall watches how a join gets on. The zero stall is ready.
type stall struct {
	last  cluster.Progress
	since time.Time // since when nothing has come in
}

// over returns an error once nothing has come in for joinStall.
func (s *stall) over(p cluster.Progress, now time.Time) error {
	if s.since.IsZero() || p != s.last {
		s.last, s.since = p, now
	}
	if quiet := now.Sub(s.since); quiet >= joinStall {
		return fmt.Errorf("nothing has come in for %s: %w", quiet.Round(time.Second), mfa.ErrUnavailable)
	}
	return nil
}
