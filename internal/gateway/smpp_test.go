package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

func smppGateway(name string, s *mfatest.SMSC) mfa.Gateway {
	g := mfa.Gateway{Name: name, Kind: mfa.GatewaySMS, Protocol: mfa.GatewaySMPP, Address: s.Address, TLS: mfa.GatewayPlain, Login: "corp",
		Password: secret.FromString("hush-hush"), From: "Corp", Countries: []string{"DE"}}
	if s.CA != nil {
		g.TLS, g.CAs = mfa.GatewayTLS, s.CA.PEM
	}
	return g
}

// world is a carrier that runs, and what it has told its group.
type world struct {
	*gateway.Carrier
	mu   sync.Mutex
	told []gateway.Fate
	tags map[gateway.Tag]gateway.Fate
	news chan struct{}
	no   error // to sending again
}

func run(t *testing.T, gs ...mfa.Gateway) *world {
	t.Helper()
	w := &world{tags: map[gateway.Tag]gateway.Fate{}, news: make(chan struct{}, 100)}
	w.Carrier = gateway.New(gateway.Options{Gateways: func() []mfa.Gateway { return gs }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Spend: func(context.Context, mfa.Gateway, int) error { return nil },
		Callback: func(g mfa.Gateway, m gateway.Message) (string, error) {
			return g.Receipts + "/" + g.Name + "/" + m.ID, nil
		},
		Again: func(context.Context, gateway.Message) error { return w.no },
		Tell: func(_ context.Context, tag gateway.Tag, f gateway.Fate, _ string) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told, w.tags[tag] = append(w.told, f), f
			w.news <- struct{}{}
			return nil
		}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.Close()
	})
	return w
}

// hears waits until the group is told of something.
func (w *world) hears(t *testing.T) {
	t.Helper()
	select {
	case <-w.news:
	case <-time.After(30 * time.Second):
		t.Fatal("the group was told nothing")
	}
}

func textTo(text string) gateway.Message {
	return gateway.Message{ID: "m1", Kind: mfa.GatewaySMS, To: "+491701234567", Text: secret.FromString(text), Until: time.Now().Add(time.Minute)}
}

func send(t *testing.T, w *world, m gateway.Message) gateway.Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := w.Send(ctx, m)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// await returns what becomes of a message.
func await(t *testing.T, w *world, r gateway.Receipt) gateway.Fate {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return w.Await(ctx, gateway.TagOf(r.Gateway, r.Ref))
}

func TestSMPP(t *testing.T) {
	ca := mfatest.NewCA(t)
	long := strings.Repeat("Zeichen und Wände ", 12) + "{€}" // 219 of the GSM alphabet with escapes
	for _, tt := range []struct {
		name   string
		ca     *mfatest.CA
		manner mfatest.Manner
		change func(*mfa.Gateway)
		text   string
		parts  int
		coding byte
		want   gateway.Fate
	}{
		{"3.4", nil, mfatest.Manner{Version: 0x34, Receipt: "DELIVRD"}, nil, "Code 123456 für Zürich @ [10 €]", 1, 0, gateway.Arrived},
		{"5.0 over TLS", ca, mfatest.Manner{Version: 0x50, Receipt: "DELIVRD", TLVs: true}, func(g *mfa.Gateway) { g.SMPP.Version = mfa.SMPP50 }, "Code 123456", 1, 0, gateway.Arrived},
		{"UCS-2", nil, mfatest.Manner{Receipt: "DELIVRD", Early: true}, nil, "Код 123456 😀", 1, 8, gateway.Arrived},
		{"always UCS-2", nil, mfatest.Manner{Receipt: "DELIVRD"}, func(g *mfa.Gateway) { g.SMPP.Alphabet = mfa.AlphabetUCS }, "Code", 1, 8, gateway.Arrived},
		{"in parts by header", nil, mfatest.Manner{Receipt: "DELIVRD", Decimal: true}, nil, long, 2, 0, gateway.Arrived},
		{"in parts by parameters", nil, mfatest.Manner{Receipt: "DELIVRD"}, func(g *mfa.Gateway) { g.SMPP.Parts = mfa.PartsBySAR }, long, 2, 0, gateway.Arrived},
		{"UCS-2 in parts", nil, mfatest.Manner{Receipt: "DELIVRD"}, nil, strings.Repeat("😀", 40), 2, 8, gateway.Arrived},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.manner.Login, tt.manner.Password = "corp", "hush-hush"
			s := mfatest.NewSMSC(t, tt.ca, tt.manner)
			g := smppGateway("provider", s)
			if tt.change != nil {
				tt.change(&g)
			}
			w := run(t, g)
			r := send(t, w, textTo(tt.text))
			if f := await(t, w, r); f != tt.want || r.Parts != tt.parts || !r.Followed() {
				t.Errorf("fate %d, %+v", f, r)
			}
			got := s.Await(t, "the message", func(s mfatest.Seen) bool { return len(s.Texts) == 1 }).Texts[0]
			if got.Text != tt.text || got.Parts != tt.parts || got.Coding != tt.coding || got.To != "+491701234567" || got.From != "Corp" || !got.Receipt || got.Validity == "" {
				t.Errorf("arrived %+v", got)
			}
			if h := w.Health(g); h.Sent != 1 || h.Delivered != 1 {
				t.Errorf("health %+v", h)
			}
			w.Close()
			if seen := s.Await(t, "the end of the bind", func(s mfatest.Seen) bool { return s.Bound == 0 }); seen.Unbinds != 1 || seen.Binds != 1 {
				t.Errorf("at the end %+v", seen)
			}
		})
	}
}

