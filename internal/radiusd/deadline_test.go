package radiusd

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Requests that share a context have nearly all of their time, and one whose time-out is
// another does not share it.
func TestDeadlinesAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base, stop := context.WithCancel(t.Context())
		defer stop()
		d := &deadlines{base: base}
		left := func(ctx context.Context) time.Duration {
			end, _ := ctx.Deadline()
			return time.Until(end)
		}
		first := d.of(10 * time.Second)
		if got := left(first); got != 10*time.Second {
			t.Errorf("the first has %s", got)
		}
		time.Sleep(99 * time.Millisecond)
		if d.of(10*time.Second) != first {
			t.Error("not shared within a hundredth of the time-out")
		}
		if got := left(d.of(2 * time.Second)); got != 2*time.Second {
			t.Errorf("another time-out gave %s", got)
		}
		for range 1000 {
			time.Sleep(7 * time.Millisecond)
			if got := left(d.of(10 * time.Second)); got > 10*time.Second || got <= 9900*time.Millisecond {
				t.Fatalf("a request has %s of 10s", got)
			}
		}
		<-first.Done()
		if context.Cause(first) != context.DeadlineExceeded {
			t.Errorf("ended because of %v", context.Cause(first))
		}
		last := d.of(10 * time.Second)
		if last.Err() != nil {
			t.Error("a context that has ended was handed out")
		}
		stop()
		if last.Err() == nil {
			t.Error("the server has ended, and its contexts live on")
		}
	})
}
