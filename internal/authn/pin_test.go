package authn_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// judge knows a PIN by a hash that is the PIN itself, and counts.
type judge struct{ asked int }

func (j *judge) match(_ context.Context, _ mfa.UserID, hash, pin secret.Text) (bool, error) {
	j.asked++
	return hash.Equal(pin), nil
}

// pinned is a group whose alice has the PIN 1379, and 2468 before.
func pinned(t *testing.T, change func(*mfa.Credential)) (*rig, *authn.Engine, *judge) {
	t.Helper()
	g, j := newRig(t), &judge{}
	c := mfa.Credential{ID: "pin-alice", User: "alice", Method: mfa.MethodPIN, Secret: secret.FromString("1379\n2468"), Digits: 4, Confirmed: t0}
	if change != nil {
		change(&c)
	}
	g.store.change("alice", func(a *settlement.Account) { a.Credentials = append(a.Credentials, c) })
	e := g.engine()
	e.PIN = j.match
	return g, e, j
}

func TestPINInFrontOfTheCode(t *testing.T) {
	g, e, j := pinned(t, nil)
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge || d.Message != "Enter your code, your PIN in front of it" {
		t.Fatalf("asked %s %q", d.Verdict, d.Message)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, "1379"+code(0))); got.Reason != mfa.OK {
		t.Errorf("in a challenge: %s", got.Reason)
	}
	if got := ask(t, e, firstLeg("vpn", "alice", "right1379"+code(1))); got.Reason != mfa.OK {
		t.Errorf("behind the password: %s", got.Reason)
	}
	fails := func() uint16 { return g.store.record("alice").Fails.N }
	for _, tt := range []struct {
		answer string
		want   mfa.Reason
		fails  uint16
	}{
		{"1378" + code(2), mfa.WrongPIN, 1},     // and the code is spent
		{"1379" + code(2), mfa.ReplayedCode, 1}, // a used code is no guess
		{code(3), mfa.WrongPIN, 2},              // without one
		{"2468" + code(4), mfa.WrongPIN, 3},     // the one before
		{"1379000000", mfa.WrongCode, 4},
		{"13 79 " + code(5), mfa.OK, 0},
	} {
		d := ask(t, e, firstLeg("vpn", "alice", "right"))
		before := j.asked
		if got := ask(t, e, answerTo("vpn", "alice", d, tt.answer)); got.Reason != tt.want || fails() != tt.fails || j.asked != before+1 {
			t.Errorf("%s: %s, %d failures, PIN looked at %d times; want %s, %d", tt.answer, got.Reason, fails(), j.asked-before, tt.want, tt.fails)
		}
	}
	if d := ask(t, e, firstLeg("vpn", "bob", "right"+code(1000))); d.Reason != mfa.OK {
		t.Errorf("who has none: %s", d.Reason)
	}
}

func TestWrongPINsLock(t *testing.T) {
	g, e, _ := pinned(t, nil)
	for n := range g.settings.Tries {
		d := ask(t, e, firstLeg("vpn", "alice", "right"))
		if got := ask(t, e, answerTo("vpn", "alice", d, "0000"+code(uint64(n)))); got.Reason != mfa.WrongPIN {
			t.Fatalf("guess %d: %s", n, got.Reason)
		}
	}
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Reason != mfa.Locked {
		t.Errorf("got %s", d.Reason)
	}
}

// A PIN that has to be changed is right, and serves at the portal alone.
func TestPINToBeChanged(t *testing.T) {
	g, e, _ := pinned(t, func(c *mfa.Credential) { c.MustChange = true })
	g.store.apps["portal"] = mfa.Application{ID: "portal", Name: "portal", Kind: mfa.KindWeb, FirstFactor: "corp", Passcode: mfa.PasscodeEither}
	if d := ask(t, e, firstLeg("vpn", "alice", "right1379"+code(0))); d.Reason != mfa.PINMustChange {
		t.Errorf("elsewhere: %s", d.Reason)
	}
	if d := ask(t, e, firstLeg("portal", "alice", "right1379"+code(1))); d.Reason != mfa.OK {
		t.Errorf("at the portal: %s", d.Reason)
	}
	g, e, _ = pinned(t, nil)
	g.settings.PINDays = 30
	g.advance(30 * 24 * time.Hour)
	if d := ask(t, e, firstLeg("vpn", "alice", "right1379"+code(0))); d.Reason != mfa.PINExpired {
		t.Errorf("after 30 days: %s", d.Reason)
	}
}

