package web

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/policy"
)

func TestLimitsRememberSoMany(t *testing.T) {
	var l Limits
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for i := range maxStrangers + 10 {
		l.Allow(strings.Repeat("x", i%7)+string(rune(i)), now)
	}
	if len(l.all) > maxStrangers {
		t.Errorf("%d addresses are remembered", len(l.all))
	}
}

// What the settings say holds from the next request on, also for an address that has nothing left.
func TestLimitsAreSet(t *testing.T) {
	set := policy.Defaults()
	l := Strangers(func() policy.Settings { return set })
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	allowed := func() (n int) {
		for range 1000 {
			if l.Allow("203.0.113.7", now) {
				n++
			}
		}
		return n
	}
	if got := allowed(); got != Burst {
		t.Errorf("%d at once, want %d", got, Burst)
	}
	set.StrangerBurst, set.StrangerRate = 400, 120
	if got := allowed(); got != 400 {
		t.Errorf("%d at once, want 400", got)
	}
	if now = now.Add(time.Minute); allowed() != 120 {
		t.Error("a minute later: not 120")
	}
	if set.StrangerBurst = 0; set.Check() == nil {
		t.Error("0 lets nobody in, and is taken")
	}
	if set.StrangerBurst, set.StrangerRate = 1, 0; set.Check() == nil {
		t.Error("0 a minute lets everybody in once, and is taken")
	}
}

// Who has a network of IPv6 addresses has one allowance, as who has one address.
func TestLimitsByNetwork(t *testing.T) {
	var l Limits
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	allowed := 0
	for i := range 3 * Burst {
		if l.Allow(fmt.Sprintf("2001:db8:1:2::%x", i), now) {
			allowed++
		}
	}
	if allowed != Burst {
		t.Errorf("%d requests from one network, want %d", allowed, Burst)
	}
	for _, other := range []string{"2001:db8:1:3::1", "203.0.113.7", "::ffff:203.0.113.8"} {
		if !l.Allow(other, now) {
			t.Errorf("%s has no allowance of its own", other)
		}
	}
}
