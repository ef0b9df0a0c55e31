package node

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestOutbox(t *testing.T) {
	noon := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		age  time.Duration
		try  int
		err  error
		want string
	}{
		{"carried", time.Minute, 1, nil, "removed"},
		{"the user is gone", time.Minute, 1, fmt.Errorf("user x: %w", mfa.ErrNotFound), "removed"},
		{"no gateway answers", time.Minute, 1, mfa.GatewayDown, "again after 2m0s"},
		{"still none", time.Hour, 5, mfa.GatewaySlow, "again after 32m0s"},
		{"for the last time", time.Hour, 10, mfa.GatewayDown, "given up"},
		{"no address", time.Minute, 1, errNoAddress, "given up"},
		{"too old", 8 * 24 * time.Hour, 1, nil, "given up"},
	} {
		got := ""
		o := outbox{now: func() time.Time { return noon }, log: slog.New(slog.DiscardHandler),
			claim: func(context.Context, int, time.Duration) ([]mfa.Notice, error) {
				return []mfa.Notice{{ID: "n", Time: noon.Add(-tt.age), Tries: tt.try}}, nil
			},
			send:   func(context.Context, mfa.Notice) error { return tt.err },
			remove: func(context.Context, string) error { got = "removed"; return nil },
			postpone: func(_ context.Context, _, _ string, next time.Time) error {
				if got = "given up"; !next.IsZero() {
					got = "again after " + next.Sub(noon).String()
				}
				return nil
			}}
		if err := o.round(t.Context()); err != nil || got != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, got, err, tt.want)
		}
	}
}
