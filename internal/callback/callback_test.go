package callback

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

var (
	loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	noon     = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
)

func sender() *Sender {
	return &Sender{Now: func() time.Time { return noon }, Log: slog.New(slog.DiscardHandler), Pauses: []time.Duration{time.Millisecond, time.Millisecond}}
}

func shop(s *httptest.Server) mfa.Application {
	a := mfa.Application{Name: "shop", Secret: secret.FromString("signing key"), Callback: mfa.Callback{URL: s.URL + "/done?order=7", Networks: loopback}}
	if c := s.Certificate(); c != nil {
		a.Callback.CAs = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
	}
	return a
}

// A message is tried until it is taken; each try has its id and a signature over the body.
func TestPost(t *testing.T) {
	var tries atomic.Int32
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != `{"verdict":"accept"}` || r.Method != http.MethodPost || r.URL.RequestURI() != "/done?order=7" || r.Header.Get(IDHeader) != "m1" ||
			r.Header.Get(SignatureHeader) != Sign(secret.FromString("signing key"), noon, body) || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s %v %s, %v", r.Method, r.URL, r.Header, body, err)
		}
		if tries.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	if err := sender().Post(t.Context(), shop(s), "m1", []byte(`{"verdict":"accept"}`)); err != nil || tries.Load() != 3 {
		t.Errorf("%v after %d tries", err, tries.Load())
	}
}

// The signature is what another program makes of the same:
// printf '1795953600.{}' | openssl dgst -sha256 -hmac 'signing key'
func TestSign(t *testing.T) {
	const want = "t=1795953600,v1=a3d455a35e9adeb77416a7927a1254e4fddbcbffcf5ed424a5e3bdd82033a6ae"
	if got := Sign(secret.FromString("signing key"), noon, []byte("{}")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// What does not take a message gets it so often and no more; what refuses it gets it once.
func TestPostEnds(t *testing.T) {
	for status, want := range map[int]int32{500: 3, 429: 3, 408: 3, 404: 1, 403: 1, 302: 3} {
		var tries atomic.Int32
		s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/done" {
				t.Errorf("%s: somebody else's address was followed", r.URL)
			}
			tries.Add(1)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		err := sender().Post(t.Context(), shop(s), "m1", []byte("{}"))
		if err == nil || tries.Load() != want || !strings.Contains(err.Error(), `application "shop"`) || strings.Contains(err.Error(), "order=7") {
			t.Errorf("%d: %d tries, %v", status, tries.Load(), err)
		}
		s.Close()
	}
}

// Where a callback may not go it does not even connect; nor on with a certificate of a stranger.
func TestGuard(t *testing.T) {
	var asked atomic.Int32
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) })
	https, plainly := httptest.NewTLSServer(h), httptest.NewServer(h)
	defer https.Close()
	defer plainly.Close()
	for name, c := range map[string]struct {
		server *httptest.Server
		change func(*mfa.Callback)
		want   string // "": it goes
	}{
		"https in an allowed network":      {https, func(*mfa.Callback) {}, ""},
		"http in an allowed network":       {plainly, func(*mfa.Callback) {}, ""},
		"https to loopback":                {https, func(c *mfa.Callback) { c.Networks = nil }, "no public address"},
		"http to loopback":                 {plainly, func(c *mfa.Callback) { c.Networks = nil }, "without TLS"},
		"another network":                  {https, func(c *mfa.Callback) { c.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, "no public address"},
		"a name that is loopback":          {https, func(c *mfa.Callback) { c.URL, c.Networks = strings.Replace(c.URL, "127.0.0.1", "localhost", 1), nil }, "no public address"},
		"the certificate is of no such CA": {https, func(c *mfa.Callback) { c.CAs = "" }, "unknown authority"},
		"the CA's certificate is none":     {https, func(c *mfa.Callback) { c.CAs = "rubbish" }, "callback_ca_pem"},
		"a file":                           {https, func(c *mfa.Callback) { c.URL = "file:///etc/passwd" }, "callback_url"},
		"an unspecified address":           {plainly, func(c *mfa.Callback) { c.URL = strings.Replace(c.URL, "127.0.0.1", "0.0.0.0", 1) }, "without TLS"},
		"an IPv4 address in IPv6's clothes": {https, func(c *mfa.Callback) {
			c.URL, c.Networks = strings.Replace(c.URL, "127.0.0.1", "[::ffff:127.0.0.1]", 1), nil
		}, "no public address"},
	} {
		asked.Store(0)
		a := shop(c.server)
		c.change(&a.Callback)
		err := sender().Post(t.Context(), a, "m1", []byte("{}"))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) || (asked.Load() > 0) != (c.want == "") {
			t.Errorf("%s: %v, asked %d times", name, err, asked.Load())
		}
	}
}

// Whoever stops the server does not wait for the pauses.
func TestPostStops(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	defer s.Close()
	ctx, stop := context.WithCancel(t.Context())
	p := sender()
	p.Pauses = []time.Duration{time.Hour}
	done := make(chan error)
	go func() { done <- p.Post(ctx, shop(s), "m1", []byte("{}")) }()
	stop()
	if err := <-done; err == nil || errors.Is(err, errForbidden) {
		t.Errorf("%v", err)
	}
}
