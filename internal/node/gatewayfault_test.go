package node

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// rig is a kind of gateway that can be told how to fail, and one beside it that works.
type rig struct {
	bad, good admin.GatewayChange
	arrived   func() string // the last text that the good one has delivered
	faults    []fault
}

// fault is one of the ways in which a gateway fails. The docs have the same table
// (docs/operations/gateways.md).
type fault struct {
	name string
	set  func()
	want mfa.Reason // of an attempt that has no other way
	lies bool       // the gateway takes the message, so nothing is known before the challenge is over
}

// Whatever is wrong with a gateway is a reason of its own in the trail; the next gateway is asked
// within the same attempt, and where there is none the user's next factor.
func TestGatewayFaults(t *testing.T) {
	for _, tt := range []struct {
		kind   string
		method mfa.MethodID
		make   func(*testing.T) rig
	}{{"http", mfa.MethodSMS, httpRig}, {"smpp", mfa.MethodSMS, smppRig}, {"smtp", mfa.MethodEmail, smtpRig}} {
		t.Run(tt.kind, func(t *testing.T) {
			t.Parallel()
			r := tt.make(t)
			o := options(folder(t))
			must(t, Init(t.Context(), o, "corp"))
			inside(t, o, func(ctx context.Context, s *server) { r.try(t, ctx, s, tt.method) })
		})
	}
}

func (r rig) try(t *testing.T, ctx context.Context, s *server, method mfa.MethodID) {
	x := newSends(t, ctx, s, method)
	for _, change := range []admin.GatewayChange{r.bad, r.good} {
		_, err := s.admin.AddGateway(ctx, "test", change)
		must(t, err)
	}
	for _, f := range r.faults {
		f.set()
		x.beside(false)
		alone, other := x.first("alice"), x.first("bob")
		x.beside(true)
		way := x.first("alice")
		switch {
		case !f.lies && (alone.Verdict != mfa.Reject || alone.Reason != f.want):
			t.Errorf("%s: %s, %s; want %s", f.name, alone.Verdict, alone.Reason, f.want)
		case f.lies && (alone.Verdict != mfa.Challenge || other.Method != method || way.Verdict != mfa.Challenge):
			t.Errorf("%s: %+v, %+v, %+v", f.name, alone, other, way)
		case f.lies: // whoever waits for the message has these words
			other, way = x.answer("bob", other, "other"), x.answer("alice", way, "resend")
		}
		if other.Verdict != mfa.Challenge || other.Method != mfa.MethodHOTP {
			t.Errorf("%s, with a token: %s, %s by %s", f.name, other.Verdict, other.Reason, other.Method)
		}
		if d := x.answer("alice", way, code6.FindString(r.arrived())); d.Verdict != mfa.Accept {
			t.Errorf("%s, the code by the other gateway: %s, %s after %s, %s", f.name, d.Verdict, d.Reason, way.Verdict, way.Reason)
		}
		x.recorded(f, alone)
	}
}

// sends is a server whose users have a factor that is sent: alice nothing else, bob a token too.
type sends struct {
	*testing.T
	ctx context.Context
	s   *server
	app mfa.ApplicationID
}

func newSends(t *testing.T, ctx context.Context, s *server, method mfa.MethodID) sends {
	name, kind, first, to := "shop", mfa.KindAPI, mfa.FirstFactorNone, "+491701234567"
	if method == mfa.MethodEmail {
		to = "alice@test.example"
	}
	for _, who := range []string{"alice", "bob"} {
		_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &who})
		must(t, err)
		_, err = s.enroll.Add(ctx, "test", who, enroll.Request{Method: method, To: to, Trusted: true})
		must(t, err)
	}
	_, err := s.enroll.Add(ctx, "test", "bob", enroll.Request{Method: mfa.MethodHOTP})
	must(t, err)
	app, err := s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &kind, FirstFactor: &first, Methods: &[]string{string(method), "hotp"}})
	must(t, err)
	must(t, s.store.UpdateSettings(ctx, func(p *policy.Settings) error {
		p.PerUser, p.PerNumber, p.Handle = 1000, 1000, policy.Seconds(10)
		return nil
	}))
	return sends{t, ctx, s, app.ID}
}

