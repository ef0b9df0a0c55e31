package web

import (
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
