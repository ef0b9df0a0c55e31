package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/gateway/call"
	"countersign/internal/mfa"
)

const (
	ringTime   = 30 * time.Second // until somebody picks up, unless the gateway says otherwise
	manyCalls  = 10               // at once, unless the gateway says otherwise
	dialNumber = "{number}"
)

// Telephone is one call to one person.
type Telephone struct {
	To        string // E.164
	Extension string
	Talk      call.Talk
}

// Called says how a call went.
type Called struct {
	Gateway string // that it was placed by; of several that were tried the last
	call.Result
}

// Call calls by the first gateway that takes the call, and talks, within ctx's time. As soon as a
// telephone rings no other gateway is tried, so nobody is called twice. The error holds the
// mfa.Reason, or context.Canceled.
func (c *Carrier) Call(ctx context.Context, t Telephone) (Called, error) {
	m := Message{Kind: mfa.GatewayCall, To: t.To}
	ways := c.ways(m)
	if len(ways) == 0 {
		return Called{}, noGateway(m)
	}
	ways, err := allowed(ways, m)
	if err != nil {
		return Called{}, err
	}
	var failed []error
	for _, g := range ways {
		r, err := c.place(ctx, g, t)
		if err == nil || r.Rang || !another(err) || ctx.Err() != nil {
			return r, err
		}
		failed = append([]error{err}, failed...) // the last one's reason is found first
	}
	return Called{}, errors.Join(failed...)
}

// CallBy calls by one gateway, switched on or not.
func (c *Carrier) CallBy(ctx context.Context, g mfa.Gateway, t Telephone) (Called, error) {
	if _, err := allowed([]mfa.Gateway{g}, Message{Kind: mfa.GatewayCall, To: t.To}); err != nil {
		return Called{}, err
	}
	return c.place(ctx, g, t)
}

// another reports whether another gateway may do better.
func another(err error) bool {
	var why mfa.Reason
	errors.As(err, &why)
	switch why {
	case mfa.GatewayDown, mfa.GatewaySlow, mfa.GatewayRefused, mfa.GatewayNoCredit, mfa.SpendCapReached, mfa.RecipientRefused:
		return true
	}
	return false
}

func (c *Carrier) place(ctx context.Context, g mfa.Gateway, t Telephone) (Called, error) {
	trunk, err := c.trunk(g)
	if err == nil {
		err = c.line(g)
	}
	if err != nil {
		return Called{}, named(g, err)
	}
	defer c.free(g)
	if end, ok := ctx.Deadline(); ok {
		if left := time.Until(end); left < trunk.Ring {
			trunk.Ring = left
		}
	}
	if g.CapDay > 0 || g.CapMonth > 0 {
		if err := c.Spend(ctx, g, 1); err != nil {
			return Called{}, named(g, err)
		}
	}
	began := c.Now()
	r, err := call.Place(ctx, c.Log, trunk, call.Number{Dial: dialled(g, t.To), Extension: t.Extension}, t.Talk)
	switch {
	case err != nil && !r.Rang && another(err):
		err = named(g, err)
		c.failed(g, err)
		c.Log.Warn("a gateway did not take a call", "gateway", g.Name, "error", err)
	case errors.Is(err, context.Canceled):
	default: // whatever came of it, the gateway has done its part
		c.worked(g, min(c.Now().Sub(began), r.Ringing))
		if err != nil {
			err = named(g, err)
		}
	}
	return Called{g.Name, r}, err
}

// trunk is g as package call wants it.
func (c *Carrier) trunk(g mfa.Gateway) (call.Trunk, error) {
	if g.Protocol != mfa.GatewaySIP {
		return call.Trunk{}, fmt.Errorf("%w: %s over %s is nothing that this server can do", mfa.GatewayRefused, g.Kind, g.Protocol)
	}
	host, err := addressOf(g)
	if err != nil {
		return call.Trunk{}, fmt.Errorf("%w: address %s: %w", mfa.GatewayRefused, g.Address, err)
	}
	t := call.Trunk{Address: host, Transport: g.SIP.Transport, Domain: g.SIP.Domain, Login: g.Login, Password: g.Password, From: g.From,
		Answer: g.Timeout, Ring: g.SIP.Ring, Ports: [2]int{g.SIP.FirstPort, g.SIP.LastPort}}
	if t.Answer <= 0 {
		t.Answer = tryTimeout
	}
	if t.Ring <= 0 {
		t.Ring = ringTime
	}
	if t.Transport == call.TLS {
		t.TLS, err = tlsConfig(g, hostOf(host), c.Now)
	}
	return t, err
}

// alive asks g whether it is there.
func (c *Carrier) alive(ctx context.Context, g mfa.Gateway) (said string, err error) {
	t, err := c.trunk(g)
	if err != nil {
		return "", err
	}
	return call.Alive(ctx, c.Log, t)
}

func hostOf(address string) string {
	host := address[:max(strings.LastIndexByte(address, ':'), 0)]
	return strings.Trim(host, "[]")
}

// dialled is a number as g wants it.
func dialled(g mfa.Gateway, number string) string {
	form := g.SIP.Dial
	if form == "" {
		form = dialNumber
	}
	return strings.NewReplacer(dialNumber, number, "{digits}", strings.TrimPrefix(number, "+")).Replace(form)
}

// line takes one of g's lines.
func (c *Carrier) line(g mfa.Gateway) error {
	most := g.SIP.Calls
	if most <= 0 {
		most = manyCalls
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calling[g.Name] >= most {
		return fmt.Errorf("%w: all %d lines of this server are in use (`countersign gateway set %s --calls`)", mfa.GatewayDown, most, g.Name)
	}
	c.calling[g.Name]++
	return nil
}

func (c *Carrier) free(g mfa.Gateway) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calling[g.Name]--; c.calling[g.Name] <= 0 {
		delete(c.calling, g.Name)
	}
}
