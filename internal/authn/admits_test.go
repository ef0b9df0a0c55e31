package authn_test

import (
	"errors"
	"testing"

	"countersign/internal/mfa"
)

// Whoever has no business at an application is refused there once both factors are right: one
// record, which says so, no failure, and the code is spent.
func TestAdmits(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	var refused error = mfa.NoRole
	e.Admits = func(app mfa.Application, user mfa.UserID) error {
		if app.Name != "vpn" || user != "alice" {
			t.Errorf("asked about %s at %s", user, app.Name)
		}
		return refused
	}
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge {
		t.Fatalf("before the second factor: %s %s", d.Verdict, d.Reason)
	}
	if wrong := ask(t, e, answerTo("vpn", "alice", d, "000000")); wrong.Reason == mfa.NoRole {
		t.Error("somebody who proved nothing learns it")
	}
	d = ask(t, e, firstLeg("vpn", "alice", "right"))
	no := ask(t, e, answerTo("vpn", "alice", d, code(0)))
	if no.Verdict != mfa.Reject || no.Reason != mfa.NoRole || no.User != "" || no.Method != "" {
		t.Errorf("refused as %+v", no)
	}
	v := g.trail.verdicts()
	if last := v[len(v)-1]; last.Verdict != mfa.Reject || last.Reason != mfa.NoRole || last.ID != d.Attempt || last.Method != mfa.MethodHOTP {
		t.Errorf("the trail has %+v", last)
	}
	if n := g.store.record("alice").Fails.N; n != 0 {
		t.Errorf("%d failures are counted", n)
	}
	refused = nil
	d = ask(t, e, firstLeg("vpn", "alice", "right"))
	if again := ask(t, e, answerTo("vpn", "alice", d, code(0))); again.Verdict == mfa.Accept {
		t.Error("the code is good once more")
	}
	d = ask(t, e, firstLeg("vpn", "alice", "right"))
	if yes := ask(t, e, answerTo("vpn", "alice", d, code(1))); yes.Verdict != mfa.Accept {
		t.Errorf("who has a role: %s %s", yes.Verdict, yes.Reason)
	}
	refused = errors.New("the database is away")
	d = ask(t, e, firstLeg("vpn", "alice", "right"))
	if d, err := e.Authenticate(t.Context(), answerTo("vpn", "alice", d, code(2))); err == nil || d.Verdict == mfa.Accept {
		t.Errorf("a fault of ours: %+v, %v", d, err)
	}
}
