package webpush

import (
	"crypto/ecdh"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
)

// ErrSubscription says that something is no subscription of a browser.
var ErrSubscription = errors.New("no push subscription")

// maxEndpoint bounds an endpoint, in bytes. Those of today's push services have 150 to 700.
const maxEndpoint = 2048

// Subscription is where a browser is reached, as its PushSubscription says. Whoever knows the
// endpoint can send there: it is not printed.
type Subscription struct {
	Endpoint string // https URL of the browser's push service
	P256DH   []byte // public key of the browser: uncompressed point of P-256, 65 bytes
	Auth     []byte // secret that browser and server share, 16 bytes
}

// Parse reads a subscription as PushSubscription.toJSON writes it: the two keys are base64url,
// padded or not. The error wraps ErrSubscription.
func Parse(endpoint, p256dh, auth string) (Subscription, error) {
	s := Subscription{Endpoint: endpoint}
	var err error
	if s.P256DH, err = decode(p256dh); err != nil {
		return Subscription{}, fmt.Errorf("%w: p256dh is not base64url", ErrSubscription)
	}
	if s.Auth, err = decode(auth); err != nil {
		return Subscription{}, fmt.Errorf("%w: auth is not base64url", ErrSubscription)
	}
	return s, s.Check()
}

// decode reads base64url with padding or without.
func decode(text string) ([]byte, error) {
	if len(text) > 128 {
		return nil, ErrSubscription
	}
	for len(text) > 0 && text[len(text)-1] == '=' {
		text = text[:len(text)-1]
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// Check reports what is wrong with a subscription; the error wraps ErrSubscription. That its
// endpoint lies in the public Internet is looked at when something is sent.
func (s Subscription) Check() error {
	if _, err := s.url(); err != nil {
		return err
	}
	if _, err := ecdh.P256().NewPublicKey(s.P256DH); err != nil {
		return fmt.Errorf("%w: p256dh is no point of P-256", ErrSubscription)
	}
	if len(s.Auth) != authSize {
		return fmt.Errorf("%w: auth has %d bytes, want %d", ErrSubscription, len(s.Auth), authSize)
	}
	return nil
}

// url returns the endpoint, taken apart.
func (s Subscription) url() (*url.URL, error) {
	if len(s.Endpoint) > maxEndpoint {
		return nil, fmt.Errorf("%w: the endpoint has %d bytes, %d are the most", ErrSubscription, len(s.Endpoint), maxEndpoint)
	}
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: the endpoint is no URL", ErrSubscription)
	case u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Opaque != "" || u.Fragment != "":
		return nil, fmt.Errorf("%w: the endpoint is no https URL of a push service", ErrSubscription)
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && a.Zone() != "" {
		return nil, fmt.Errorf("%w: the endpoint is an address of one machine's own link", ErrSubscription)
	}
	return u, nil
}

// String names the push service, and not the endpoint.
func (s Subscription) String() string {
	u, err := s.url()
	if err != nil {
		return "no push service"
	}
	return u.Host
}

// GoString is String, for %#v.
func (s Subscription) GoString() string { return s.String() }
