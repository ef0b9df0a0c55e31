package storetest

import (
	"bytes"
	"slices"
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

// addressBefore: who changes where somebody is told things does not keep them from hearing of it.
func addressBefore(t *testing.T, r *rig) {
	ctx := t.Context()
	u, err := r.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	is(t, "user", err, nil)
	for _, c := range []struct {
		what         string
		email, phone string
		want         []string
	}{
		{"a name alone", "", "", nil},
		{"a first address", "alice@corp.example", "", []string{"mail address changed > alice@corp.example"}},
		{"a number", "alice@corp.example", "+4912345", []string{"phone number changed > alice@corp.example"}},
		{"another address", "thief@evil.example", "+4912345", []string{"mail address changed > alice@corp.example", "mail address changed > thief@evil.example"}},
		{"both", "other@evil.example", "+4954321", []string{"mail address changed > other@evil.example", "mail address changed > thief@evil.example",
			"phone number changed > other@evil.example", "phone number changed > thief@evil.example"}},
		{"no address", "", "+4954321", []string{"mail address changed > other@evil.example"}},
		{"a number without address", "", "", []string{"phone number changed > "}},
	} {
		_, err := r.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name, u.Email, u.Phone = c.what, c.email, c.phone; return nil })
		is(t, c.what, err, nil)
		_, err = r.kv.Scan(ctx, "o/", func(_ string, b []byte, _ int64) bool {
			if bytes.Contains(b, []byte(".example")) {
				t.Errorf("%s: an address is not sealed: %s", c.what, b)
			}
			return true
		})
		is(t, c.what, err, nil)
		read, err := r.Notices(ctx, 10)
		is(t, c.what, err, nil)
		claimed, err := r.Claim(ctx, 10, time.Minute)
		is(t, c.what, err, nil)
		for i, list := range [][]mfa.Notice{read, claimed} {
			var got []string
			for _, n := range list {
				if got = append(got, n.What+" > "+n.To); n.User != u.ID {
					t.Errorf("%s: told %+v", c.what, n)
				}
				if i == 1 {
					is(t, c.what, r.RemoveNotice(ctx, n.ID), nil)
				}
			}
			slices.Sort(got)
			same(t, c.what, got, c.want)
		}
	}
}
