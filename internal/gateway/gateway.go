// Package gateway carries messages to people: mail by SMTP, text messages by a provider's
// HTTP API or by SMPP. It knows the order in which the group's gateways are asked, how they
// fare, and what each of them may send. Whatever goes wrong is one mfa.Reason.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	tryTimeout = 4 * time.Second        // of one gateway, unless it says otherwise
	reserve    = 500 * time.Millisecond // of a caller's time that is left for what comes after sending
	ailing     = 30 * time.Second       // how long a gateway that was down is asked last
)

// Message is one message to one person.
type Message struct {
	Kind    string // mfa.GatewayMail, mfa.GatewaySMS
	To      string // mail address; number in E.164 form
	Subject string // mail
	Text    secret.Text
	// Instead names a gateway whose message did not arrive: it is asked last.
	Instead string
}

// Receipt says which gateway took a message.
type Receipt struct {
	Gateway string
	Ref     string // the gateway's own name for the message; "": it has told none
	Parts   int    // that it was sent in
}

// Options are what a Carrier is made of. All fields must be set.
type Options struct {
	Gateways func() []mfa.Gateway // in the order in which they are asked
	Now      func() time.Time
	Log      *slog.Logger
}

// Carrier sends messages. It is safe for concurrent use.
type Carrier struct {
	Options
	mu     sync.Mutex
	health map[string]Health
}

// New returns a Carrier.
func New(o Options) *Carrier { return &Carrier{Options: o, health: map[string]Health{}} }

// transport sends by one gateway; ctx ends the try. An error holds the mfa.Reason.
type transport interface {
	send(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error)
}

func (c *Carrier) transport(g mfa.Gateway) (transport, error) {
	if g.Kind == mfa.GatewayMail && g.Protocol == mfa.GatewaySMTP {
		return mailer{now: c.Now}, nil
	}
	return nil, fmt.Errorf("%w: %s over %s is nothing that this server can send", mfa.GatewayRefused, g.Kind, g.Protocol)
}

// Send sends m by the first gateway that takes it, within ctx's time. The error holds the
// mfa.Reason of the last one that was asked and tells of all.
func (c *Carrier) Send(ctx context.Context, m Message) (Receipt, error) {
	ways := c.ways(m)
	if len(ways) == 0 {
		return Receipt{}, fmt.Errorf("%w: no gateway for %s is set up and switched on (`countersign gateway add`)", mfa.NoGateway, m.Kind)
	}
	var failed []error
	for i, g := range ways {
		r, err := c.try(ctx, g, m, len(ways)-i)
		if err == nil {
			return r, nil
		}
		failed = append([]error{err}, failed...) // the last one's reason is found first
		if ctx.Err() != nil || m.Kind == mfa.GatewayMail && errors.Is(err, mfa.RecipientRefused) {
			break
		}
	}
	return Receipt{}, errors.Join(failed...)
}

// SendBy sends m by one gateway, switched on or not.
func (c *Carrier) SendBy(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error) {
	return c.try(ctx, g, m, 1)
}

// try asks one gateway, of so many that are left. Its share of the time that is left is what
// the others need no less than it does.
func (c *Carrier) try(ctx context.Context, g mfa.Gateway, m Message, left int) (Receipt, error) {
	limit := g.Timeout
	if limit <= 0 {
		limit = tryTimeout
	}
	if end, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(end)-reserve, 0)/time.Duration(left))
	}
	t, err := c.transport(g)
	if err != nil {
		return Receipt{}, named(g, err)
	}
	tried, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := c.Now()
	r, err := t.send(tried, g, m)
	if err != nil && tried.Err() != nil && !errors.As(err, new(mfa.Reason)) {
		err = fmt.Errorf("%w: %w", mfa.GatewaySlow, err)
	}
	if err = reasoned(err); err != nil {
		err = named(g, err)
		c.failed(g, err)
		c.Log.Warn("a gateway did not take a message", "gateway", g.Name, "error", err)
		return Receipt{}, err
	}
	r.Gateway, r.Parts = g.Name, max(r.Parts, 1)
	c.worked(g, c.Now().Sub(began))
	return r, nil
}

// named says at which gateway err happened.
func named(g mfa.Gateway, err error) error { return fmt.Errorf("gateway %s: %w", g.Name, err) }

// reasoned makes sure that an error holds a reason: what none of our own code has judged is
// a matter of the connection.
func reasoned(err error) error {
	var why mfa.Reason
	var slow net.Error
	switch {
	case err == nil || errors.As(err, &why):
		return err
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return fmt.Errorf("%w: %w", mfa.GatewaySlow, err)
	}
	return fmt.Errorf("%w: %w", mfa.GatewayDown, err)
}
