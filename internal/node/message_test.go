package node

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/challenge"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/store"
)

// texting is a server whose alice has a proven number, and an application that asks for nothing
// but a code.
type texting struct {
	*testing.T
	ctx context.Context
	s   *server
	app mfa.ApplicationID
}

func newTexting(t *testing.T, ctx context.Context, s *server) texting {
	login, email, name, kind, first, addresses, retries := "alice", "alice@test.example", "vpn", mfa.KindRADIUS, mfa.FirstFactorNone, []string{"127.0.0.1"}, 1
	shared := secret.Wire{Text: secret.FromString("shared secret 1")}
	_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &login, Email: &email})
	must(t, err)
	made, err := s.admin.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &kind, FirstFactor: &first, Addresses: &addresses, Secret: &shared, Retries: &retries})
	must(t, err)
	_, err = s.enroll.Add(ctx, "test", login, enroll.Request{Method: mfa.MethodSMS, To: "+491701234567", Trusted: true})
	must(t, err)
	return texting{t, ctx, s, made.ID}
}

// gateway sets one up.
func (x texting) gateway(name string, order int, smsc *mfatest.SMSC) {
	x.Helper()
	kind, protocol, login, plain, from := mfa.GatewaySMS, mfa.GatewaySMPP, "corp", mfa.GatewayPlain, "Corp"
	_, err := x.s.admin.AddGateway(x.ctx, "test", admin.GatewayChange{Name: &name, Kind: &kind, Protocol: &protocol, Order: &order, Address: &smsc.Address, TLS: &plain,
		Login: &login, Password: secret.NewWire("hush-hush"), From: &from, Countries: &[]string{"DE"},
		SMPP: &admin.GatewaySMPPChange{Refuse: &[]mfa.SMPPRule{{Status: 0x411, Reason: "gateway_no_credit"}}}})
	must(x.T, err)
}

func (x texting) begin() mfa.Decision {
	x.Helper()
	return x.leg(mfa.Request{})
}

func (x texting) leg(r mfa.Request) mfa.Decision {
	x.Helper()
	r.Application, r.FrontEnd, r.Login, r.Caps = x.app, "radius", "alice", mfa.CanPrompt
	d, err := x.s.engine.Authenticate(x.ctx, r)
	must(x.T, err)
	return d
}

func (x texting) answer(d mfa.Decision, typed string) mfa.Decision {
	x.Helper()
	return x.leg(mfa.Request{Handle: d.Handle, Answer: secret.FromString(typed)})
}

// until waits for what a receipt brings about.
func (x texting) until(what string, is func() bool) {
	x.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			x.Fatalf("still not: %s", what)
		}
	}
}

func (x texting) health(name string) admin.GatewayHealth {
	x.Helper()
	g, err := x.s.admin.Gateway(x.ctx, name)
	must(x.T, err)
	return *g.Health
}

var code6 = regexp.MustCompile(`[0-9]{6}`)

func codeOf(t testing.TB, smsc *mfatest.SMSC, n int) string {
	t.Helper()
	seen := smsc.Await(t, "the code", func(s mfatest.Seen) bool { return len(s.Texts) >= n })
	return code6.FindString(seen.Texts[len(seen.Texts)-1].Text)
}

// A gateway is down, slow, out of credit, or lies: each is its own reason, another gateway is
// the way round it, and so is another factor.
func TestCodesBySMPP(t *testing.T) {
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	first := mfatest.NewSMSC(t, nil, mfatest.Manner{Login: "corp", Password: "hush-hush", Receipt: "DELIVRD"})
	second := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
	inside(t, o, func(ctx context.Context, s *server) {
		x := newTexting(t, ctx, s)
		x.gateway("first", 1, first)
		must(t, s.store.UpdateSettings(ctx, func(p *policy.Settings) error { p.PerUser, p.PerNumber = 100, 100; return nil }))
		if d := x.answer(x.begin(), codeOf(t, first, 1)); d.Verdict != mfa.Accept {
			t.Fatalf("the code: %s %s", d.Verdict, d.Reason)
		}
		x.until("the receipt is counted", func() bool { return x.health("first").Delivered == 1 })

		// It lies, and says so later: nothing is left but the reason.
		first.Set(func(m *mfatest.Manner) { m.Receipt = "UNDELIV" })
		d := x.begin()
		x.until("it is known to be lost", func() bool { return x.health("first").Undelivered == 1 && x.fate(d) == mfa.MessageUndelivered })
		if d = x.answer(d, ""); d.Reason != mfa.MessageUndelivered {
			t.Errorf("lost, and no answer: %s %s", d.Verdict, d.Reason)
		}
		// It is out of credit, throttles, is down.
		for status, want := range map[uint32]mfa.Reason{0x411: mfa.GatewayNoCredit, 0x58: mfa.GatewaySlow, 0x08: mfa.GatewayDown} {
			first.Set(func(m *mfatest.Manner) { m.Status = status })
			if d := x.begin(); d.Reason != want {
				t.Errorf("status %#x: %s %s, want %s", status, d.Verdict, d.Reason, want)
			}
		}
		first.Set(func(m *mfatest.Manner) { m.Status = 0 })

		// With another gateway the same code comes by that, and nobody notices.
		x.gateway("second", 2, second)
		x.until("the first is asked first again", func() bool { return x.health("first").State != "ailing" || forget(x.s, "first") })
		d = x.begin()
		if d = x.answer(d, codeOf(t, second, 1)); d.Verdict != mfa.Accept {
			t.Errorf("the code by the second: %s %s", d.Verdict, d.Reason)
		}
		if h := x.health("first"); h.Undelivered == 0 {
			t.Errorf("the first was not asked: %+v", h)
		}
		checks := messenger{s}.TestGateway(ctx, mustGateway(t, s, "second"), "+491701234567")
		if last := checks[len(checks)-1]; last.Name != "receipt" || !last.OK || last.Warning {
			t.Errorf("test: %+v", checks)
		}
	})
	if seen := first.Seen(); seen.Bound != 0 || second.Seen().Bound != 0 {
		t.Errorf("bound after the end: %+v, %+v", seen, second.Seen())
	}
	if seen := second.Seen(); seen.Unbinds != 1 {
		t.Errorf("not unbound: %+v", seen)
	}
}

