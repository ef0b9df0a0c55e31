// Package gateway carries messages to people: mail by SMTP, text messages by a provider's
// HTTP API or by SMPP, telephone calls by SIP. It knows the order in which the group's gateways are asked, how they
// fare, and what each of them may send. Whatever goes wrong is one mfa.Reason.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/secret"
	"countersign/internal/smpp"
)

const (
	tryTimeout = 4 * time.Second        // of one gateway, unless it says otherwise
	reserve    = 500 * time.Millisecond // of a caller's time that is left for what comes after sending
	ailing     = 30 * time.Second       // how long a gateway that was down is asked last
)

// Message is one message to one person.
type Message struct {
	ID      string     // ours: the same for every try
	Kind    string     // mfa.GatewayMail, mfa.GatewaySMS
	User    mfa.UserID // that it is for; "": none
	To      string     // mail address; number in E.164 form
	Subject string     // mail
	Text    secret.Text
	// Instead names a gateway whose message did not arrive: it is asked last.
	Instead string
	// For is what the message is about; one that is sent later about the same is instead of it. "":
	// nothing.
	For string
	// Until says when the message is of no use any more. If a receipt says before that it did not
	// arrive, it is sent by another gateway. Zero: nobody asks what became of it.
	Until time.Time
	Once  bool // not even then

	again bool // it was sent before, and is followed already
}

// Receipt says which gateway took a message.
type Receipt struct {
	Gateway string
	Ref     string // the gateway's own name for the message; "": it has told none
	Parts   int    // that it was sent in

	refs    [smpp.MaxParts]string // of each part of which something is told
	follows bool                  // the gateway tells what becomes of it
}

// Tag stands for the message at its gateway.
func (r Receipt) Tag() Tag {
	if r.refs[0] != "" {
		return TagOf(r.Gateway, r.refs[0])
	}
	return TagOf(r.Gateway, r.Ref)
}

// Followed reports whether the gateway tells what becomes of the message.
func (r Receipt) Followed() bool { return r.follows }

// Options are what a Carrier is made of. All fields must be set.
type Options struct {
	Gateways func() []mfa.Gateway // in the order in which they are asked
	Now      func() time.Time
	Log      *slog.Logger
	// Spend is asked before g sends a text message in so many parts. An error that holds
	// mfa.SpendCapReached refuses.
	Spend func(ctx context.Context, g mfa.Gateway, parts int) error
	// Again is asked before a message that did not arrive is sent by another gateway.
	Again func(ctx context.Context, m Message) error
	// Callback is where a provider tells what becomes of a message that is sent by g, which has
	// Receipts set. Whoever knows it can say so of that message alone.
	Callback func(g mfa.Gateway, m Message) (string, error)
	// Tell makes known to the group what became of a message.
	Tell func(ctx context.Context, t Tag, f Fate, why string) error
}

// Carrier sends messages. It is safe for concurrent use.
type Carrier struct {
	Options
	mu     sync.Mutex
	health map[string]Health
	open   map[string]opened // by name
	links  sync.WaitGroup    // of what keeps connections

	followed map[Tag]*delivery
	reports  chan report
	early    []report // of messages that this server does not know, or not yet
	tidings  chan tiding
	foreign  *rate.Limiter

	calling map[string]int // calls that are on their way, by name
}

// opened is a transport that keeps connections, for a gateway as it is set up.
type opened struct {
	changed time.Time
	transport
}

// New returns a Carrier. Run has to be called if there are gateways that give receipts.
func New(o Options) *Carrier {
	return &Carrier{Options: o, health: map[string]Health{}, open: map[string]opened{}, followed: map[Tag]*delivery{}, calling: map[string]int{},
		reports: make(chan report, 4096), tidings: make(chan tiding, 1024), foreign: rate.NewLimiter(foreignRate, foreignBurst)}
}

// transport sends by one gateway; ctx ends the try. An error holds the mfa.Reason. close does
// not wait.
type transport interface {
	send(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error)
	close()
}

// transport returns the way to g, as it is set up now. One that is set up in another way now is
// closed.
func (c *Carrier) transport(g mfa.Gateway) (transport, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o, ok := c.open[g.Name]; ok && o.changed.Equal(g.Changed) {
		return o.transport, nil
	}
	t, err := c.make(g)
	if err != nil {
		return nil, err
	}
	if old, ok := c.open[g.Name]; ok {
		old.close()
	}
	c.open[g.Name] = opened{g.Changed, t}
	return t, nil
}

func (c *Carrier) make(g mfa.Gateway) (transport, error) {
	switch {
	case g.Kind == mfa.GatewayMail && g.Protocol == mfa.GatewaySMTP:
		return mailer{now: c.Now}, nil
	case g.Kind == mfa.GatewaySMS && g.Protocol == mfa.GatewayHTTP:
		return newWeb(g, c.Now, c.Callback)
	case g.Kind == mfa.GatewaySMS && g.Protocol == mfa.GatewaySMPP:
		return c.newLink(g)
	}
	return nil, fmt.Errorf("%w: %s over %s is nothing that this server can send", mfa.GatewayRefused, g.Kind, g.Protocol)
}

// Close ends the connections that are kept.
func (c *Carrier) Close() {
	c.mu.Lock()
	for _, o := range c.open {
		o.close()
	}
	clear(c.open)
	c.mu.Unlock()
	c.links.Wait()
}

// Send sends m by the first gateway that takes it, within ctx's time. The error holds the
// mfa.Reason of the last one that was asked and tells of all.
func (c *Carrier) Send(ctx context.Context, m Message) (Receipt, error) {
	ways := c.ways(m)
	if len(ways) == 0 {
		return Receipt{}, noGateway(m)
	}
	ways, err := allowed(ways, m)
	if err != nil {
		return Receipt{}, err
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

// allowed leaves those of ways that may send to the country of m's number.
func allowed(ways []mfa.Gateway, m Message) ([]mfa.Gateway, error) {
	if m.Kind == mfa.GatewayMail {
		return ways, nil
	}
	country := phone.Country(m.To)
	may := slices.DeleteFunc(ways, func(g mfa.Gateway) bool { return country == "" || !slices.Contains(g.Countries, country) })
	if len(may) == 0 {
		return nil, fmt.Errorf("%w: no gateway may send to %s (`countersign gateway set NAME --country`)", mfa.CountryNotAllowed, or(country, "numbers of no country"))
	}
	return may, nil
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// May reports why m could not be sent at all, whatever the gateways answer.
func (c *Carrier) May(m Message) error {
	ways := c.ways(m)
	if len(ways) == 0 {
		return noGateway(m)
	}
	_, err := allowed(ways, m)
	return err
}

func noGateway(m Message) error {
	return fmt.Errorf("%w: no gateway for %s is set up and switched on (`countersign gateway add`)", mfa.NoGateway, m.Kind)
}

// SendBy sends m by one gateway, switched on or not.
func (c *Carrier) SendBy(ctx context.Context, g mfa.Gateway, m Message) (Receipt, error) {
	if _, err := allowed([]mfa.Gateway{g}, m); err != nil {
		return Receipt{}, err
	}
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
	if err == nil && m.Kind == mfa.GatewaySMS && (g.CapDay > 0 || g.CapMonth > 0) {
		err = c.Spend(ctx, g, parts(g, m))
	}
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
	c.follow(g, m, r)
	return r, nil
}

// parts returns how many parts g sends m in.
func parts(g mfa.Gateway, m Message) int {
	return len(smpp.Encode(string(m.Text.Expose()), g.Protocol == mfa.GatewaySMPP && g.SMPP.Alphabet == mfa.AlphabetUCS).Parts)
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
