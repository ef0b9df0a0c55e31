package admin

import (
	"context"
	"fmt"
	"time"
)

// resealPause is the time between two tries to reseal after an error.
const resealPause = 10 * time.Second

// ListKeys returns the keyset and how far resealing has come.
func (s *Service) ListKeys(context.Context) (KeyList, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := KeyList{Keys: []KeyInfo{}, Reseal: s.reseal}
	for _, k := range s.Keys.Keys() {
		out.Keys = append(out.Keys, KeyInfo{ID: k.ID.String(), Primary: k.Primary, Created: k.Created})
	}
	return out, nil
}

// RotateKeys makes a new key that seals from now on. Run rewrites what older keys seal.
func (s *Service) RotateKeys(ctx context.Context, by string) (KeyList, error) {
	if err := s.Keys.RotateKeys(ctx); err != nil {
		return KeyList{}, fmt.Errorf("rotate the group's keys: %w", err)
	}
	s.startReseal()
	if err := s.record(ctx, by, "key rotate", "group", fmt.Sprintf("%d keys", len(s.Keys.Keys()))); err != nil {
		return KeyList{}, err
	}
	return s.ListKeys(ctx)
}

// startReseal asks Run to reseal, once more if it is at it.
func (s *Service) startReseal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reseal = Reseal{Running: true} // what the run before did says nothing
	select {
	case s.wake() <- struct{}{}:
	default:
	}
}

// wake returns the channel that Run waits on; s.mu is held.
func (s *Service) wake() chan struct{} {
	if s.resealed == nil {
		s.resealed = make(chan struct{}, 1)
	}
	return s.resealed
}

// Run reseals in the background, after a rotation and after a start that finds older
// keys, until ctx is done. After an error it tries again.
func (s *Service) Run(ctx context.Context) error {
	s.mu.Lock()
	wake := s.wake()
	s.mu.Unlock()
	if len(s.Keys.Keys()) > 1 {
		s.startReseal()
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-wake:
		}
		for err := s.resealOnce(ctx); err != nil; err = s.resealOnce(ctx) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(resealPause):
			}
		}
	}
}

func (s *Service) resealOnce(ctx context.Context) error {
	err := s.Keys.Reseal(ctx, func(done, total int) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.reseal = Reseal{Running: true, Done: done, Total: total}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reseal.Error = ""
	if err != nil {
		s.reseal.Error = err.Error()
		return err
	}
	s.reseal.Running = len(s.resealed) > 0
	s.reseal.Done = s.reseal.Total // what its owners rewrote meanwhile is done, too
	return nil
}