// forget has a gateway that failed asked first at once: its settings count as new.
func forget(s *server, name string) bool {
	_, err := s.store.UpdateGateway(context.Background(), name, func(*mfa.Gateway) error { return nil })
	return err == nil
}

func mustGateway(t *testing.T, s *server, name string) mfa.Gateway {
	t.Helper()
	g, err := s.store.Gateway(name)
	must(t, err)
	return g
}

// fate is what becomes of the code that was sent for a challenge.
func (x texting) fate(d mfa.Decision) mfa.Reason {
	x.Helper()
	h, err := challenge.Sealer{Keys: x.s.ring}.Open(d.Handle)
	must(x.T, err)
	return sending{x.s}.method(mfa.MethodSMS).Fate(x.ctx, h.State)
}

// Notices to users go out by a real mail server, once each; those that nobody takes are given
// up with a reason.
func TestNoticesByMail(t *testing.T) {
	exim := mfatest.Exim(t)
	o := options(folder(t))
	must(t, Init(t.Context(), o, "corp"))
	inside(t, o, func(ctx context.Context, s *server) {
		x := newTexting(t, ctx, s) // whose credential is told of
		nobody, german, none := "nobody", "de", "none"
		address := "nobody@test.example"
		_, err := s.admin.AddUser(ctx, "test", admin.UserChange{Login: &nobody, Email: &address})
		must(t, err)
		_, err = s.admin.AddUser(ctx, "test", admin.UserChange{Login: &none})
		must(t, err)
		_, err = s.admin.SetUser(ctx, "test", "alice", admin.UserChange{Language: &german})
		must(t, err)
		for _, login := range []string{nobody, none} {
			_, err = s.enroll.Add(ctx, "test", login, enroll.Request{Method: mfa.MethodRecovery})
			must(t, err)
		}
		kind, name, from := mfa.GatewayMail, "relay", "mfa@test.example"
		_, err = s.admin.AddGateway(ctx, "test", admin.GatewayChange{Name: &name, Kind: &kind, Address: &exim.Address, CAs: &exim.CA.PEM, From: &from,
			Login: &exim.Login, Password: secret.NewWire(exim.Password)})
		must(t, err)
		if !s.hasMail() {
			t.Fatal("there is no way for notices")
		}
		before := s.outboxNow(t, ctx)
		for range 2 { // the second has nothing to do
			must(t, s.outbox().round(ctx))
		}
		mails := exim.Await(t, before.Waiting-2)
		if len(mails) != before.Waiting-2 {
			t.Errorf("%d mails of %d notices, two of which are nobody's", len(mails), before.Waiting)
		}
		if all := strings.Join(mails, "\n"); !strings.Contains(all, "To: <alice@test.example>") || !strings.Contains(all, "Anmeldung") {
			t.Errorf("mails:\n%s", all)
		}
		x.until("the server's own look at the outbox is over too", func() bool { return s.outboxNow(t, ctx).Waiting == 0 })
		if after := s.outboxNow(t, ctx); after.Waiting != 0 || after.Dead != 2 || after.Error == "" || strings.Contains(after.Error, "nobody@") {
			t.Errorf("outbox %+v, was %+v", after, before)
		}
		if checks := s.checkOutbox(ctx); len(checks) != 1 || !checks[0].Warning {
			t.Errorf("doctor: %+v", checks)
		}
	})
}

func (s *server) outboxNow(t *testing.T, ctx context.Context) store.Outbox {
	t.Helper()
	b, err := s.store.Outbox(ctx)
	must(t, err)
	return b
}
