package gateway_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

// carrier returns one that has the gateways.
func carrier(gs ...mfa.Gateway) *gateway.Carrier {
	return gateway.New(gateway.Options{Gateways: func() []mfa.Gateway { return gs }, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		Spend: func(_ context.Context, g mfa.Gateway, parts int) error {
			if parts > g.CapDay {
				return mfa.SpendCapReached
			}
			return nil
		}})
}

func mailGateway(name, address string) mfa.Gateway {
	return mfa.Gateway{Name: name, Kind: mfa.GatewayMail, Protocol: mfa.GatewaySMTP, Address: address, TLS: mfa.GatewayStartTLS, From: "mfa@corp.example"}
}

func letter(to string) gateway.Message {
	return gateway.Message{Kind: mfa.GatewayMail, To: to, Subject: "Your code", Text: secret.FromString("Ihr Code für VPN lautet 123456.\n")}
}

// reason wants an error that holds one reason.
func reason(t *testing.T, what string, err error, want mfa.Reason) {
	t.Helper()
	var why mfa.Reason
	if !errors.As(err, &why) || why != want {
		t.Errorf("%s: got %v, want %s", what, err, want)
	}
}

func TestMailOverARealServer(t *testing.T) {
	s := mfatest.Exim(t)
	good := mailGateway("relay", s.Address)
	good.CAs, good.Login, good.Password = s.CA.PEM, s.Login, secret.FromString(s.Password)
	n := 0
	for _, tt := range []struct {
		name   string
		change func(*mfa.Gateway)
		to     string
		want   mfa.Reason
	}{
		{"STARTTLS and login", func(*mfa.Gateway) {}, "alice@test.example", mfa.ReasonNone},
		{"TLS from the first byte", func(g *mfa.Gateway) { g.TLS, g.Address = mfa.GatewayTLS, s.TLS }, "alice@test.example", mfa.ReasonNone},
		{"wrong password", func(g *mfa.Gateway) { g.Password = secret.FromString("x") }, "alice@test.example", mfa.GatewayRefused},
		{"no login", func(g *mfa.Gateway) { g.Login = "" }, "alice@test.example", mfa.RecipientRefused},
		{"an authority that is not its own", func(g *mfa.Gateway) { g.CAs = "" }, "alice@test.example", mfa.GatewayDown},
		{"TLS where STARTTLS is spoken", func(g *mfa.Gateway) { g.TLS = mfa.GatewayTLS }, "alice@test.example", mfa.GatewayDown},
		{"login without TLS", func(g *mfa.Gateway) { g.TLS = mfa.GatewayPlain }, "alice@test.example", mfa.GatewayRefused},
		{"nobody of that name", func(*mfa.Gateway) {}, "nobody@test.example", mfa.RecipientRefused},
		{"a full mailbox", func(*mfa.Gateway) {}, "full@test.example", mfa.GatewayRefused},
		{"no address", func(*mfa.Gateway) {}, "alice@test.example\r\nRCPT TO:<eve@test.example>", mfa.RecipientRefused},
		{"nobody listens", func(g *mfa.Gateway) { g.Address = "127.0.0.1:" + mfatest.FreePort(t) }, "alice@test.example", mfa.GatewayDown},
		{"no such name", func(g *mfa.Gateway) { g.Address = "nowhere.invalid:25" }, "alice@test.example", mfa.GatewayDown},
	} {
		g := good
		tt.change(&g)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		r, err := carrier(g).Send(ctx, letter(tt.to))
		cancel()
		if tt.want == mfa.ReasonNone {
			if n++; err != nil || r.Gateway != "relay" || r.Ref == "" {
				t.Errorf("%s: %+v, %v", tt.name, r, err)
			}
			continue
		}
		reason(t, tt.name, err, tt.want)
		if strings.Contains(err.Error(), "alice@") || strings.Contains(err.Error(), s.Password) {
			t.Errorf("%s: the error tells too much: %v", tt.name, err)
		}
	}
	mails := s.Await(t, n)
	if len(mails) != n {
		t.Errorf("%d mails arrived, want %d", len(mails), n)
	}
	for _, want := range []string{"Subject: Your code", "From: <mfa@corp.example>", "To: <alice@test.example>", "Auto-Submitted: auto-generated", "123456", "Message-ID: "} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("the mail lacks %q:\n%s", want, mails[0])
		}
	}
}

// silent accepts connections and says nothing.
func silent(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
		}
	}()
	return l.Addr().String()
}

func TestFailoverWithinTheTime(t *testing.T) {
	s := mfatest.Exim(t)
	good := mailGateway("second", s.Address)
	good.CAs, good.Login, good.Password = s.CA.PEM, s.Login, secret.FromString(s.Password)
	slow := mailGateway("first", silent(t))
	slow.Timeout = 20 * time.Second
	c := carrier(slow, good)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // less than the first alone would take
	defer cancel()
	if r, err := c.Send(ctx, letter("alice@test.example")); err != nil || r.Gateway != "second" {
		t.Fatalf("got %+v, %v", r, err)
	}
	if h := c.Health(slow); h.InARow != 1 || h.Reason != mfa.GatewaySlow || !h.Ailing(time.Now()) {
		t.Errorf("health of the slow one: %+v", h)
	}
	began := time.Now()
	if r, err := c.Send(ctx, letter("alice@test.example")); err != nil || r.Gateway != "second" {
		t.Fatalf("got %+v, %v", r, err)
	}
	if h := c.Health(slow); h.Failed != 1 {
		t.Errorf("the slow one was asked first once more (%s): %+v", time.Since(began), h)
	}
	_, err := carrier().Send(ctx, letter("alice@test.example"))
	reason(t, "no gateway", err, mfa.NoGateway)
	_, err = carrier(slow).Send(ctx, letter("alice@test.example"))
	reason(t, "only a slow one", err, mfa.GatewaySlow)
}
