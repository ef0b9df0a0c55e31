package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/provider"
	"countersign/internal/secret"
)

func smsGateway(t *testing.T, name, url string) mfa.Gateway {
	t.Helper()
	p, err := provider.ByName("json")
	if err != nil {
		t.Fatal(err)
	}
	return mfa.Gateway{Name: name, Kind: mfa.GatewaySMS, Protocol: mfa.GatewayHTTP, Address: url, Password: secret.FromString("api-token"), From: "Corp",
		Private: true, Countries: []string{"DE"}, HTTP: p.HTTPTemplate}
}

func sms(to string) gateway.Message {
	return gateway.Message{ID: "m1", Kind: mfa.GatewaySMS, To: to, Text: secret.FromString("Code 123456")}
}

// A gateway can be down, slow, lying or out of credit, and each is a reason of its own.
func TestSMSOverHTTP(t *testing.T) {
	var got map[string]string
	var asked atomic.Int32
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id":"ref-7"}`)
	}
	var now atomic.Pointer[http.HandlerFunc]
	act := func(h http.HandlerFunc) { now.Store(&h) }
	act(answer)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // without which the server does not see that its client has gone
		if asked.Add(1) == 1 {
			got = map[string]string{}
			_ = json.Unmarshal(body, &got)
			got["auth"] = r.Header.Get("Authorization")
		}
		(*now.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	g := smsGateway(t, "provider", s.URL)
	r, err := carrier(g).Send(t.Context(), sms("+491701234567"))
	if err != nil || r != (gateway.Receipt{Gateway: "provider", Ref: "ref-7", Parts: 1}) {
		t.Fatalf("got %+v, %v", r, err)
	}
	want := map[string]string{"to": "+491701234567", "from": "Corp", "text": "Code 123456", "reference": "m1", "auth": "Bearer api-token"}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: sent %q, want %q", k, got[k], v)
		}
	}

	for _, tt := range []struct {
		name   string
		h      http.HandlerFunc
		change func(*mfa.Gateway)
		to     string
		want   mfa.Reason
		asks   int32
	}{
		{"out of credit", status(http.StatusPaymentRequired, ""), nil, "", mfa.GatewayNoCredit, 1},
		{"broken", status(http.StatusBadGateway, "<html>"), nil, "", mfa.GatewayDown, 1},
		{"login refused", status(http.StatusUnauthorized, `{"error":"api-token is wrong"}`), nil, "", mfa.GatewayRefused, 1},
		{"redirected", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, nil, "", mfa.GatewayRefused, 1},
		{"slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(g *mfa.Gateway) { g.Timeout = 100 * time.Millisecond }, "", mfa.GatewaySlow, 1},
		{"a page where a document is due", status(http.StatusOK, "<html>welcome"), func(g *mfa.Gateway) { g.HTTP.Accept = []mfa.HTTPRule{{Path: "ok", Value: "true"}} }, "", mfa.GatewayRefused, 1},
		{"an endless answer", func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, func(g *mfa.Gateway) { g.HTTP.Accept = []mfa.HTTPRule{{Path: "ok", Value: "true"}} }, "", mfa.GatewayRefused, 1},
		{"a country that is not allowed", answer, nil, "+18765550100", mfa.CountryNotAllowed, 0},
		{"a number of no country", answer, nil, "+881612345678", mfa.CountryNotAllowed, 0},
		{"no country at all", answer, func(g *mfa.Gateway) { g.Countries = nil }, "", mfa.CountryNotAllowed, 0},
		{"a cap that is reached", answer, func(g *mfa.Gateway) { g.CapDay = 1; g.HTTP.Body = `{"to":"{number}","text":"{text}"}` }, "two parts", mfa.SpendCapReached, 0},
		{"a private address", answer, func(g *mfa.Gateway) { g.Private = false }, "", mfa.GatewayRefused, 0},
		{"nobody listens", answer, func(g *mfa.Gateway) { g.Address = "http://127.0.0.1:9" }, "", mfa.GatewayDown, 0},
		{"a text without end", answer, func(*mfa.Gateway) {}, "long", mfa.GatewayRefused, 0},
	} {
		act(tt.h)
		bad := g
		if tt.change != nil {
			tt.change(&bad)
		}
		m := sms("+491701234567")
		switch tt.to {
		case "":
		case "two parts":
			m.Text = secret.FromString(strings.Repeat("x", 200))
		case "long":
			m.Text = secret.FromString(strings.Repeat("x", 700))
		default:
			m.To = tt.to
		}
		before := asked.Load()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := carrier(bad).Send(ctx, m)
		cancel()
		reason(t, tt.name, err, tt.want)
		if n := asked.Load() - before; n != tt.asks {
			t.Errorf("%s: the gateway was asked %d times, want %d", tt.name, n, tt.asks)
		}
		for _, secret := range []string{"api-token", "123456", "1701234567"} {
			if err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: the error tells too much: %v", tt.name, err)
			}
		}
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, body) }
}

func TestTheSecondGatewayIsAsked(t *testing.T) {
	s := httptest.NewServer(status(http.StatusOK, `{}`))
	t.Cleanup(s.Close)
	dead, good, foreign := smsGateway(t, "dead", "http://127.0.0.1:9"), smsGateway(t, "good", s.URL), smsGateway(t, "foreign", s.URL)
	foreign.Countries = []string{"AT"}
	r, err := carrier(foreign, dead, good).Send(t.Context(), sms("+491701234567"))
	if err != nil || r.Gateway != "good" {
		t.Errorf("got %+v, %v", r, err)
	}
	other := smsGateway(t, "other", s.URL)
	m := sms("+491701234567")
	m.Instead = "good"
	if r, err := carrier(good, other).Send(t.Context(), m); err != nil || r.Gateway != "other" {
		t.Errorf("instead of the one that delivered nothing: %+v, %v", r, err)
	}
}
