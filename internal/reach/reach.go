// Package reach tries the address of another server layer by layer, from the name to the
// answer of its HTTP server, and stops at the first that fails: it says what is wrong
// there and what to do about it.
package reach

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"countersign/internal/pki"
)

// The layers, in their order. Those behind HTTP are the caller's to judge.
const (
	Lookup        = "lookup"
	TCP           = "tcp"
	TLS           = "tls"
	HTTP          = "http"
	Authorisation = "authorisation"
	Epoch         = "epoch"
	Lag           = "lag"
)

// layerTimeout bounds one layer, and MaxSkew is how far the other's clock may be off.
const (
	layerTimeout = 2 * time.Second
	MaxSkew      = 10 * time.Second
	maxBody      = 1 << 20
)

// Target is what to try. All fields but Certificate, Key, Header and Protocol must be set.
type Target struct {
	Server  string // its name, for the text
	Address string // host:port
	Setting string // of its node file, which holds that address
	Path    string // to GET
	Header  http.Header
	// Protocol is offered in the handshake beside that of HTTP; "": none.
	Protocol string
	Roots    *x509.CertPool
	// Certificate is what this server shows; nil: nothing.
	Certificate func() (*tls.Certificate, error)
	// Key returns the name of the server on record that has a key (pki.KeyDigest); nil: any
	// key that the CA has signed will do.
	Key func(digest string) (name string, ok bool)
	Now func() time.Time
}

// Result is how far a try has come. With OK the other has answered, with whatever status.
type Result struct {
	Layer    string // the last that was tried
	OK       bool
	Detail   string
	NextStep string
	Err      error          // what failed; nil with OK
	Skew     time.Duration  // of the other's clock against ours, to the second; > 0: ahead
	Response *http.Response // read in full
}

// failure is what is wrong at a layer.
type failure struct {
	layer, next string
	err         error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// Try tries t. It takes at most a few seconds, and never longer than ctx.
func Try(ctx context.Context, t Target) Result {
	var said []string
	r := Result{}
	err := t.try(ctx, &r, func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) })
	if f := (*failure)(nil); errors.As(err, &f) {
		return Result{Layer: f.layer, Detail: f.err.Error(), NextStep: f.next, Err: f.err, Skew: r.Skew}
	}
	r.OK, r.Layer, r.Detail = true, HTTP, strings.Join(said, ", ")
	return r
}

func (t *Target) try(ctx context.Context, r *Result, say func(string, ...any)) error {
	host, port, err := net.SplitHostPort(t.Address)
	if err != nil {
		return &failure{Lookup, fmt.Sprintf("set %s of %s to HOST:PORT and restart it", t.Setting, t.Server), err}
	}
	ips, err := t.lookup(ctx, host)
	if err != nil {
		return err
	}
	began := time.Now()
	c, err := t.dial(ctx, ips, port)
	if err != nil {
		return err
	}
	defer c.Close()
	say("connected to %s in %s", c.RemoteAddr(), time.Since(began).Round(100*time.Microsecond))
	secure, err := t.handshake(ctx, c, host)
	if err != nil {
		return err
	}
	leaf := secure.ConnectionState().PeerCertificates[0]
	say("certificate of %s until %s", leaf.Subject.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	if err := t.verify(secure.ConnectionState(), host); err != nil {
		// Its clock, which it tells in its answer, may be the cause.
		if _, asked := t.ask(ctx, secure, r); asked == nil && r.Skew.Abs() > MaxSkew { //nolint:bodyclose // it is read in full, and the connection ends here
			err.next, err.err = clockAdvice, fmt.Errorf("%w (and its clock is %s)", err.err, skew(r.Skew))
		}
		return err
	}
	if r.Response, err = t.ask(ctx, secure, r); err != nil { //nolint:bodyclose // the same
		return err
	}
	if r.Skew.Abs() > MaxSkew {
		return &failure{TLS, clockAdvice, fmt.Errorf("the clock of %s is %s: certificates and codes are good for one time only", t.Server, skew(r.Skew))}
	}
	say("answers with status %d", r.Response.StatusCode)
	return nil
}

const clockAdvice = "set the clocks of both machines right with chrony or systemd-timesyncd; look with timedatectl"

func skew(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(time.Second).String() + " behind ours"
	}
	return d.Round(time.Second).String() + " ahead of ours"
}

func (t *Target) lookup(ctx context.Context, host string) ([]string, error) {
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{host}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, layerTimeout)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return nil, &failure{Lookup, fmt.Sprintf("put %s into the DNS or /etc/hosts of this machine, or correct %s of %s", host, t.Setting, t.Server), err}
	}
	return ips, nil
}

// dial tries all addresses of the name.
func (t *Target) dial(ctx context.Context, ips []string, port string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, layerTimeout)
	defer cancel()
	var last error
	for _, ip := range ips {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(ip, port))
		if err == nil {
			return c, nil
		}
		last = err
	}
	next := fmt.Sprintf("see whether the machine of %s runs, and whether a firewall between here and there lets tcp port %s through", t.Server, port)
	if errors.Is(last, syscall.ECONNREFUSED) {
		next = fmt.Sprintf("start the server on %s (systemctl start countersign); if it runs, compare its %s with its listen address", t.Server, t.Setting)
	}
	return nil, &failure{TCP, next, slow(last)}
}