func (x sends) first(who string) mfa.Decision { return x.leg(mfa.Request{Login: who}) }

func (x sends) answer(who string, d mfa.Decision, typed string) mfa.Decision {
	x.Helper()
	return x.leg(mfa.Request{Login: who, Handle: d.Handle, Answer: secret.FromString(typed)})
}

func (x sends) leg(r mfa.Request) mfa.Decision {
	x.Helper()
	r.Application, r.FrontEnd, r.Caps = x.app, "api", mfa.CanPrompt
	d, err := x.s.engine.Authenticate(x.ctx, r)
	must(x.T, err)
	return d
}

// beside switches the good gateway on or off, and has the bad one asked first in any case.
func (x sends) beside(on bool) {
	x.Helper()
	off := !on
	_, err := x.s.admin.SetGateway(x.ctx, "test", "good", admin.GatewayChange{Disabled: &off})
	must(x.T, err)
	if !forget(x.s, "bad") {
		x.Fatal("the gateway's failures are not forgotten")
	}
}

// recorded waits until the trail has the attempt's verdict: of one that nobody answers, when the
// challenge is over.
func (x sends) recorded(f fault, d mfa.Decision) {
	x.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		found, err := x.s.admin.Attempts(x.ctx, "alice", admin.AuditQuery{Limit: 100})
		must(x.T, err)
		i := slices.IndexFunc(found.Attempts, func(a admin.Attempt) bool { return a.AttemptID == d.Attempt })
		if i >= 0 && found.Attempts[i].Verdict == mfa.Reject.String() {
			if got := found.Attempts[i].Reason; got != f.want.String() {
				x.Errorf("%s: the trail says %s, want %s", f.name, got, f.want)
			}
			return
		}
		if time.Now().After(end) {
			x.Fatalf("%s: the trail has no verdict of %s", f.name, d.Attempt)
		}
	}
}

func httpRig(t *testing.T) rig {
	var now atomic.Pointer[http.HandlerFunc]
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // without which the server does not see that its client has gone
		(*now.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	act := func(h http.HandlerFunc) func() { return func() { now.Store(&h) } }
	says := func(status int) func() {
		return act(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, `{"id":"1"}`)
		})
	}
	closes := act(func(w http.ResponseWriter, _ *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = c.Close()
		}
	})
	slow := act(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	profile, private := "json", true
	bad, good, arrived := textGateways(t, mfa.GatewayHTTP, s.URL)
	bad.Profile, bad.PrivateAddresses = &profile, &private
	return rig{bad, good, arrived, []fault{
		{"down", closes, mfa.GatewayDown, false},
		{"broken", says(http.StatusBadGateway), mfa.GatewayDown, false},
		{"slow", slow, mfa.GatewaySlow, false},
		{"throttled", says(http.StatusTooManyRequests), mfa.GatewaySlow, false},
		{"out of credit", says(http.StatusPaymentRequired), mfa.GatewayNoCredit, false},
		{"wrong password", says(http.StatusUnauthorized), mfa.GatewayRefused, false},
		{"lying", says(http.StatusOK), mfa.ChallengeUnanswered, true},
	}}
}

