package node

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/mfa"
)

// A join whose sender is gone is given up; one that gets on, however slowly, is not.
func TestJoinStalls(t *testing.T) {
	var s stall
	now := time.Now()
	step := func(p cluster.Progress, after time.Duration) error {
		now = now.Add(after)
		return s.over(p, now)
	}
	for i := range int64(5) {
		if err := step(cluster.Progress{Bytes: i}, joinStall-time.Second); err != nil {
			t.Errorf("a slow join, step %d: %v", i, err)
		}
	}
	if err := step(cluster.Progress{Bytes: 4, Records: 1}, joinStall-time.Second); err != nil {
		t.Errorf("a record came: %v", err)
	}
	if err := step(cluster.Progress{Bytes: 4, Records: 1}, joinStall-time.Second); err != nil {
		t.Errorf("just before: %v", err)
	}
	if err := step(cluster.Progress{Bytes: 4, Records: 1}, time.Second); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("nothing came for a minute: %v", err)
	}
}
