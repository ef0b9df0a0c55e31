package authn_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// ring is a knock that is a telephone's.
type ring struct{ *knock }

func (ring) ID() mfa.MethodID { return mfa.MethodCall }

// newRing is a group whose alice has a telephone, a device and a token.
func newRing(t *testing.T, methods ...mfa.MethodID) (*rig, *knock, *knock) {
	t.Helper()
	g, push := newKnock(t, mfa.WaitPrompt)
	call := &knock{}
	g.more = append(g.more, ring{call})
	app := g.store.apps["vpn"]
	app.Methods = methods
	g.store.apps["vpn"] = app
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = append(a.Credentials, mfa.Credential{ID: "telephone", User: "alice", Method: mfa.MethodCall})
	})
	return g, call, push
}

// Whoever goes through all the ways is called once in one attempt, on whatever servers.
func TestOneCallPerAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, call, push := newRing(t, mfa.MethodCall, mfa.MethodPush, mfa.MethodHOTP)
		one, two := g.engine(), g.engine()
		d := ask(t, one, station(1))
		seen := map[mfa.MethodID]int{d.Method: 1}
		for n := range byte(7) {
			r := answerTo("vpn", "alice", d, "other")
			r.Leg = leg(10 + n)
			e := one
			if n%2 == 0 {
				e = two
			}
			if d = ask(t, e, r); d.Verdict != mfa.Challenge || !d.Others || !strings.Contains(d.Message, "other") {
				t.Fatalf("other way %d: %+v", n, d)
			}
			seen[d.Method]++
		}
		if seen[mfa.MethodCall] != 1 || seen[mfa.MethodPush] < 2 || seen[mfa.MethodHOTP] < 2 || call.count() != 1 {
			t.Errorf("asked by %v, and called %d times; a call once", seen, call.count())
		}
		if push.count() < 2 {
			t.Errorf("devices were asked %d times", push.count())
		}
	})
}

// While it rings, its own challenge offers the other way; behind it there is no way back.
func TestNoWayBackToACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, call, _ := newRing(t, mfa.MethodCall, mfa.MethodHOTP)
		e := g.engine()
		d := ask(t, e, station(1))
		for d.Method != mfa.MethodCall {
			d = ask(t, e, answerTo("vpn", "alice", d, "other"))
		}
		if d = ask(t, e, answerTo("vpn", "alice", d, "")); d.Method != mfa.MethodCall || !d.Others {
			t.Fatalf("not answered yet: %+v", d)
		}
		if d = ask(t, g.engine(), answerTo("vpn", "alice", d, "other")); d.Method != mfa.MethodHOTP || d.Others {
			t.Errorf("the other way: %+v", d)
		}
		if got := ask(t, e, answerTo("vpn", "alice", d, code(0))); got.Verdict != mfa.Accept || call.count() != 1 {
			t.Errorf("%+v, called %d times", got, call.count())
		}
	})
}

// A wrong code that is typed in place of the answer, where there is no other way, ends it.
func TestWrongCodeRingsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, call, _ := newRing(t, mfa.MethodCall)
		app := g.store.apps["vpn"]
		app.Retries = 3
		g.store.apps["vpn"] = app
		e := g.engine()
		d := ask(t, e, station(1))
		if d.Method != mfa.MethodCall || d.Others {
			t.Fatalf("%+v", d)
		}
		if got := ask(t, e, answerTo("vpn", "alice", d, "123456")); got.Verdict != mfa.Reject || call.count() != 1 {
			t.Errorf("%+v, called %d times", got, call.count())
		}
	})
}
