package coordinator

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	callTimeout = 30 * time.Second // bounds one request to one coordinator
	dialTimeout = 5 * time.Second  // an address at which no machine is says nothing at all
)

// Client speaks to a group's coordinator, at whichever of its addresses answers. The group
// is known by the digest of its CA's certificate, from the activation code.
type Client struct {
	addresses []string
	http      *http.Client
	ca        *x509.Certificate // of the last handshake
	digest    [32]byte
	secret    secret.Text // the code's; answers to it prove that they come from who made it
}

// NewClient returns a client for the coordinators of an activation code.
func NewClient(a group.Activation) *Client {
	c := &Client{addresses: a.Coordinators, digest: a.CA, secret: a.Secret}
	c.http = &http.Client{Timeout: callTimeout, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: protocols, InsecureSkipVerify: true, VerifyConnection: c.verify}, // verify does it, against the code's CA
		DialContext:         (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout: 5 * time.Second,
	}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return c
}

// verify checks the coordinator's certificate against the CA that the code names; the
// coordinator sends that beside its own.
func (c *Client) verify(s tls.ConnectionState) error {
	roots := x509.NewCertPool()
	found := false
	for _, cert := range s.PeerCertificates {
		if sha256.Sum256(cert.Raw) == c.digest {
			roots.AddCert(cert)
			c.ca, found = cert, true
		}
	}
	if !found {
		return errors.New("its certificate is not of the group that this activation code is for")
	}
	_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, DNSName: s.ServerName})
	return err
}

// CertificatePEM is the CA's certificate, once a call has succeeded.
func (c *Client) CertificatePEM() []byte {
	if c.ca == nil {
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.ca.Raw})
}

// Preview asks what a code admits to.
func (c *Client) Preview(ctx context.Context, r group.Request) (p group.Preview, err error) {
	return p, c.proven(ctx, PathPreview, r, group.KindPreview, &p)
}

// Activate asks for admission. After an error whose outcome is open the same request may
// have been granted: then the group has a server of that name on record, which is to be
// forgotten there before a new code admits the machine.
func (c *Client) Activate(ctx context.Context, r group.Request) (g group.Grant, err error) {
	return g, c.proven(ctx, PathActivate, r, group.KindGrant, &g)
}

// proven sends r and reads an answer that only who made the code can give.
func (c *Client) proven(ctx context.Context, path string, r group.Request, kind string, out any) error {
	var p group.Proven
	if err := c.ask(ctx, http.MethodPost, path, r, &p); err != nil {
		return advise(err)
	}
	return p.Open(c.secret, &r, kind, out)
}

// Master asks who the master is. Who answers is a server of the group, by its certificate;
// key returns the key that the server which signed the answer is known by. known is false
// for one that key does not know: it came into the group later.
func (c *Client) Master(ctx context.Context, key func(server string) ed25519.PublicKey) (st Standing, known bool, err error) {
	var s Signed
	if err := c.ask(ctx, http.MethodGet, PathMaster, nil, &s); err != nil {
		return Standing{}, false, err
	}
	if err := json.Unmarshal(s.Standing, &st); err != nil {
		return Standing{}, false, fmt.Errorf("%w: standing: %w", mfa.ErrInvalid, err)
	}
	if key(st.By) == nil {
		return st, false, nil
	}
	st, err = s.Open(key)
	return st, err == nil, err
}

// ask sends in (nil: nothing) to one address after the other until one of them decides.
func (c *Client) ask(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	var tried error
	for _, a := range c.addresses {
		r, err := http.NewRequestWithContext(ctx, method, "https://"+a+path, bytes.NewReader(body))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := c.http.Do(r) //nolint:bodyclose // ReadAnswer closes it
		if err == nil {
			if err = group.ReadAnswer(resp, out); err == nil || !errors.Is(err, mfa.ErrUnavailable) {
				return err
			}
		}
		if err = fmt.Errorf("%s: %w", a, err); tried != nil {
			err = fmt.Errorf("%w; %w", tried, err)
		}
		tried = err
		if ctx.Err() != nil {
			break
		}
	}
	return undecided{tried}
}

// undecided says that none of the addresses decided.
type undecided struct{ error }

func (u undecided) Unwrap() error { return u.error }

// advise says what to do about that.
func advise(err error) error {
	if u := (undecided{}); errors.As(err, &u) {
		return fmt.Errorf("no coordinator of the group decided (%w): check that this machine reaches one of these addresses, and that the group has a master", err)
	}
	return err
}
