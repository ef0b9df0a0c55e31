package authn_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

func nyc2(g *rig) *authn.Engine {
	c := g.config(nil)
	c.Server = "nyc2"
	return authn.New(c)
}

// Whoever asks for another code at two servers at once gets one: whether it is the same request,
// because the client turned to both, or another one with the same handle.
func TestResendAtTwoServersSendsOneCode(t *testing.T) {
	for _, wish := range []string{"resend", "other"} {
		for _, same := range []bool{true, false} {
			g, p := newPost(t, mfa.MethodEmail)
			one, two := g.engine(), nyc2(g)
			d := ask(t, one, firstLeg("vpn", "alice", "right"))
			q, r := answerTo("vpn", "alice", d, wish), answerTo("vpn", "alice", d, wish)
			q.Leg, r.Leg = mfa.LegID{1}, mfa.LegID{2}
			if same {
				r.Leg = q.Leg
			}
			type result struct {
				d   mfa.Decision
				err error
			}
			var got [2]result
			var wg sync.WaitGroup
			wg.Go(func() { got[0].d, got[0].err = one.Authenticate(t.Context(), q) })
			wg.Go(func() { got[1].d, got[1].err = two.Authenticate(t.Context(), r) })
			wg.Wait()
			if p.count() != 2 {
				t.Fatalf("%s, same request %t: %d codes were sent in all, want the first and one more", wish, same, p.count())
			}
			challenge, other := got[0], got[1]
			if challenge.d.Verdict != mfa.Challenge {
				challenge, other = other, challenge
			}
			if fine := ask(t, two, answerTo("vpn", "alice", challenge.d, p.last())); fine.Verdict != mfa.Accept {
				t.Errorf("%s, same request %t: the code that was sent: %s %s", wish, same, fine.Verdict, fine.Reason)
			}
			if same && other.err == nil { // silent: the client has its answer from the other one
				t.Errorf("%s: the same request was answered twice: %s %s", wish, other.d.Verdict, other.d.Reason)
			}
			if !same && (other.err != nil || other.d.Reason != mfa.ChallengeReplayed) {
				t.Errorf("%s: another request with the same handle: %s %s, %v", wish, other.d.Verdict, other.d.Reason, other.err)
			}
		}
	}
}

// A repetition of the request while the first server still sends is not refused elsewhere: that
// would be the client's answer.
func TestARepetitionOfAResendElsewhereIsSilentWhileItIsSent(t *testing.T) {
	g, p := newPost(t)
	one, two := g.engine(), nyc2(g)
	q := answerTo("vpn", "alice", ask(t, one, firstLeg("vpn", "alice", "right")), "resend")
	q.Leg = mfa.LegID{1}
	if d := ask(t, one, q); d.Verdict != mfa.Challenge {
		t.Fatalf("got %s %s", d.Verdict, d.Reason)
	}
	if d, err := two.Authenticate(t.Context(), q); err == nil || p.count() != 2 {
		t.Errorf("at another server: %s %s, %d sent", d.Verdict, d.Reason, p.count())
	}
	g.advance(time.Minute)
	if d := ask(t, two, q); d.Reason != mfa.AnotherCodeAsked || p.count() != 2 {
		t.Errorf("a minute later: %s %s, %d sent", d.Verdict, d.Reason, p.count())
	}
}

// A fault of ours between the settlement and the sending: the client asks again, and is served.
func TestAResendThatFailedIsMadeUpFor(t *testing.T) {
	g, p := newPost(t)
	e := g.engine()
	q := answerTo("vpn", "alice", ask(t, e, firstLeg("vpn", "alice", "right")), "resend")
	q.Leg = mfa.LegID{1}
	p.fail[mfa.MethodSMS] = errors.New("the disk is full")
	if d, err := e.Authenticate(t.Context(), q); err == nil {
		t.Fatalf("got %s %s", d.Verdict, d.Reason)
	}
	delete(p.fail, mfa.MethodSMS)
	d := ask(t, e, q)
	if d.Verdict != mfa.Challenge || p.count() != 2 || strings.HasPrefix(d.Message, "Nothing more") {
		t.Fatalf("repeated: %s %s %q, %d sent", d.Verdict, d.Reason, d.Message, p.count())
	}
	if got := ask(t, e, q); got.Reason != mfa.AnotherCodeAsked || p.count() != 2 {
		t.Errorf("once more: %s %s, %d sent", got.Verdict, got.Reason, p.count())
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, p.last())); got.Verdict != mfa.Accept {
		t.Errorf("the code: %s %s", got.Verdict, got.Reason)
	}
	if n := len(g.trail.settlements()); n != 3 { // the wish, its repetition, the code
		t.Errorf("%d settlements in the ledger", n)
	}
}

// A user who was blocked meanwhile gets no code, also if one is owed.
func TestAnOwedResendIsNotSentToWhoIsBlocked(t *testing.T) {
	g, p := newPost(t)
	e := g.engine()
	q := answerTo("vpn", "alice", ask(t, e, firstLeg("vpn", "alice", "right")), "resend")
	q.Leg = mfa.LegID{1}
	p.fail[mfa.MethodSMS] = errors.New("the disk is full")
	if _, err := e.Authenticate(t.Context(), q); err == nil {
		t.Fatal("no error")
	}
	delete(p.fail, mfa.MethodSMS)
	g.store.change("alice", func(a *settlement.Account) { a.User.Block = &mfa.Block{Since: t0} })
	if d := ask(t, e, q); d.Reason != mfa.Blocked || p.count() != 1 {
		t.Errorf("got %s %s, %d sent", d.Verdict, d.Reason, p.count())
	}
}
