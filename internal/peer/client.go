package peer

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"time"

	"countersign/internal/group"
)

// Client calls other servers of the group on their peer port.
type Client struct {
	http  *http.Client
	epoch func() uint64
	hello Hello
}

// NewClient returns a client that shows certificate, and believes servers with a
// certificate of pool and a key that allow knows.
func NewClient(certificate func() (*tls.Certificate, error), pool *x509.CertPool, allow func(string) (string, bool), epoch func() uint64) *Client {
	return &Client{epoch: epoch, http: &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{
				MinVersion:           tls.VersionTLS13,
				RootCAs:              pool,
				GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate() },
				VerifyConnection:     func(c tls.ConnectionState) error { return verify(c, allow) },
			},
			TLSHandshakeTimeout: 5 * time.Second, MaxIdleConnsPerHost: 2, IdleConnTimeout: 30 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// As returns the client of a server that says so of itself. The two share connections.
func (c *Client) As(h Hello) *Client {
	d := *c
	d.hello = h
	return &d
}

// Transport is the client's, for a proxy.
func (c *Client) Transport() http.RoundTripper { return c.http.Transport }

// Sign adds to a request what tells who calls.
func (c *Client) Sign(r *http.Request) {
	c.hello.sign(r)
	if e := c.epoch(); e > 0 {
		r.Header.Set(EpochHeader, strconv.FormatUint(e, 10))
	}
}

// Call sends in (nil: no body) to the server at address (host:port) and reads out.
func (c *Client) Call(ctx context.Context, address, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "https://"+address+path, body)
	if err != nil {
		return err
	}
	c.Sign(r)
	resp, err := c.http.Do(r) //nolint:bodyclose // ReadAnswer closes it
	if err != nil {
		return err
	}
	return group.ReadAnswer(resp, out)
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
