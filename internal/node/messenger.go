package node

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/admin"
	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/receipt"
	"countersign/internal/secret"
)

// messenger is package gateway as package admin wants it.
type messenger struct{ s *server }

// GatewayHealth implements admin.Messenger.
func (m messenger) GatewayHealth(g mfa.Gateway) admin.GatewayHealth {
	h := m.s.carrier.Health(g)
	v := admin.GatewayHealth{State: "ok", Sent: h.Sent, Failed: h.Failed, LastSent: at(h.Worked), LastFailed: at(h.Broke), Error: h.Error,
		Delivered: h.Delivered, Undelivered: h.Undelivered, Unconfirmed: h.Unconfirmed}
	switch {
	case h.Sent+h.Failed == 0:
		v.State = "unused"
	case h.Doubtful(m.s.Now()):
		v.State = "doubtful"
	case h.Ailing(m.s.Now()):
		v.State = "ailing"
	}
	if h.Reason != mfa.ReasonNone {
		v.Reason = h.Reason.String()
	}
	return v
}

func at(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

const (
	testTimeout     = 20 * time.Second // of a gateway with a message
	testCallTimeout = 50 * time.Second // and with a call, in which somebody has to pick up
	receiptWait     = 10 * time.Second // of that for what becomes of it
)

// TestGateway implements admin.Messenger.
func (m messenger) TestGateway(ctx context.Context, g mfa.Gateway, to string) []admin.Check {
	timeout := testTimeout
	if g.Kind == mfa.GatewayCall && to != "" {
		timeout = testCallTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all := gatewayChecks(m.s.carrier.Probe(ctx, g))
	if to == "" || !all[len(all)-1].OK {
		return all
	}
	if g.Kind == mfa.GatewayCall {
		return append(all, m.s.testCall(ctx, g, to))
	}
	r, err := m.s.carrier.SendBy(ctx, g, gateway.Message{ID: mfa.NewID(nil), Kind: g.Kind, To: to, Subject: "Countersign test",
		Text: secret.FromString("This is a test message of Countersign, group " + m.s.node.Group() + "."), Until: m.s.Now().Add(time.Minute), Once: true})
	next := ""
	if err != nil {
		next = gateway.Next(err, g)
	}
	all = append(all, check("message", admin.Masked(g.Kind, to), g.Protocol, err, taken(r), next))
	if err == nil && r.Followed() {
		all = append(all, m.receipt(ctx, g, r))
	}
	return all
}

// receipt waits a while for what becomes of a test message.
func (m messenger) receipt(ctx context.Context, g mfa.Gateway, r gateway.Receipt) admin.Check {
	ctx, cancel := context.WithTimeout(ctx, receiptWait)
	defer cancel()
	c := admin.Check{Name: "receipt", Target: r.Ref, Layer: g.Protocol}
	switch m.s.carrier.Await(ctx, r.Tag()) {
	case gateway.Arrived:
		c.OK, c.Detail = true, "the gateway says that it arrived"
	case gateway.Lost:
		c.Detail, c.NextStep = "it did not arrive: "+m.s.carrier.Health(g).Vanished, "try another number; then ask who runs the gateway what that means"
	default:
		c.OK, c.Warning = true, true
		c.Detail = fmt.Sprintf("none within %s; what was taken may not arrive", receiptWait)
		c.NextStep = "if the gateway never gives any: countersign gateway set " + g.Name + " --no-receipts"
		if g.Protocol == mfa.GatewayHTTP {
			c.NextStep = "does the provider reach " + g.Receipts + receipt.Prefix + " from outside? If it never tells: countersign gateway set " + g.Name + " --receipts-url ''"
		}
	}
	return c
}

func taken(r gateway.Receipt) string {
	if r.Ref == "" {
		return "taken"
	}
	return fmt.Sprintf("taken; the gateway calls it %s", r.Ref)
}

func gatewayChecks(steps []gateway.Step) []admin.Check {
	var all []admin.Check
	for _, s := range steps {
		all = append(all, admin.Check{Name: s.Name, Target: s.Target, Layer: s.Layer, OK: s.OK, Detail: s.Detail, NextStep: s.NextStep})
	}
	return all
}

// checkGateway is what the doctor tries of one gateway.
func (s *server) checkGateway(ctx context.Context, g mfa.Gateway) []admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	all := gatewayChecks(s.carrier.Probe(ctx, g))
	if h := s.carrier.Health(g); h.Doubtful(s.Now()) {
		all = append(all, admin.Check{Name: "receipts", Target: g.Address, Layer: g.Protocol, OK: true, Warning: true,
			Detail:   fmt.Sprintf("it took the last %d messages, and none of them arrived; it is asked last for now. Last receipt: %s", h.Doubts, orNone(h.Vanished)),
			NextStep: "countersign gateway test " + g.Name + " --to NUMBER; ask who runs it"})
	}
	for i := range all {
		all[i].Name = "gateway " + g.Name + ": " + all[i].Name
	}
	return all
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
