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

// A request that somebody copied and sends again when its result is forgotten never lets in
// a second time, whatever was accepted; but for those that spend nothing (docs/operations).
func TestCopiedRequestLetsNobodyIn(t *testing.T) {
	challenged := func(app mfa.ApplicationID, password string) func(*testing.T, *rig) mfa.Request {
		return func(t *testing.T, g *rig) mfa.Request {
			return answerTo(app, "alice", ask(t, g.engine(), firstLeg(app, "alice", password)), code(0))
		}
	}
	plain := func(r mfa.Request) func(*testing.T, *rig) mfa.Request {
		return func(*testing.T, *rig) mfa.Request { return r }
	}
	tests := []struct {
		name    string
		set     func(*rig)
		request func(*testing.T, *rig) mfa.Request
		first   mfa.Verdict
		again   mfa.Verdict
		reason  mfa.Reason
	}{
		{"code alone", nil, plain(firstLeg("plain", "alice", code(0))), mfa.Accept, mfa.Reject, mfa.ReplayedCode},
		{"password and code", nil, plain(firstLeg("vpn", "alice", "right"+code(0))), mfa.Accept, mfa.Reject, mfa.ReplayedCode},
		{"password and code, append", app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend }),
			plain(firstLeg("vpn", "alice", "right"+code(0))), mfa.Accept, mfa.Reject, mfa.ReplayedCode},
		{"answer to a challenge", nil, challenged("vpn", "right"), mfa.Accept, mfa.Reject, mfa.ChallengeExpired},
		{"the same while the challenge lasts", func(g *rig) { g.settings.Handle = 900 }, challenged("vpn", "right"), mfa.Accept, mfa.Reject, mfa.ChallengeReplayed},
		{"answer, no first factor", func(g *rig) { g.settings.Handle = 900 }, challenged("plain", ""), mfa.Accept, mfa.Reject, mfa.ChallengeReplayed},
		{"password alone", nil, plain(firstLeg("vpn", "alice", "right")), mfa.Challenge, mfa.Challenge, mfa.ReasonNone},
		{"wrong code", nil, plain(firstLeg("plain", "alice", "000000")), mfa.Reject, mfa.Reject, mfa.WrongCode},
		{"nothing is spent: exempt user", user(func(a *settlement.Account) { a.User.State = mfa.StateExempt }),
			plain(firstLeg("vpn", "alice", "right")), mfa.Accept, mfa.Accept, mfa.ExemptUser},
		{"nothing is spent: exempt network", exemptNet("10.0.0.0/8"), plain(from("10.1.2.3", firstLeg("vpn", "alice", "right"))), mfa.Accept, mfa.Accept, mfa.ExemptNetwork},
		{"nothing is spent: unknown user", app("vpn", passUnknownUntil(t0.Add(time.Hour))), plain(firstLeg("vpn", "eve", "right")), mfa.Accept, mfa.Accept, mfa.UnknownUserPassed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			if tt.set != nil {
				tt.set(g)
			}
			r := tt.request(t, g)
			r.Leg = mfa.LegID{1}
			if d := ask(t, g.engine(), r); d.Verdict != tt.first {
				t.Fatalf("first: got %s %s, want %s", d.Verdict, d.Reason, tt.first)
			}
			e := g.engine()
			for range 3 { // whichever of the results is remembered by then
				g.advance(settlement.LegKeep + 2*time.Second)
				if d := ask(t, e, r); d.Verdict != tt.again || d.Reason != tt.reason {
					t.Errorf("later: got %s %s, want %s %s", d.Verdict, d.Reason, tt.again, tt.reason)
				}
			}
		})
	}
}