func TestPINByPolicy(t *testing.T) {
	g, e, j := pinned(t, nil)
	rules(t, g, policy.Rule{Name: "p", PIN: policy.No})
	if d := ask(t, e, firstLeg("vpn", "alice", "right"+code(0))); d.Reason != mfa.OK || j.asked != 0 {
		t.Errorf("none is wanted: %s", d.Reason)
	}
	rules(t, g, policy.Rule{Name: "p", PIN: policy.Yes})
	if d := ask(t, e, firstLeg("vpn", "bob", "right")); d.Reason != mfa.NoPIN {
		t.Errorf("who has none is asked: %s %s", d.Verdict, d.Reason)
	}
	if d := ask(t, e, firstLeg("vpn", "bob", "right"+code(1000))); d.Reason != mfa.NoPIN {
		t.Errorf("who has none: %s", d.Reason)
	}
	e.PIN = nil
	if d, err := e.Authenticate(t.Context(), firstLeg("vpn", "alice", "right1379"+code(1))); err == nil {
		t.Errorf("a server that judges none: %s", d.Reason)
	}
}

// A PIN that is typed where a question is answered: without it an approval is none.
func TestPINWithAnAnswer(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*mfa.Credential)
		rule   policy.Rule
		typed  bool
		why    mfa.Reason // of the answer
		asked  bool       // for a PIN
		want   mfa.Reason
	}{
		{"right", nil, policy.Rule{}, true, mfa.OK, true, mfa.OK},
		{"not typed: an answer of a server that knows nothing of it", nil, policy.Rule{}, false, mfa.OK, true, mfa.WrongPIN},
		{"wrong", nil, policy.Rule{}, false, mfa.WrongPIN, true, mfa.WrongPIN},
		{"refused", nil, policy.Rule{}, false, mfa.RefusedByUser, true, mfa.RefusedByUser},
		{"right, and to be changed", func(c *mfa.Credential) { c.MustChange = true }, policy.Rule{}, true, mfa.OK, true, mfa.PINMustChange},
		{"a rule wants none", nil, policy.Rule{Name: "p", PIN: policy.No}, false, mfa.OK, false, mfa.OK},
		{"switched off", func(c *mfa.Credential) { c.Disabled = true }, policy.Rule{}, false, mfa.OK, false, mfa.OK},
		{"switched off, and a rule wants one", func(c *mfa.Credential) { c.Disabled = true }, policy.Rule{Name: "p", PIN: policy.Yes}, false, mfa.OK, false, mfa.NoPIN},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, k := newKnock(t, mfa.WaitPrompt)
				c := mfa.Credential{ID: "pin-alice", User: "alice", Method: mfa.MethodPIN, Secret: secret.FromString("1379"), Digits: 4, Confirmed: time.Now()}
				if tt.change != nil {
					tt.change(&c)
				}
				g.store.change("alice", func(a *settlement.Account) { a.Credentials = append(a.Credentials, c) })
				if tt.rule.Name != "" {
					rules(t, g, tt.rule)
				}
				d := ask(t, g.engine(), station(1))
				if tt.want == mfa.NoPIN {
					if d.Reason != mfa.NoPIN || k.count() != 0 {
						t.Errorf("who has none: %s %s, reached %d times", d.Verdict, d.Reason, k.count())
					}
					return
				}
				w := k.reached[0]
				if w.PIN != tt.asked {
					t.Errorf("a PIN is asked for: %t", w.PIN)
				}
				if _, _, err := g.waits.AnswerWait(t.Context(), "alice", w.ID, w.Nonce, mfa.WaitAnswer{Reason: tt.why, Credential: "device", PIN: tt.typed, At: time.Now()}); err != nil {
					t.Fatal(err)
				}
				v := mfa.Reject
				if tt.want == mfa.OK {
					v = mfa.Accept
				}
				want(t, tt.name, <-later(t.Context(), g.engine(), answerTo("vpn", "alice", d, "ok")), v, tt.want)
				if n := g.store.record("alice").Fails.N; n != 0 {
					t.Errorf("%d failures counted here: a PIN is counted where it is typed", n)
				}
			})
		})
	}
}
