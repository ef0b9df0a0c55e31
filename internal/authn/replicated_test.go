package authn_test

import (
	"context"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// On the master of a pair a settlement waits a moment for the replica, and says so if that
// did not have it. What settles nothing waits for nobody.
func TestUnreplicatedIsRecorded(t *testing.T) {
	for _, has := range []bool{true, false} {
		g := newRig(t)
		asked, bounded := 0, false
		e := g.engineWith(func(_ context.Context, wait time.Duration) bool {
			asked++
			bounded = wait > 0 && wait < time.Second
			return has
		})
		if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Accept {
			t.Fatalf("%+v", d)
		}
		if v := g.trail.verdicts(); len(v) != 1 || v[0].Unreplicated == has || asked != 1 || !bounded {
			t.Errorf("the replica has it: %v; asked %d times, within a time: %v; recorded %+v", has, asked, bounded, v)
		}
		if ask(t, e, firstLeg("plain", "nobody", code(0))); asked != 1 {
			t.Error("a verdict without a settlement waits for the replica")
		}
		g.alone(t0)
		if ask(t, e, firstLeg("plain", "alice", code(1))); asked != 1 {
			t.Error("a settlement without a master waits for the replica")
		}
		if v := g.trail.verdicts(); v[2].Unreplicated || !v[2].Degraded {
			t.Errorf("settled alone: %+v", v[2])
		}
	}
}
