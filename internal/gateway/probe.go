package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	mail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"countersign/internal/mfa"
	"countersign/internal/smpp"
)

// Step is one thing that Probe tried.
type Step struct {
	Name     string
	Layer    string // "settings", "name", "tcp", "tls", "smtp", "smpp", "sip"
	Target   string
	OK       bool
	Detail   string // what was found; never a secret
	NextStep string // the one thing to do, if not OK
}

// Probe tries the way to a gateway, layer by layer, without sending anything. It ends with the
// first step that fails.
func (c *Carrier) Probe(ctx context.Context, g mfa.Gateway) []Step {
	address, err := addressOf(g)
	if err != nil {
		return []Step{{Name: "settings", Layer: "settings", Target: g.Address, Detail: err.Error(), NextStep: "correct the address: countersign gateway set " + g.Name + " --address"}}
	}
	host, _, _ := net.SplitHostPort(address)
	var steps []Step
	step := func(name, layer, target, found string, err error, next string) bool {
		s := Step{Name: name, Layer: layer, Target: target, OK: err == nil, Detail: found}
		if err != nil {
			s.Detail, s.NextStep = err.Error(), next
		}
		steps = append(steps, s)
		return err == nil
	}
	addrs, err := net.DefaultResolver.LookupHost(ctx, host)
	if !step("name lookup", "name", host, fmt.Sprint(addrs), err, "correct the name, or the name service of this machine") {
		return steps
	}
	if g.Protocol == mfa.GatewayHTTP && !g.Private {
		for _, a := range addrs {
			if private(a) {
				step("address", "settings", a, "", errPrivate, "countersign gateway set "+g.Name+" --private-addresses, if it really is inside")
				return steps
			}
		}
	}
	if g.Protocol == mfa.GatewaySIP {
		said, err := c.alive(ctx, g)
		step("trunk", "sip", address, said, err, "is it running, does a firewall let this machine out to it by "+g.SIP.Transport+", and does it know this machine's address?")
		return steps
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if !step("connection", "tcp", address, "accepted", err, "is the gateway running, and does a firewall let this machine out to it?") {
		return steps
	}
	_ = conn.Close()
	switch g.Protocol {
	case mfa.GatewaySMTP:
		err = mailer{now: c.Now}.session(ctx, g, func(*mail.Client, *smtp.Client) error { return nil })
		step("session", "smtp", address, sessionFound(g), reasoned(err), nextFor(reasoned(err), g))
	case mfa.GatewaySMPP:
		if g.TLS == mfa.GatewayTLS && !step("TLS", "tls", address, "certificate good for "+host, c.shake(ctx, g, host, address), certificateNext(g)) {
			return steps
		}
		found, err := c.tryBind(ctx, g)
		if !step("bind", "smpp", g.Login, found, err, bindNext(err, g)) {
			return steps
		}
		found, err = c.tryLink(ctx, g)
		step("link", "smpp", address, found, err, "ask who runs the gateway why it does not answer enquire_link")
	case mfa.GatewayHTTP:
		if u, _ := url.Parse(hostURL(g.Address)); u != nil && u.Scheme == "https" {
			err = c.shake(ctx, g, host, address)
			step("TLS", "tls", address, "certificate good for "+host, err, certificateNext(g))
		}
	}
	return steps
}

func certificateNext(g mfa.Gateway) string {
	return "the certificate must be for this name and of an authority that is known: countersign gateway set " + g.Name + " --tls-ca-file"
}

// bound returns the bind to g, which is the one that messages go by.
func (c *Carrier) bound(ctx context.Context, g mfa.Gateway) (*session, error) {
	t, err := c.transport(g)
	if err != nil {
		return nil, err
	}
	l, ok := t.(*link)
	if !ok {
		return nil, mfa.GatewayRefused
	}
	s, err := l.session(ctx, true)
	return s, reasoned(err)
}

func (c *Carrier) tryBind(ctx context.Context, g mfa.Gateway) (string, error) {
	s, err := c.bound(ctx, g)
	if err != nil {
		return "", err
	}
	found := "as a transceiver since " + s.since.UTC().Format("15:04:05 UTC")
	if s.peer.SystemID != "" {
		found += fmt.Sprintf(", to %q", s.peer.SystemID)
	}
	if v := s.peer.Version; v != 0 {
		found += fmt.Sprintf(", which speaks %d.%d", v>>4, v&0xf)
	}
	return found, nil
}

func (c *Carrier) tryLink(ctx context.Context, g mfa.Gateway) (string, error) {
	s, err := c.bound(ctx, g)
	if err != nil {
		return "", err
	}
	began := c.Now()
	answer, err := s.ask(ctx, smpp.EnquireLink, nil)
	if err == nil {
		err = s.l.judge("enquire_link", answer.Status)
	}
	return fmt.Sprintf("answered in %s", c.Now().Sub(began).Round(10*time.Microsecond)), reasoned(err)
}

func bindNext(err error, g mfa.Gateway) string {
	if errors.Is(err, mfa.GatewayRefused) {
		return "compare login, password and system type with what the provider gave you: countersign gateway set " + g.Name + " (no spaces; a password of SMPP has at most 8 characters)"
	}
	return nextFor(err, g)
}

func sessionFound(g mfa.Gateway) string {
	s := map[string]string{mfa.GatewayTLS: "TLS", mfa.GatewayStartTLS: "STARTTLS"}[g.TLS]
	if s == "" {
		s = "without TLS"
	}
	if g.Login != "" {
		s += ", logged in as " + g.Login
	}
	return s
}

func (c *Carrier) shake(ctx context.Context, g mfa.Gateway, host, address string) error {
	config, err := tlsConfig(g, host, c.Now)
	if err != nil {
		return err
	}
	conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	return conn.Close()
}

// nextFor is what to do about a reason.
func nextFor(err error, g mfa.Gateway) string {
	var why mfa.Reason
	errors.As(err, &why)
	switch why {
	case mfa.GatewayRefused:
		return "correct login, password or tls: countersign gateway set " + g.Name
	case mfa.GatewaySlow:
		return "ask who runs the gateway why it does not answer"
	case mfa.GatewayNoCredit:
		return "top up the account at the provider"
	}
	return "look at the certificate's name and authority (--tls-ca-file), and at the gateway's own log"
}

// Next is what to do when a gateway did not take a message.
func Next(err error, g mfa.Gateway) string {
	var why mfa.Reason
	errors.As(err, &why)
	switch why {
	case mfa.RecipientRefused:
		return "try another number or address"
	case mfa.CallBusy, mfa.CallNoAnswer, mfa.CallRejected, mfa.CallVoicemail:
		return "the gateway works; call a telephone that somebody picks up"
	case mfa.CallHungUp, mfa.CallNotPressed, mfa.CallTimedOut:
		return "if keys were pressed: let the gateway send them by RFC 4733 (telephone-event) or SIP INFO; if nothing was heard: UDP from and to the audio ports must pass the firewall"
	case mfa.CountryNotAllowed:
		return "countersign gateway set " + g.Name + " --country, if messages shall go there"
	case mfa.GatewayRefused:
		return "compare login, sender and template with what the provider asks for: countersign gateway show " + g.Name
	}
	return nextFor(err, g)
}

// addressOf is host and port of a gateway.
func addressOf(g mfa.Gateway) (string, error) {
	if g.Protocol != mfa.GatewayHTTP {
		_, _, err := net.SplitHostPort(g.Address)
		return g.Address, err
	}
	u, err := url.Parse(hostURL(g.Address))
	if err != nil {
		return "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}
