package authn_test

import (
	"net/netip"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// What the first leg told as source holds for every later one, on whatever server, whether those
// name none or another: rules cannot be passed by with an answer that does not say where from.
func TestTheFirstSourceHoldsForEachAnswer(t *testing.T) {
	const inside, outside = "203.0.113.7", "198.51.100.9"
	office := []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}
	for _, c := range []struct {
		name  string
		rule  policy.Rule
		first string
		then  string
		want  mfa.Reason
	}{
		{"methods of a network, answered from nowhere", policy.Rule{Name: "m", Networks: office, Methods: []mfa.MethodID{mfa.MethodSMS}}, inside, "", mfa.WrongCode},
		{"methods of a network, answered from elsewhere", policy.Rule{Name: "m", Networks: office, Methods: []mfa.MethodID{mfa.MethodSMS}}, inside, outside, mfa.WrongCode},
		{"nobody from outside, answered from nowhere", policy.Rule{Name: "o", Outside: office, Access: policy.AccessDeny}, inside, "", mfa.OK},
		{"nobody from outside, answered from there", policy.Rule{Name: "o", Outside: office, Access: policy.AccessDeny}, inside, outside, mfa.OK},
		{"the first to tell one is the second leg", policy.Rule{Name: "n", Networks: office, Access: policy.AccessDeny}, "", inside, mfa.PolicyDenied},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, _ := newPost(t, mfa.MethodHOTP)
			app("vpn", func(a *mfa.Application) { a.Retries = 0 })(g)
			rules(t, g, c.rule)
			d := ask(t, g.engine(), from(c.first, firstLeg("vpn", "alice", "right")))
			if d.Verdict != mfa.Challenge {
				t.Fatalf("first leg: %s %s", d.Verdict, d.Reason)
			}
			got := ask(t, g.engine(), from(c.then, answerTo("vpn", "alice", d, code(0))))
			if got.Reason != c.want {
				t.Errorf("the answer: %s, want %s", got.Reason, c.want)
			}
			v := g.trail.verdicts()
			want := c.first
			if want == "" {
				want = c.then
			}
			if last := v[len(v)-1]; last.Source != want {
				t.Errorf("the record names the source %q, want %q", last.Source, want)
			}
		})
	}
}

// A challenge that follows a wrong answer, or another way that was wished for, carries it on.
func TestTheSourceIsCarriedOn(t *testing.T) {
	g, p := newPost(t, mfa.MethodHOTP)
	app("vpn", func(a *mfa.Application) { a.Retries = 3 })(g)
	e := g.engine()
	d := ask(t, e, from("2001:DB8::7", firstLeg("vpn", "alice", "right")))
	for _, answer := range []string{"000000", "other"} {
		if d = ask(t, e, answerTo("vpn", "alice", d, answer)); d.Verdict != mfa.Challenge {
			t.Fatalf("%s: %s %s", answer, d.Verdict, d.Reason)
		}
	}
	if d = ask(t, e, answerTo("vpn", "alice", d, p.last())); d.Verdict != mfa.Accept {
		t.Fatalf("the code: %s", d.Reason)
	}
	if v := g.trail.verdicts(); v[len(v)-1].Source != "2001:db8::7" {
		t.Errorf("recorded from %q", v[len(v)-1].Source)
	}
}

// Success is remembered of the place where the sign-in began, and a wrong answer counts against
// it, although answers name none.
func TestAnAnswerIsRememberedAndThrottledWhereItBegan(t *testing.T) {
	g := newRig(t)
	const here = "203.0.113.7"
	rules(t, g, policy.Rule{Name: "r", Remember: secs(300)})
	d := ask(t, g.engine(), from(here, firstLeg("vpn", "alice", "right")))
	if got := ask(t, g.engine(), answerTo("vpn", "alice", d, code(0))); got.Reason != mfa.OK {
		t.Fatal(got.Reason)
	}
	if got := ask(t, g.engine(), from(here, firstLeg("vpn", "alice", "right"))); got.Reason != mfa.Remembered {
		t.Errorf("from the same place again: %s %s", got.Verdict, got.Reason)
	}

	rules(t, g)
	g.settings.SourceFailures = 3
	e := g.engine()
	open := func(source string) mfa.Decision {
		t.Helper()
		d := ask(t, e, from(source, firstLeg("vpn", "bob", "right")))
		if d.Verdict != mfa.Challenge {
			t.Fatalf("from %s: %s %s", source, d.Verdict, d.Reason)
		}
		return d
	}
	another := open(here)
	for range 3 {
		if got := ask(t, e, answerTo("vpn", "bob", open(here), "000000")); got.Verdict != mfa.Reject {
			t.Fatalf("a wrong code: %s", got.Verdict)
		}
		g.advance(time.Second)
		g.store.change("bob", func(a *settlement.Account) { a.Record = settlement.Record{} })
	}
	if got := ask(t, e, answerTo("vpn", "bob", another, code(1000))); got.Reason != mfa.SourceThrottled {
		t.Errorf("an answer of a source that has guessed: %s %s", got.Verdict, got.Reason)
	}
	if got := ask(t, e, answerTo("vpn", "bob", open("203.0.113.8"), code(1000))); got.Reason != mfa.OK {
		t.Errorf("of another source: %s", got.Reason)
	}
}