// An answer counts, also when the gateway closes the connection right after it.
func TestSMPPLastWord(t *testing.T) {
	t.Parallel()
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{BindStatus: 5})
	for range 300 { // which of the two is seen first is chance
		if _, err := run(t, smppGateway("bad", s)).Send(t.Context(), textTo("Code 123456")); !errors.Is(err, mfa.GatewayRefused) {
			t.Fatalf("%v, want %s", err, mfa.GatewayRefused)
		}
	}
}

// A gateway can be down, slow, deaf, out of credit and more, and each is a reason of its own;
// the next gateway is asked.
func TestSMPPFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		manner mfatest.Manner
		change func(*mfa.Gateway)
		want   mfa.Reason
	}{
		{"nobody listens", mfatest.Manner{}, func(g *mfa.Gateway) { g.Address = "127.0.0.1:9" }, mfa.GatewayDown},
		{"deaf", mfatest.Manner{Deaf: true}, func(g *mfa.Gateway) { g.Timeout = 200 * time.Millisecond }, mfa.GatewaySlow},
		{"slow", mfatest.Manner{Delay: time.Second}, func(g *mfa.Gateway) { g.Timeout = 200 * time.Millisecond }, mfa.GatewaySlow},
		{"throttling for ever", mfatest.Manner{Status: 0x58}, func(g *mfa.Gateway) { g.Timeout = time.Second }, mfa.GatewaySlow},
		{"out of credit", mfatest.Manner{Status: 0x411}, func(g *mfa.Gateway) {
			g.SMPP.Refuse = []mfa.SMPPRule{{Status: 0x411, Reason: "gateway_no_credit"}}
		}, mfa.GatewayNoCredit},
		{"a status that nobody has explained", mfatest.Manner{Status: 0x411}, nil, mfa.GatewayRefused},
		{"wrong password", mfatest.Manner{Login: "corp", Password: "other"}, nil, mfa.GatewayRefused},
		{"bound already", mfatest.Manner{BindStatus: 5}, nil, mfa.GatewayRefused},
		{"another version", mfatest.Manner{Version: 0x50}, nil, mfa.GatewayRefused},
		{"broken inside", mfatest.Manner{Status: 8}, nil, mfa.GatewayDown},
		{"no such number", mfatest.Manner{Status: 0x0B}, nil, mfa.RecipientRefused},
		{"TLS that is none", mfatest.Manner{}, func(g *mfa.Gateway) { g.TLS = mfa.GatewayTLS }, mfa.GatewayDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := mfatest.NewSMSC(t, nil, tt.manner)
			g := smppGateway("bad", s)
			if tt.change != nil {
				tt.change(&g)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			alone := run(t, g)
			_, err := alone.Send(ctx, textTo("Code 123456"))
			reason(t, "alone", err, tt.want)
			if err != nil && (strings.Contains(err.Error(), "hush") || strings.Contains(err.Error(), "1701234567") || strings.Contains(err.Error(), "123456")) {
				t.Errorf("the error tells too much: %v", err)
			}
			good := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
			w := run(t, g, smppGateway("good", good))
			if r, err := w.Send(ctx, textTo("Code 123456")); err != nil || r.Gateway != "good" {
				t.Errorf("with another one: %+v, %v", r, err)
			}
			if h := w.Health(g); h.Failed != 1 || h.Reason != tt.want {
				t.Errorf("health %+v", h)
			}
		})
	}
}

