// Package webpush sends a message to a browser through the push service of the browser's maker:
// RFC 8030 (sending), RFC 8291 with RFC 8188 (encryption: the service reads nothing) and RFC 8292
// (who sends). Where a message goes was said by a browser, hence by anybody: only https, only the
// public Internet, no redirect.
package webpush

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"countersign/internal/internet"
)

var (
	// ErrGone says that there is no such subscription any more: forget it.
	ErrGone = errors.New("the browser is not subscribed any more")
	// ErrRefused says that the push service does not take the message, now or ever; the rest of
	// the error says what it answered.
	ErrRefused = errors.New("the push service refuses the message")
)

const (
	sendTimeout = 10 * time.Second // a whole exchange; a shorter one is the context's
	maxAnswer   = 64 << 10         // bytes of header
	maxSaid     = 200              // bytes of what a push service says that end up in an error
	httpsPort   = "443"
)

// topics are those that a push service takes (RFC 8030 section 5.4).
var topics = regexp.MustCompile(`^[A-Za-z0-9_-]{0,32}$`)

// Options say how to send.
type Options struct {
	// Key is the key pair that the group sends with.
	Key func(ctx context.Context) (*ecdsa.PrivateKey, error)
	// Subject is an https or mailto URL for the push service's people to complain to; the
	// services of some makers take nothing without. It may change.
	Subject func() string
	// Private allows push services at private addresses and at other ports than 443.
	Private bool
	// Roots are the authorities to believe; nil: those of the system.
	Roots *x509.CertPool
	Now   func() time.Time
}

// Sender sends messages. It is safe for concurrent use. Call New.
type Sender struct {
	o      Options
	client *http.Client
}

// New returns a sender. It uses no proxy, keeps no cookies and follows no redirect.
func New(o Options) *Sender {
	dialer := &net.Dialer{Timeout: sendTimeout}
	if !o.Private {
		dialer.Control = internet.Only
	}
	return &Sender{o, &http.Client{
		Timeout: sendTimeout,
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots, Time: o.Now},
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, MaxConnsPerHost: 32, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close lets go of idle connections.
func (s *Sender) Close() { s.client.CloseIdleConnections() }

// Send sends a payload of at most 3993 bytes, which the push service keeps for ttl, in seconds,
// for a browser that is not there now; 0: not at all. A later message of the same topic (up to 32
// characters of base64url) takes its place there; "": none does. Success says that the service
// has the message, not that the browser has. Errors wrap ErrGone, ErrRefused, ErrSubscription or
// internet.ErrPrivate where that is it, and name the service, not the endpoint.
func (s *Sender) Send(ctx context.Context, to Subscription, payload []byte, ttl time.Duration, topic string) error {
	if err := to.Check(); err != nil {
		return err
	}
	r, err := s.request(ctx, to, payload, ttl, topic)
	if err != nil {
		return fmt.Errorf("push to %s: %w", to, err)
	}
	answer, err := s.client.Do(r)
	if err != nil {
		return fmt.Errorf("push to %s: %w", to, stripURL(err))
	}
	defer answer.Body.Close()
	if err := judge(answer); err != nil {
		return fmt.Errorf("push to %s: %w", to, err)
	}
	return nil
}

func (s *Sender) request(ctx context.Context, to Subscription, payload []byte, ttl time.Duration, topic string) (*http.Request, error) {
	u, err := to.url()
	if err != nil {
		return nil, err
	}
	if p := u.Port(); !s.o.Private && p != "" && p != httpsPort {
		return nil, fmt.Errorf("%w: port %s is none of a push service", ErrSubscription, p)
	}
	if !topics.MatchString(topic) {
		return nil, fmt.Errorf("topic %.40q: want at most 32 characters of base64url", topic)
	}
	key, err := s.o.Key(ctx)
	if err != nil {
		return nil, fmt.Errorf("the group's key for push: %w", err)
	}
	body, err := encrypt(to, payload)
	if err != nil {
		return nil, err
	}
	auth, err := authorization(key, u, s.o.Subject(), s.o.Now())
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to.Endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, stripURL(err)
	}
	h := r.Header
	h.Set("Authorization", auth)
	h.Set("Content-Encoding", "aes128gcm")
	h.Set("Content-Type", "application/octet-stream")
	h.Set("TTL", strconv.FormatInt(int64((max(ttl, 0)+time.Second-1)/time.Second), 10))
	h.Set("Urgency", "high")
	if topic != "" {
		h.Set("Topic", topic)
	}
	return r, nil
}

// judge says what an answer means (RFC 8030 sections 5 and 7.3).
func judge(answer *http.Response) error {
	said, _ := io.ReadAll(io.LimitReader(answer.Body, maxSaid))
	switch code := answer.StatusCode; {
	case code >= 200 && code < 300:
		return nil
	case code == http.StatusNotFound, code == http.StatusGone:
		return ErrGone
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s, retry after %.20q", ErrRefused, http.StatusText(code), answer.Header.Get("Retry-After"))
	default:
		return fmt.Errorf("%w: it answers %d, %q", ErrRefused, code, said)
	}
}

// stripURL takes the URL out of an error: whoever reads it could send there.
func stripURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
