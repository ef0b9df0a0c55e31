package authn_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// alone makes the database unavailable and the server lose its contact, last at the time given.
func (g *rig) alone(last time.Time) {
	g.store.contact = func() (time.Time, bool) { return last, false }
	g.store.fault = func() (bool, error) { return false, mfa.ErrUnavailable }
	for id, a := range g.store.apps {
		a.DegradedAllow = true
		g.store.apps[id] = a
	}
}

func TestAloneSettlesLocally(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.alone(t0)
	r := firstLeg("plain", "alice", code(0))
	r.Leg = mfa.LegID{7}
	if d := ask(t, e, r); d.Verdict != mfa.Accept {
		t.Fatalf("%+v", d)
	}
	if d := ask(t, e, r); d.Verdict != mfa.Accept {
		t.Errorf("the retransmit: %+v", d)
	}
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Reason != mfa.ReplayedCode {
		t.Errorf("the code again: %+v", d)
	}
	s := g.trail.settlements()
	if len(s) != 1 || s[0].State != mfa.Local || s[0].Number == 0 || s[0].Leg != r.Leg || s[0].Revision != 0 {
		t.Errorf("ledger %+v", s)
	}
	for _, v := range g.trail.verdicts() {
		if !v.Degraded {
			t.Errorf("verdict %+v is not marked degraded", v)
		}
	}
}

func TestAloneWrongGuessesLock(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.alone(t0)
	for i := range g.settings.Tries {
		if d := ask(t, e, firstLeg("plain", "alice", code(uint64(500+i)))); d.Reason != mfa.WrongCode {
			t.Errorf("guess %d: %s", i, d.Reason)
		}
	}
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Reason != mfa.Locked {
		t.Errorf("after the limit: %s", d.Reason)
	}
	// First factors too.
	for i := range g.settings.FirstTries {
		if d := ask(t, e, firstLeg("vpn", "bob", "wrong"+string(rune('a'+i)))); d.Reason != mfa.WrongPassword {
			t.Errorf("password %d: %s", i, d.Reason)
		}
	}
	if d := ask(t, e, firstLeg("vpn", "bob", "right")); d.Reason != mfa.FirstFactorLocked {
		t.Errorf("after the limit of passwords: %s", d.Reason)
	}
}

func TestAloneRefused(t *testing.T) {
	for name, app := range map[string]mfa.Application{
		"code":         {ID: "plain", Name: "plain", FirstFactor: mfa.FirstFactorNone},
		"unknown user": {ID: "plain", Name: "plain", FirstFactor: "corp", UnknownPass: true, UnknownUntil: t0.Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t)
			e := g.engine()
			g.alone(t0)
			g.store.apps["plain"] = app
			r := firstLeg("plain", "alice", code(0))
			if app.UnknownPass {
				r = firstLeg("plain", "nobody", "right")
			}
			if d, err := e.Authenticate(t.Context(), r); !errors.Is(err, mfa.ErrUnavailable) || d.Verdict != mfa.Reject {
				t.Errorf("%+v, %v", d, err)
			}
			if len(g.trail.records) != 0 || len(g.store.local) != 0 {
				t.Errorf("recorded: %+v", g.trail.records)
			}
		})
	}
	t.Run("exempt user", func(t *testing.T) {
		g := newRig(t)
		e := g.engine()
		g.alone(t0)
		g.store.apps["plain"] = mfa.Application{ID: "plain", Name: "plain", FirstFactor: mfa.FirstFactorNone}
		a := g.store.accts["alice"]
		a.User.State = mfa.StateExempt
		g.store.accts["alice"] = a
		if d, err := e.Authenticate(t.Context(), firstLeg("plain", "alice", "")); !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("%+v, %v", d, err)
		}
	})
}

// A database that is only busy is no reason to settle alone.
func TestAloneNeedsLostContact(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.alone(t0)
	g.store.contact = func() (time.Time, bool) { return t0, true }
	if d, err := e.Authenticate(t.Context(), firstLeg("plain", "alice", code(0))); !errors.Is(err, mfa.ErrUnavailable) || len(g.store.local) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

// Never in contact since its start, a server cannot know which of these codes were used.
func TestAloneHolds(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.alone(time.Time{})
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Reason != mfa.HeldWhileIsolated {
		t.Errorf("a right code: %s", d.Reason)
	}
	if d := ask(t, e, firstLeg("plain", "alice", code(600))); d.Reason != mfa.WrongCode {
		t.Errorf("a wrong code: %s", d.Reason)
	}
	if n := g.store.record("alice").Fails.N; n != 1 {
		t.Errorf("%d failures, want the wrong one", n)
	}
	g.alone(g.now())
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Accept {
		t.Errorf("after contact: %s", d.Reason)
	}
}

// A write whose outcome is open and then no master: the leg is settled here as the same leg.
func TestAloneAfterUnknownOutcome(t *testing.T) {
	for _, applied := range []bool{false, true} {
		g := newRig(t)
		e := g.engine()
		g.alone(t0)
		first := true
		g.store.fault = func() (bool, error) {
			if first {
				first = false
				return applied, mfa.ErrUnknownOutcome
			}
			return false, mfa.ErrUnavailable
		}
		r := firstLeg("plain", "alice", code(0))
		r.Leg = mfa.LegID{9}
		if d := ask(t, e, r); d.Verdict != mfa.Accept {
			t.Errorf("applied %v: %+v", applied, d)
		}
		s := g.trail.settlements()
		want := mfa.Unknown
		if applied {
			want = mfa.Committed // it was read back
		}
		if len(s) != 1 || s[0].State != want || s[0].Leg != r.Leg {
			t.Errorf("applied %v: ledger %+v", applied, s)
		}
	}
}
