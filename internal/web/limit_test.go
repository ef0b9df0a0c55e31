package web

import (
	"fmt"
	"strings"
	"testing"
	"time"
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
