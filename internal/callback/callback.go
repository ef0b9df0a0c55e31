// Package callback tells programs, at an address that an administrator has given, what became of
// a sign-in of theirs. It is careful where it goes: only over https, or plainly within networks
// that were allowed; to public addresses, or within those networks; to the address that the name
// really has when the connection is made; through no proxy of the environment and after no
// redirect.
package callback

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"countersign/internal/internet"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	// SignatureHeader is "t=UNIX,v1=HEX": the time of sending in Unix seconds, and HMAC-SHA-256
	// under the application's secret of that time, a dot and the body.
	SignatureHeader = "Countersign-Signature"
	// IDHeader names the message; each try of it has the same.
	IDHeader = "Countersign-Id"

	tryTime   = 10 * time.Second
	maxAnswer = 4 << 10 // bytes that are read of an answer
)

// pauses are before each further try.
var pauses = []time.Duration{time.Second, 4 * time.Second, 15 * time.Second, 40 * time.Second}

// Sender posts. All fields must be set; it is safe for concurrent use.
type Sender struct {
	Now    func() time.Time
	Log    *slog.Logger
	Pauses []time.Duration // before each further try; nil: some, a minute in all
}

// Post sends body, JSON, to the application's callback under the message's id until it is taken
// (any status of 2xx), refused for good (any other of 4xx but 408, 425 and 429), or tried often
// enough. It returns why it was not taken.
func (s *Sender) Post(ctx context.Context, app mfa.Application, id string, body []byte) error {
	client, err := newClient(app.Callback)
	if err != nil {
		return fmt.Errorf("callback of application %q: %w", app.Name, err)
	}
	defer client.CloseIdleConnections()
	waits := s.Pauses
	if waits == nil {
		waits = pauses
	}
	for n := 0; ; n++ {
		err = s.try(ctx, client, app, id, body)
		var no refusedError
		switch {
		case err == nil:
			s.Log.Debug("callback taken", "application", app.Name, "id", id, "tries", n+1)
			return nil
		case n == len(waits), errors.As(err, &no) && no.final(), errors.Is(err, errForbidden), ctx.Err() != nil:
			return fmt.Errorf("callback of application %q to %s: %d tries: %w", app.Name, place(app.Callback.URL), n+1, err)
		}
		s.Log.Debug("callback not taken, it is tried again", "application", app.Name, "id", id, "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(waits[n]):
		}
	}
}

func (s *Sender) try(ctx context.Context, client *http.Client, app mfa.Application, id string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, app.Callback.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Countersign")
	r.Header.Set(IDHeader, id)
	r.Header.Set(SignatureHeader, Sign(app.Secret, s.Now(), body))
	resp, err := client.Do(r)
	if err != nil {
		return plain(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return refusedError(resp.StatusCode)
	}
	return nil
}

// plain drops the URL from an error: the path or query may hold what is the program's own.
func plain(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Sign is the value of SignatureHeader.
func Sign(key secret.Text, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	m := hmac.New(sha256.New, key.Expose())
	m.Write([]byte(t + "."))
	m.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(m.Sum(nil))
}

// refusedError is the status of an answer that does not take a message.
type refusedError int

func (e refusedError) Error() string {
	return fmt.Sprintf("answered %d %s", int(e), http.StatusText(int(e)))
}

func (e refusedError) final() bool {
	return e/100 == 4 && e != http.StatusRequestTimeout && e != http.StatusTooEarly && e != http.StatusTooManyRequests
}

// errForbidden: it is tried once and never again.
var errForbidden = errors.New("not allowed")

func newClient(c mfa.Callback) (*http.Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("the URL is none (callback_url)")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAs != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CAs)) {
			return nil, errors.New("callback_ca_pem holds no certificate")
		}
	}
	dialer := &net.Dialer{Control: guard(c, u.Scheme == "http")}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxResponseHeaderBytes: maxAnswer, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// guard refuses to connect to where the callback may not go. It sees the address that is really
// used, after the name was looked up.
func guard(c mfa.Callback, plainly bool) func(network, to string, _ syscall.RawConn) error {
	return func(_, to string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(to)
		if err != nil {
			return err
		}
		switch a := at.Addr().Unmap().WithZone(""); {
		case slices.ContainsFunc(c.Networks, func(p netip.Prefix) bool { return p.Contains(a) }):
			return nil
		case plainly:
			return fmt.Errorf("%w: %s without TLS: callback_networks does not have it (give it, or use https)", errForbidden, a)
		case !internet.Public(a):
			return fmt.Errorf("%w: %s is no public address, and callback_networks does not have it", errForbidden, a)
		}
		return nil
	}
}

// place is the part of a URL that a log may have.
func place(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "?"
	}
	return u.Scheme + "://" + u.Host
}
