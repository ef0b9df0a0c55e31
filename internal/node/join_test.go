package node

import (
	"testing"
	"time"
)

func TestJoinPause(t *testing.T) {
	for after, want := range map[time.Duration]time.Duration{
		0: time.Second, 59 * time.Second: time.Second, 70 * time.Second: 2 * time.Second, 2 * time.Minute: 7 * time.Second, time.Hour: joinSeldom,
	} {
		if got := joinPause(after); got != want {
			t.Errorf("after %s in vain: %s, want %s", after, got, want)
		}
	}
}