func smppRig(t *testing.T) rig {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{})
	act := func(m mfatest.Manner) func() {
		return func() {
			s.Set(func(now *mfatest.Manner) { *now = m })
			s.Drop() // so that it binds anew
		}
	}
	bad, good, arrived := textGateways(t, mfa.GatewaySMPP, s.Address)
	bad.SMPP = &admin.GatewaySMPPChange{Refuse: &[]mfa.SMPPRule{{Status: 0x411, Reason: "gateway_no_credit"}}}
	return rig{bad, good, arrived, []fault{
		{"broken", act(mfatest.Manner{Status: 8}), mfa.GatewayDown, false},
		{"slow", act(mfatest.Manner{Deaf: true}), mfa.GatewaySlow, false},
		{"throttled", act(mfatest.Manner{Status: 0x58}), mfa.GatewaySlow, false},
		{"out of credit", act(mfatest.Manner{Status: 0x411}), mfa.GatewayNoCredit, false},
		{"wrong password", act(mfatest.Manner{Login: "corp", Password: "another"}), mfa.GatewayRefused, false},
		{"lying", act(mfatest.Manner{}), mfa.MessageUnconfirmed, true},
		{"down", s.Stop, mfa.GatewayDown, false},
	}}
}

func smtpRig(t *testing.T) rig {
	s, beside := mfatest.NewMailServer(t), mfatest.NewMailServer(t)
	act := func(m mfatest.MailManner) func() { return func() { s.Set(m) } }
	bad, good := gatewayAt("bad", 1, mfa.GatewayMail, mfa.GatewaySMTP, s.Address), gatewayAt("good", 2, mfa.GatewayMail, mfa.GatewaySMTP, beside.Address)
	arrived := func() string { return beside.Letters()[len(beside.Letters())-1] }
	return rig{bad, good, arrived, []fault{
		{"down", act(mfatest.MailManner{Greeting: "421 4.3.2 closed for tonight"}), mfa.GatewayDown, false},
		{"slow", act(mfatest.MailManner{Silent: true}), mfa.GatewaySlow, false},
		{"throttled at the login", act(mfatest.MailManner{Auth: "454 4.7.0 too many logins"}), mfa.GatewaySlow, false},
		{"throttled", act(mfatest.MailManner{Mail: "451 4.7.1 slow down"}), mfa.GatewaySlow, false},
		{"throttled at the end", act(mfatest.MailManner{Data: "450 4.7.0 too many mails"}), mfa.GatewaySlow, false},
		{"out of credit", act(mfatest.MailManner{Auth: "451 Authentication failed: Maximum credits exceeded"}), mfa.GatewayNoCredit, false},
		{"out of credit at the end", act(mfatest.MailManner{Data: "454 Throttling failure: Daily message quota exceeded."}), mfa.GatewayNoCredit, false},
		{"no room", act(mfatest.MailManner{Mail: "452 4.3.1 no disk space"}), mfa.GatewayRefused, false},
		{"wrong password", act(mfatest.MailManner{Auth: "535 5.7.8 no"}), mfa.GatewayRefused, false},
		{"lying", act(mfatest.MailManner{Forget: true}), mfa.ChallengeUnanswered, true},
	}}
}

// textGateways are one for text messages that fails, one that works, and what that has delivered last.
func textGateways(t *testing.T, protocol, address string) (bad, good admin.GatewayChange, arrived func() string) {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
	bad, good = gatewayAt("bad", 1, mfa.GatewaySMS, protocol, address), gatewayAt("good", 2, mfa.GatewaySMS, mfa.GatewaySMPP, s.Address)
	for _, g := range []*admin.GatewayChange{&bad, &good} {
		g.Countries = &[]string{"DE"}
	}
	return bad, good, func() string { texts := s.Seen().Texts; return texts[len(texts)-1].Text }
}

func gatewayAt(name string, order int, kind, protocol, address string) admin.GatewayChange {
	plain, login, from, timeout := mfa.GatewayPlain, "corp", "Corp", 1
	g := admin.GatewayChange{Name: &name, Order: &order, Kind: &kind, Protocol: &protocol, Address: &address, Login: &login, Password: secret.NewWire("hush-hush"),
		From: &from, TimeoutSeconds: &timeout}
	if kind == mfa.GatewayMail {
		from = "mfa@test.example"
	}
	if protocol != mfa.GatewayHTTP {
		g.TLS = &plain
	}
	return g
}
