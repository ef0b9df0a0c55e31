package authn_test

import (
	"testing"
	"time"

	"countersign/internal/mfa"
)

// Answers without a code are looked at by nobody: they fill no record and keep nobody out.
func TestEmptyAnswersSpendNothing(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	for range 100 {
		if got := ask(t, e, answerTo("vpn", "alice", d, "")); got.Reason != mfa.EmptyCode || got.Attempt == d.Attempt {
			t.Fatalf("empty answer: %s %s in attempt %s; want reject empty_code under an id of its own", got.Verdict, got.Reason, got.Attempt)
		}
	}
	if g.store.settled != 0 {
		t.Errorf("%d settlements for nothing", g.store.settled)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, code(0))); got.Verdict != mfa.Accept || got.Attempt != d.Attempt {
		t.Errorf("the code after that: %s %s, want accept", got.Verdict, got.Reason)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, "")); got.Reason != mfa.ChallengeReplayed {
		t.Errorf("an empty answer after that: %s, want challenge_replayed", got.Reason)
	}
}

// With retries an answer without a code gets the same challenge once more: whichever of the
// handles is answered, both are spent, so that the attempt has one verdict.
func TestEmptyAnswerIsAskedAgain(t *testing.T) {
	g := newRig(t)
	app("vpn", func(a *mfa.Application) { a.Retries = 2 })(g)
	e := g.engine()
	first := ask(t, e, firstLeg("vpn", "alice", "right"))
	g.advance(time.Minute)
	second := ask(t, e, answerTo("vpn", "alice", first, ""))
	third := ask(t, e, answerTo("vpn", "alice", second, ""))
	if third.Verdict != mfa.Challenge || third.Attempt != first.Attempt || !third.Expires.Equal(first.Expires) {
		t.Fatalf("got %s %s until %s, want the challenge of %s until %s", third.Verdict, third.Reason, third.Expires, first.Attempt, first.Expires)
	}
	if d := ask(t, e, answerTo("vpn", "alice", third, "")); d.Reason != mfa.EmptyCode {
		t.Errorf("after two retries: %s, want empty_code", d.Reason)
	}
	if d := ask(t, e, answerTo("vpn", "alice", second, code(0))); d.Verdict != mfa.Accept {
		t.Errorf("the code: %s %s, want accept", d.Verdict, d.Reason)
	}
	for name, h := range map[string]mfa.Decision{"first": first, "third": third} {
		if d := ask(t, e, answerTo("vpn", "alice", h, code(1))); d.Reason != mfa.ChallengeReplayed {
			t.Errorf("%s handle after the second was answered: %s %s, want challenge_replayed", name, d.Verdict, d.Reason)
		}
	}
	verdicts := 0
	for _, v := range g.trail.verdicts() {
		if v.ID == first.Attempt {
			verdicts++
		}
	}
	if verdicts != 1 {
		t.Errorf("%d verdicts of the attempt, want 1", verdicts)
	}
}

// A program that signs in again and again all day is not kept out.
func TestFrequentSignIns(t *testing.T) {
	t.Run("code alone", func(t *testing.T) {
		g := newRig(t)
		e := g.engine()
		for n := range uint64(400) {
			if d := ask(t, e, firstLeg("plain", "alice", code(n))); d.Verdict != mfa.Accept {
				t.Fatalf("sign-in %d: %s %s, want accept", n, d.Verdict, d.Reason)
			}
			g.advance(time.Second)
		}
	})
	t.Run("challenge", func(t *testing.T) {
		g := newRig(t)
		e := g.engine()
		for n := range uint64(400) {
			d := ask(t, e, firstLeg("vpn", "alice", "right"))
			if d = ask(t, e, answerTo("vpn", "alice", d, code(n))); d.Verdict != mfa.Accept {
				t.Fatalf("sign-in %d: %s %s, want accept", n, d.Verdict, d.Reason)
			}
			g.advance(2 * time.Second)
		}
	})
}
