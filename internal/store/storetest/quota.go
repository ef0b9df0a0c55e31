package storetest

import (
	"errors"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func quota(t *testing.T, r *rig) {
	ctx := t.Context()
	user := mfa.Quota{Name: "user/alice", Window: time.Hour, Most: 3, N: 1, Full: mfa.TooManyMessages}
	cap := mfa.Quota{Name: "gateway/x/2026-11", Most: 10, N: 2, Full: mfa.SpendCapReached}
	other := join(t, r.kv, "two", r.ring.Keyset())
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for i := range 8 {
		wg.Go(func() {
			s := []*rig{r, other}[i%2]
			for {
				err := s.Take(ctx, user, cap)
				if errors.Is(err, mfa.ErrConflict) {
					continue
				}
				if err == nil {
					mu.Lock()
					taken++
					mu.Unlock()
				} else if !errors.Is(err, mfa.TooManyMessages) {
					t.Errorf("taking: %v", err)
				}
				return
			}
		})
	}
	wg.Wait()
	if taken != 3 {
		t.Errorf("%d of 8 were let through, want 3", taken)
	}
	// What was refused has taken nothing of the other one: 6 of 10 are used.
	is(t, "the rest of the cap", r.Take(ctx, mfa.Quota{Name: cap.Name, Most: 10, N: 4, Full: mfa.SpendCapReached}), nil)
	is(t, "beyond the cap", r.Take(ctx, mfa.Quota{Name: cap.Name, Most: 10, N: 1, Full: mfa.SpendCapReached}), mfa.SpendCapReached)
	is(t, "somebody else", r.Take(ctx, mfa.Quota{Name: "user/bob", Window: time.Hour, Most: 3, N: 1, Full: mfa.TooManyMessages}), nil)
	is(t, "sweep", r.SweepQuotas(ctx), nil)
	is(t, "alice after the sweep", r.Take(ctx, user), mfa.TooManyMessages)
}
