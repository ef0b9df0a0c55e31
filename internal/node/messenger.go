package node

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/admin"
	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// messenger is package gateway as package admin wants it.
type messenger struct{ s *server }

// GatewayHealth implements admin.Messenger.
func (m messenger) GatewayHealth(g mfa.Gateway) admin.GatewayHealth {
	h := m.s.carrier.Health(g)
	v := admin.GatewayHealth{State: "ok", Sent: h.Sent, Failed: h.Failed, LastSent: at(h.Worked), LastFailed: at(h.Broke), Error: h.Error}
	switch {
	case h.Sent+h.Failed == 0:
		v.State = "unused"
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
		Text: secret.FromString("This is a test message of Countersign, group " + m.s.node.Group() + ".")})
	next := ""
	if err != nil {
		next = gateway.Next(err, g)
	}
	return append(all, check("message", admin.Masked(g.Kind, to), g.Protocol, err, taken(r), next))
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
	for i := range all {
		all[i].Name = "gateway " + g.Name + ": " + all[i].Name
	}
	return all
}
