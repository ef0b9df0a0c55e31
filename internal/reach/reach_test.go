package reach

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/pki"
)

// world is one server at an address, and a target that reaches it.
type world struct {
	t      *testing.T
	ca     pki.CA
	server tls.Certificate
	client tls.Certificate
	status int
	shift  time.Duration // of the server's clock
	Target
}

func issue(t *testing.T, ca pki.CA, name string, at time.Time) tls.Certificate {
	t.Helper()
	p, err := ca.Issue(pki.Subject{Name: name, DNS: []string{"localhost"}, IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}, at)
	if err != nil {
		t.Fatal(err)
	}
	c, err := p.TLS()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newWorld(t *testing.T) *world {
	ca, err := pki.NewCA("corp", time.Now().AddDate(0, 0, -100))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, ca: ca, server: issue(t, ca, "n2", time.Now()), client: issue(t, ca, "n1", time.Now()), status: http.StatusOK}
	w.Target = Target{Server: "n2", Setting: "advertise.peer", Path: "/peer/v1/report", Roots: ca.Pool(), Now: time.Now,
		Certificate: func() (*tls.Certificate, error) { return &w.client, nil },
		Key: func(d string) (string, bool) {
			return "n2", d == pki.KeyDigest(w.server.Leaf.RawSubjectPublicKeyInfo)
		}}
	return w
}

func (w *world) serve() {
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Date", time.Now().Add(w.shift).UTC().Format(http.TimeFormat))
		rw.WriteHeader(w.status)
	}))
	h.TLS = &tls.Config{Certificates: []tls.Certificate{w.server}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: w.ca.Pool(), MinVersion: tls.VersionTLS13}
	h.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.StartTLS()
	w.t.Cleanup(h.Close)
	w.Address = h.Listener.Addr().String()
}

// listen accepts connections and does with them as said.
func (w *world) listen(do func(net.Conn)) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	w.Address = l.Addr().String()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			w.t.Cleanup(func() { c.Close() }) // and not before
			do(c)
		}
	}()
}

// Each case breaks exactly one layer.
func TestEachLayer(t *testing.T) {
	for _, c := range []struct {
		name       string
		arrange    func(w *world)
		layer      string
		says, does string // in detail and next step
		ok         bool
	}{
		{"all is well", func(w *world) { w.serve() }, HTTP, "certificate of n2 until", "", true},
		{"not even an address", func(w *world) { w.Address = "n2" }, Lookup, "missing port", "set advertise.peer of n2", false},
		{"a name that nobody knows", func(w *world) { w.Address = "n2.invalid:7443" }, Lookup, "n2.invalid", "put n2.invalid into the DNS", false},
		{"a closed port", func(w *world) {
			l, _ := net.Listen("tcp", "127.0.0.1:0")
			w.Address = l.Addr().String()
			l.Close()
		},
			TCP, "connection refused", "start the server on n2", false},
		{"nobody answers", func(w *world) { w.listen(func(net.Conn) {}) }, TLS, "no answer within 2s", "stopped or hangs", false},
		{"something else", func(w *world) { w.listen(func(c net.Conn) { _, _ = c.Write([]byte("SSH-2.0-OpenSSH\r\n")) }) }, TLS, "does not look like a TLS handshake", "something else than a countersign server", false},
		{"another authority", func(w *world) {
			other := newWorld(w.t)
			w.serve()
			w.Roots = other.ca.Pool()
		}, TLS, "not of this group's authority", "another group", false},
		{"an expired certificate", func(w *world) { w.server = issue(w.t, w.ca, "n2", time.Now().AddDate(0, 0, -91)); w.serve() }, TLS, "expired at", "renewed", false},
		{"a certificate of tomorrow", func(w *world) { w.server = issue(w.t, w.ca, "n2", time.Now().AddDate(0, 0, 2)); w.serve() }, TLS, "is valid from", "clocks", false},
		{"another name", func(w *world) {
			w.serve()
			_, port, _ := net.SplitHostPort(w.Address)
			w.Address = "127.0.0.2:" + port
			w.onEvery(port)
		}, TLS, "127.0.0.2", "set advertise.peer of n2 to a name", false},
		{"a clock", func(w *world) { w.shift = 15 * time.Second; w.serve() }, TLS, "the clock of n2 is 1", "chrony", false},
		{"a clock within bounds", func(w *world) { w.shift = -8 * time.Second; w.serve() }, HTTP, "", "", true},
		{"our certificate is refused", func(w *world) { w.client = issue(w.t, newWorld(w.t).ca, "n1", time.Now()); w.serve() }, TLS, "n2 refuses this server's certificate", "activate it anew", false},
		{"a key that is not on record", func(w *world) { w.serve(); w.Key = func(string) (string, bool) { return "", false } }, Authorisation, "of no server on record", "activate it anew", false},
		{"another server", func(w *world) { w.serve(); w.Key = func(string) (string, bool) { return "n3", true } }, Authorisation, "is n3, not n2", "correct advertise.peer", false},
		{"an HTTP server that hangs", func(w *world) {
			w.listen(func(c net.Conn) {
				s := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{w.server}})
				go func() { _ = s.Handshake() }()
			})
		}, HTTP, "no answer within 2s", "stopped answering", false},
		{"a status is the caller's", func(w *world) { w.status = 503; w.serve() }, HTTP, "answers with status 503", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c.arrange(w)
			r := Try(t.Context(), w.Target)
			if r.Layer != c.layer || r.OK != c.ok || !strings.Contains(r.Detail, c.says) || !strings.Contains(r.NextStep, c.does) || (r.NextStep == "") != c.ok {
				t.Errorf("got %+v", r)
			}
		})
	}
}

// onEvery has the port answer on 127.0.0.2 too, with the same server.
func (w *world) onEvery(port string) {
	l, err := net.Listen("tcp", "127.0.0.2:"+port)
	if err != nil {
		w.t.Skip(err)
	}
	secure := tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{w.server}, MinVersion: tls.VersionTLS13})
	s := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = s.Serve(secure) }()
	w.t.Cleanup(func() { s.Close() })
}

// It ends with the caller's patience.
func TestItEndsInTime(t *testing.T) {
	w := newWorld(t)
	w.listen(func(net.Conn) {})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if r := Try(ctx, w.Target); r.OK || r.Layer != TLS || time.Since(began) > layerTimeout {
		t.Errorf("after %s: %+v", time.Since(began), r)
	}
}