func TestSMPPThrottledForAWhile(t *testing.T) {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{Status: 0x58, Times: 2})
	g := smppGateway("provider", s)
	w := run(t, g)
	if r := send(t, w, textTo("Code")); r.Gateway != "provider" {
		t.Errorf("got %+v", r)
	}
	if seen := s.Seen(); seen.Refused != 2 || seen.Binds != 1 {
		t.Errorf("seen %+v", seen)
	}
}

// A bind that is dropped is made anew: when something is to be sent, and while a receipt is
// awaited.
func TestSMPPDroppedBind(t *testing.T) {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{})
	g := smppGateway("provider", s)
	g.SMPP.Enquire = time.Second
	w := run(t, g)
	send(t, w, textTo("one"))
	s.Await(t, "enquire_link", func(s mfatest.Seen) bool { return s.Enquires >= 2 })
	s.Drop()
	s.Await(t, "a second bind, for the receipt", func(s mfatest.Seen) bool { return s.Binds == 2 && s.Bound == 1 })
	s.Unbind()
	s.Await(t, "the unbinding", func(s mfatest.Seen) bool { return s.Bound == 0 || s.Binds == 3 })
	send(t, w, textTo("two"))
	s.Set(func(m *mfatest.Manner) { m.Deaf = true })
	before := s.Seen().Binds
	s.Await(t, "the end of a bind that answers no enquire_link", func(s mfatest.Seen) bool { return s.Bound == 0 })
	s.Set(func(m *mfatest.Manner) { m.Deaf = false })
	s.Await(t, "another bind", func(s mfatest.Seen) bool { return s.Binds > before && s.Bound == 1 })
	send(t, w, textTo("three"))
	if texts := s.Seen().Texts; len(texts) != 3 {
		t.Errorf("arrived %+v", texts)
	}
}

func TestSMPPWindow(t *testing.T) {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{Delay: 20 * time.Millisecond})
	g := smppGateway("provider", s)
	g.SMPP.Window = 2
	w := run(t, g)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if _, err := w.Send(t.Context(), textTo("Code")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if seen := s.Seen(); seen.Most != 2 || seen.Binds != 1 || len(seen.Texts) != 20 {
		t.Errorf("at most %d under way, %d binds, %d arrived", seen.Most, seen.Binds, len(seen.Texts))
	}
}

// What one gateway does not deliver another one gets, once, with the same text; the group is
// told only if none does.
func TestUndelivered(t *testing.T) {
	bad := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "UNDELIV", Err: "027", Early: true})
	good := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
	g := smppGateway("bad", bad)
	w := run(t, g, smppGateway("good", good))
	r := send(t, w, textTo("Code 123456"))
	if f := await(t, w, r); r.Gateway != "bad" || f != gateway.Arrived {
		t.Fatalf("%+v, fate %d", r, f)
	}
	if got := good.Seen().Texts; len(got) != 1 || got[0].Text != "Code 123456" {
		t.Errorf("the other one got %+v", got)
	}
	if h := w.Health(g); h.Undelivered != 1 || h.Doubts != 1 || h.Failed != 0 {
		t.Errorf("health %+v", h)
	}
	good.Set(func(m *mfatest.Manner) { m.Receipt = "REJECTD" })
	r = send(t, w, textTo("Code 234567"))
	if f := await(t, w, r); f != gateway.Lost {
		t.Errorf("by neither: fate %d", f)
	}
	w.hears(t)
	if len(w.told) != 1 || w.tags[gateway.TagOf(r.Gateway, r.Ref)] != gateway.Lost {
		t.Errorf("told %v of %v", w.told, w.tags)
	}
	good.Set(func(m *mfatest.Manner) { m.Receipt = "DELIVRD" })
	w.no = mfa.TooManyMessages
	r = send(t, w, textTo("Code 345678"))
	if f := await(t, w, r); f != gateway.Lost || len(good.Seen().Texts) != 1 {
		t.Errorf("beyond the limits: fate %d, %+v", f, good.Seen())
	}
	w.no = nil
	// The third in a row: from now on the other one is asked first.
	r = send(t, w, textTo("Code 456789"))
	if f := await(t, w, r); r.Gateway != "good" || f != gateway.Arrived || !w.Health(g).Doubtful(time.Now()) {
		t.Errorf("after three: %+v, fate %d, %+v", r, f, w.Health(g))
	}
}

