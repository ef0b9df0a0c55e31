package storetest

import (
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func noticesAreClaimed(t *testing.T, r *rig) {
	ctx := t.Context()
	other := join(t, r.kv, "two", r.ring.Keyset())
	u, err := r.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	is(t, "user", err, nil)
	for range 6 {
		is(t, "notice", r.AddNotice(ctx, u.ID, "credential totp added", "root"), nil)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]int{}
	for _, s := range []*rig{r, other, r, other} {
		wg.Go(func() {
			mine, err := s.Claim(ctx, 10, time.Minute)
			is(t, "claim", err, nil)
			mu.Lock()
			defer mu.Unlock()
			for _, n := range mine {
				got[n.ID]++
				if n.Tries != 1 || n.User != u.ID {
					t.Errorf("claimed %+v", n)
				}
			}
		})
	}
	wg.Wait()
	if len(got) != 6 {
		t.Errorf("%d of 6 notices were claimed", len(got))
	}
	first := ""
	for id, n := range got {
		if first = id; n != 1 {
			t.Errorf("notice %s was claimed %d times", id, n)
		}
	}
	is(t, "give up", r.Postpone(ctx, first, "no mail address", time.Time{}), nil)
	o, err := r.Outbox(ctx)
	is(t, "outbox", err, nil)
	if o.Waiting != 5 || o.Dead != 1 || o.Error != "no mail address" {
		t.Errorf("outbox %+v", o)
	}
	again, err := r.Claim(ctx, 10, time.Minute)
	is(t, "claim", err, nil)
	if len(again) != 0 {
		t.Errorf("claimed again: %+v", again)
	}
	r.late.Store(int64(29 * 24 * time.Hour))
	is(t, "sweep", r.SweepNotices(ctx), nil)
	o, err = r.Outbox(ctx)
	is(t, "outbox", err, nil)
	if o.Dead != 1 {
		t.Errorf("after 29 days %+v", o)
	}
	r.late.Store(int64(31 * 24 * time.Hour))
	is(t, "sweep", r.SweepNotices(ctx), nil)
	o, err = r.Outbox(ctx)
	is(t, "outbox", err, nil)
	if o.Waiting != 5 || o.Dead != 0 {
		t.Errorf("after 31 days %+v, want those that wait alone", o)
	}
	is(t, "postpone what is gone", r.Postpone(ctx, "nothing", "x", time.Time{}), nil)
}
