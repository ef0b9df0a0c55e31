package authn_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// After a promotion counter codes wait, wrong ones count, and a new token is free of it.
func TestHeldAfterPromotion(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.store.fork = mfa.Fork{Time: t0, Held: true}
	for range 2 { // no guess, however often it is tried
		if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Reject || d.Reason != mfa.HeldAfterPromotion {
			t.Errorf("a right code: %s", d.Reason)
		}
	}
	if d := ask(t, e, firstLeg("plain", "alice", code(600))); d.Reason != mfa.WrongCode {
		t.Errorf("a wrong code: %s", d.Reason)
	}
	if n := g.store.record("alice").Fails.N; n != 1 {
		t.Errorf("%d failures, want the wrong one", n)
	}
	g.store.change("bob", func(a *settlement.Account) { a.Credentials[0].Created = t0.Add(time.Second) })
	if d := ask(t, e, firstLeg("plain", "bob", code(1000))); d.Reason != mfa.HeldAfterPromotion {
		t.Errorf("a token given again, whose codes may have been used at the lost master: %s", d.Reason)
	}
	g.store.change("bob", func(a *settlement.Account) { a.Credentials[0].Drawn = true })
	if d := ask(t, e, firstLeg("plain", "bob", code(1000))); d.Verdict != mfa.Accept {
		t.Errorf("a token drawn after the promotion: %s", d.Reason)
	}
	g.store.forkErr = errors.New("a record of a later version")
	if d, err := e.Authenticate(t.Context(), firstLeg("plain", "bob", code(1001))); err == nil || d.Verdict != mfa.Reject {
		t.Errorf("how the epoch began cannot be read: %+v, %v", d, err)
	}
	g.store.forkErr, g.store.fork.Held = nil, false
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Accept {
		t.Errorf("released: %s", d.Reason)
	}
}