// A code that another one has taken the place of is not sent again.
func TestUndeliveredAndReplaced(t *testing.T) {
	bad := mfatest.NewSMSC(t, nil, mfatest.Manner{})
	good := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD"})
	w := run(t, smppGateway("bad", bad), smppGateway("good", good))
	first := textTo("Code 111111")
	first.For = "attempt"
	r := send(t, w, first)
	second := textTo("Code 222222")
	second.For, second.Instead = "attempt", "bad"
	if f := await(t, w, send(t, w, second)); f != gateway.Arrived {
		t.Fatalf("the second: %d", f)
	}
	w.Learn(gateway.TagOf("bad", r.Ref), gateway.Lost, "UNDELIV")
	if f, known := w.Fate(gateway.TagOf("bad", r.Ref)); known {
		t.Errorf("the first is still followed: %d", f)
	}
	bad.Set(func(m *mfatest.Manner) { m.Receipt = "DELIVRD" })
	if f := await(t, w, send(t, w, textTo("Code 333333"))); f != gateway.Arrived { // and what was learnt before has been dealt with
		t.Errorf("the third: %d", f)
	}
	for _, text := range good.Seen().Texts {
		if text.Text == "Code 111111" {
			t.Error("the code that was replaced was sent again")
		}
	}
}

// The receipt comes to another server than the one that sent: that one tells the group, and
// this one does what it says.
func TestReceiptsAtAnotherServer(t *testing.T) {
	s := mfatest.NewSMSC(t, nil, mfatest.Manner{})
	here, there := run(t, smppGateway("provider", s)), run(t, smppGateway("provider", s))
	send(t, there, textTo("so that it is bound"))
	s.Set(func(m *mfatest.Manner) { m.Receipt, m.Elsewhere, m.Decimal = "EXPIRED", true, true })
	r := send(t, here, textTo("Code 123456"))
	tag := gateway.TagOf("provider", r.Ref)
	there.hears(t)
	there.hears(t) // the id in both its forms
	there.mu.Lock()
	f := there.tags[tag]
	there.mu.Unlock()
	if f != gateway.Lost {
		t.Fatalf("told %v, want %v lost", there.tags, tag)
	}
	here.Learn(tag, gateway.Lost, "EXPIRED")
	if f := await(t, here, r); f != gateway.Lost {
		t.Errorf("fate %d", f)
	}
	if _, known := there.Fate(tag); known {
		t.Error("the other server takes it for its own")
	}
}

func TestSMPPProbe(t *testing.T) {
	s := mfatest.NewSMSC(t, mfatest.NewCA(t), mfatest.Manner{Login: "corp", Password: "hush-hush"})
	g := smppGateway("provider", s)
	steps := run(t, g).Probe(t.Context(), g)
	var names []string
	for _, s := range steps {
		if !s.OK {
			t.Errorf("%+v", s)
		}
		names = append(names, s.Name)
	}
	if got := strings.Join(names, ", "); got != "name lookup, connection, TLS, bind, link" {
		t.Errorf("tried %s", got)
	}
	for _, tt := range []struct {
		layer  string
		change func(*mfa.Gateway)
	}{
		{"name", func(g *mfa.Gateway) { g.Address = "nowhere.invalid:2775" }}, {"tcp", func(g *mfa.Gateway) { g.Address = "127.0.0.1:9" }},
		{"tls", func(g *mfa.Gateway) { g.CAs = "" }}, {"smpp", func(g *mfa.Gateway) { g.Password = secret.FromString("x") }},
	} {
		bad := g
		tt.change(&bad)
		steps := run(t, bad).Probe(t.Context(), bad)
		if last := steps[len(steps)-1]; last.OK || last.Layer != tt.layer || last.NextStep == "" {
			t.Errorf("%s: %+v", tt.layer, steps)
		}
	}
	s.Set(func(m *mfatest.Manner) { m.Deaf = true })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	deaf := run(t, g)
	if steps := deaf.Probe(ctx, g); steps[len(steps)-1].Name != "bind" || steps[len(steps)-1].OK {
		t.Errorf("deaf: %+v", steps)
	}
	if _, err := deaf.Send(ctx, textTo("Code")); !errors.As(err, new(mfa.Reason)) {
		t.Errorf("deaf: %v", err)
	}
}
