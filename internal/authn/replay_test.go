package authn_test

import (
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// A token that was registered twice has two floors; a code spent at one of them is spent.
func TestTokenRegisteredTwiceDoesNotPassACodeTwice(t *testing.T) {
	g := newRig(t)
	g.store.change("alice", func(a *settlement.Account) {
		twin := a.Credentials[0]
		twin.ID = "twin"
		a.Credentials = append(a.Credentials, twin)
	})
	e := g.engine()
	for n := range uint64(3) {
		if d := ask(t, e, firstLeg("plain", "alice", code(n))); d.Verdict != mfa.Accept {
			t.Fatalf("code %d: got %s %s, want accept", n, d.Verdict, d.Reason)
		}
		for range 3 {
			if d := ask(t, e, firstLeg("plain", "alice", code(n))); d.Verdict != mfa.Reject || d.Reason != mfa.ReplayedCode {
				t.Fatalf("code %d once more: got %s %s, want reject replayed_code", n, d.Verdict, d.Reason)
			}
		}
	}
}

// A packet that somebody kept is no retransmit: long after, it is decided anew.
func TestOldRequestIsNoRetransmit(t *testing.T) {
	g := newRig(t)
	r := firstLeg("plain", "alice", code(0))
	r.Leg = mfa.LegID{1}
	if d := ask(t, g.engine(), r); d.Verdict != mfa.Accept {
		t.Fatalf("first: got %s %s, want accept", d.Verdict, d.Reason)
	}
	g.advance(time.Hour)
	if d := ask(t, g.engine(), r); d.Verdict != mfa.Reject || d.Reason != mfa.ReplayedCode {
		t.Errorf("the same packet an hour later: got %s %s, want reject replayed_code", d.Verdict, d.Reason)
	}
}
