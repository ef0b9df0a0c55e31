package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"countersign/internal/internet"
	"countersign/internal/mfa"
	"countersign/internal/provider"
	"countersign/internal/smpp"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// web asks a provider's HTTP API. It follows no redirect, uses no proxy of the environment and
// keeps no cookies.
type web struct {
	client   *http.Client
	callback func(g mfa.Gateway, m Message) (string, error)
}

func newWeb(g mfa.Gateway, now func() time.Time, callback func(mfa.Gateway, Message) (string, error)) (web, error) {
	config, err := tlsConfig(g, "", now)
	if err != nil {
		return web{}, err
	}
	dialer := &net.Dialer{}
	if !g.Private {
		dialer.Control = publicOnly
	}
	return web{callback: callback, client: &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, TLSClientConfig: config, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4,
			MaxConnsPerHost: 32, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxAnswer},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func (w web) close() { w.client.CloseIdleConnections() }

var errTooLong = fmt.Errorf("%w: the text is longer than %d parts", mfa.GatewayRefused, smpp.MaxParts)

var errPrivate = errors.New("this is a private address, which private_addresses would have to allow")

// publicOnly refuses to connect to an address that is not of the public Internet. It sees the
// address that is really used, after the name was looked up.
func publicOnly(network, address string, c syscall.RawConn) error {
	err := internet.Only(network, address, c)
	if errors.Is(err, internet.ErrPrivate) {
		return fmt.Errorf("%w: %s: %w", mfa.GatewayRefused, address, errPrivate)
	}
	return err
}

func (w web) send(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error) {
	parts := smpp.Parts(string(m.Text.Expose()))
	if parts > smpp.MaxParts {
		return Receipt{}, errTooLong
	}
	taken := Receipt{Parts: parts}
	callback := ""
	if g.Receipts != "" && !m.Until.IsZero() && provider.CanTell(g.HTTP) {
		var err error
		if callback, err = w.callback(g, m); err != nil {
			return Receipt{}, fmt.Errorf("%w: where the provider tells what becomes of the message: %w", mfa.GatewayRefused, err)
		}
		taken.refs[0], taken.follows = ownRef(m.ID), true
	}
	r, err := provider.Request(g.Address, g.HTTP, provider.Values{Number: m.To, Text: string(m.Text.Expose()), Sender: g.From, Login: g.Login,
		Password: string(g.Password.Expose()), ID: m.ID, Callback: callback})
	if err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", mfa.GatewayRefused, err)
	}
	answer, err := w.client.Do(r.WithContext(ctx))
	if err != nil {
		return Receipt{}, stripURL(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return Receipt{}, stripURL(err)
	}
	if taken.Ref, err = provider.Judge(g.HTTP, answer.StatusCode, body); err != nil {
		return Receipt{}, err
	}
	return taken, nil
}

// ownRef is what we call a message whose provider tells of it at an address of its own: what the
// provider calls it may not be known yet, or never.
func ownRef(id string) string { return "message " + id }

// Told takes what a provider has said at the address that Callback has given for the message of that
// ID and gateway. It does not block.
func (c *Carrier) Told(gateway, id string, said provider.Said) {
	r := report{gateway: gateway, receipt: smpp.Receipt{ID: ownRef(id), State: smpp.Enroute}, why: said.Why}
	switch {
	case said.Arrived:
		r.receipt.State = smpp.Delivered
	case said.Lost:
		r.receipt.State = smpp.Undeliverable
	}
	c.queue(r)
}

// stripURL takes the URL out of an error: number, text and password may stand in it.
func stripURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// hostURL is the part of a template's address that has no placeholders: scheme and host.
func hostURL(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// private reports whether s is an address, and none of the public Internet.
func private(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && !internet.Public(a)
}
