package coordinator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// callTimeout bounds one request to one coordinator.
const callTimeout = 30 * time.Second

// Client speaks to a group's coordinator, at whichever of its addresses answers. The group
// is known by the digest of its CA's certificate, from the activation code.
type Client struct {
	addresses []string
	http      *http.Client
	ca        *x509.Certificate // of the last handshake
	digest    [32]byte
}

// NewClient returns a client for the coordinators of an activation code.
func NewClient(a group.Activation) *Client {
	c := &Client{addresses: a.Coordinators, digest: a.CA}
	c.http = &http.Client{Timeout: callTimeout, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, VerifyConnection: c.verify}, // verify does it, against the code's CA
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
	return p, c.post(ctx, PathPreview, r, &p)
}

// Activate asks for admission. After an error whose outcome is open the same request may
// have been granted: then a new code for the same machine admits it again.
func (c *Client) Activate(ctx context.Context, r group.Request) (g group.Grant, err error) {
	return g, c.post(ctx, PathActivate, r, &g)
}

// post asks one address after the other until one of them decides.
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var tried []string
	for _, a := range c.addresses {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+a+path, bytes.NewReader(b))
		if err != nil {
			return err
		}
		r.Header.Set("Content-Type", "application/json")
		resp, err := c.http.Do(r)
		if err == nil {
			if err = group.ReadAnswer(resp, out); err == nil || !errors.Is(err, mfa.ErrUnavailable) {
				return err
			}
		}
		tried = append(tried, fmt.Sprintf("%s: %v", a, err))
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("no coordinator of the group decided (%s): check that this machine reaches one of these addresses, and that the group has a master", strings.Join(tried, "; "))
}
