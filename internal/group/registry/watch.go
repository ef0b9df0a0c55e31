package registry

import (
	"context"
	"time"
)

const (
	watchEvery = time.Second
	// watchGap is for how long a coordinator may have stood still (a machine that was
	// suspended, a process that was stopped) without having missed heartbeats.
	watchGap = 5 * time.Second
)

// Watch notes that this coordinator runs, until ctx is done. If it has stood still, what it
// has heard is forgotten, as at a start: who reported meanwhile was not heard.
func (s *Service) Watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		s.stir()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// Settled reports whether this coordinator has listened for long enough to have heard every
// server that reports.
func (s *Service) Settled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Now().Sub(s.began) >= s.Limits.Silent
}

func (s *Service) stir() {
	s.mu.Lock()
	now, was := s.Now(), s.awake
	s.awake = now
	s.mu.Unlock()
	if slept := now.Sub(was); !was.IsZero() && slept > watchGap {
		s.Log.Warn("this coordinator stood still, and begins anew to listen to the servers", "for", slept.Round(time.Second))
		s.Begin()
	}
}