// slow says in plain words that something took too long.
func slow(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", layerTimeout)
	}
	return err
}

// handshake makes a connection to whoever is there; verify looks at who that is.
func (t *Target) handshake(ctx context.Context, c net.Conn, host string) (*tls.Conn, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, ServerName: host, NextProtos: []string{"http/1.1"}, InsecureSkipVerify: true} // verify does it, and tells more
	if t.Protocol != "" {
		config.NextProtos = append([]string{t.Protocol}, config.NextProtos...)
	}
	if t.Certificate != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.Certificate() }
	}
	ctx, cancel := context.WithTimeout(ctx, layerTimeout)
	defer cancel()
	secure := tls.Client(c, config)
	err := secure.HandshakeContext(ctx)
	var record tls.RecordHeaderError
	switch {
	case err == nil:
		return secure, nil
	case errors.As(err, &record):
		return nil, &failure{TLS, fmt.Sprintf("something else than a countersign server listens there: compare %s of %s with its listen address", t.Setting, t.Server), err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &failure{TLS, fmt.Sprintf("the port is open but nobody answers on it: the server on %s is stopped or hangs; restart it", t.Server), slow(err)}
	}
	return nil, &failure{TLS, "look at the log of " + t.Server + " for its peer port", err}
}

// verify checks chain, time, name and key, in this order.
func (t *Target) verify(s tls.ConnectionState, host string) *failure {
	leaf := s.PeerCertificates[0]
	between := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.Roots, Intermediates: between, CurrentTime: leaf.NotBefore.Add(time.Second), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return &failure{TLS, fmt.Sprintf("a server of another group answers at this address: correct %s of %s, or activate that machine into this group", t.Setting, t.Server),
			fmt.Errorf("its certificate (%s) is not of this group's authority: %w", leaf.Subject.CommonName, err)}
	}
	switch now := t.Now(); {
	case now.After(leaf.NotAfter):
		return &failure{TLS, "look at the log of " + t.Server + " for why its certificate was not renewed, restart it while there is a master, and compare the clocks",
			fmt.Errorf("its certificate expired at %s; here it is %s", leaf.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	case now.Before(leaf.NotBefore):
		return &failure{TLS, clockAdvice, fmt.Errorf("its certificate is valid from %s on; here it is %s", leaf.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))}
	}
	if err := leaf.VerifyHostname(host); err != nil {
		return &failure{TLS, fmt.Sprintf("set %s of %s to a name that its certificate holds, or restart it with this one: it has a certificate made for the name it is called by", t.Setting, t.Server), err}
	}
	if t.Key == nil {
		return nil
	}
	switch name, ok := t.Key(pki.KeyDigest(leaf.RawSubjectPublicKeyInfo)); {
	case !ok:
		return &failure{Authorisation, fmt.Sprintf("if that machine is to be %s: activate it anew with a code of this group; else correct %s of %s", t.Server, t.Setting, t.Server),
			fmt.Errorf("its certificate (%s) is of this group's authority, but its key is that of no server on record", leaf.Subject.CommonName)}
	case name != t.Server:
		return &failure{Authorisation, fmt.Sprintf("correct %s of %s", t.Setting, t.Server), fmt.Errorf("the server that answers there is %s, not %s", name, t.Server)}
	}
	return nil
}

// ask sends the request and reads the answer, from which r gets the other's clock.
func (t *Target) ask(ctx context.Context, c *tls.Conn, r *Result) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, layerTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+t.Address+t.Path, nil)
	if err != nil {
		return nil, &failure{HTTP, "correct " + t.Setting + " of " + t.Server, err}
	}
	if t.Header != nil {
		req.Header = t.Header.Clone()
	}
	transport := &http.Transport{DialTLSContext: func(context.Context, string, string) (net.Conn, error) { return c, nil }, DisableKeepAlives: true}
	sent := t.Now()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return nil, t.unanswered(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, t.unanswered(err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		half := t.Now().Sub(sent) / 2
		r.Skew = date.Add(500 * time.Millisecond).Sub(sent.Add(half)).Truncate(time.Second) // it has whole seconds
	}
	return resp, nil
}

// unanswered says why a request got no answer. In TLS 1.3 a server refuses a client's
// certificate after the client's handshake is done.
func (t *Target) unanswered(err error) *failure {
	alert := tls.AlertError(0)
	switch {
	case errors.As(err, &alert) || strings.Contains(err.Error(), "remote error: tls:"):
		return &failure{TLS, "compare the clocks, and the group's authority (ca.pem) in both data folders; if this machine was activated into another group, activate it anew",
			fmt.Errorf("%s refuses this server's certificate: %w", t.Server, err)}
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return &failure{HTTP, fmt.Sprintf("the server on %s has stopped answering: look at its log and its disk, and restart it", t.Server), slow(err)}
	}
	return &failure{HTTP, "look at the log of " + t.Server, err}
}
