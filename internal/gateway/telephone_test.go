package gateway_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/gateway/call"
	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/voice"
)

func trunk(name, address string) mfa.Gateway {
	return mfa.Gateway{Name: name, Kind: mfa.GatewayCall, Protocol: mfa.GatewaySIP, Address: address, From: "+4930123456", Countries: []string{"DE"}, CapDay: 10,
		SIP: mfa.SIPTrunk{Transport: "udp", Dial: "0{digits}"}}
}

func telephone() gateway.Telephone {
	return gateway.Telephone{To: "+491701234567", Talk: call.Talk{Ask: voice.Pause(200), Tries: 1, Asks: 1, Pause: time.Second,
		Judge: func(_ context.Context, keys string) call.Answer {
			if keys == "#" {
				return call.Right
			}
			return call.Wrong
		}}}
}

// A trunk that takes no call gives way to the next; as soon as a telephone has rung there is no other try.
func TestCallsFailOver(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	broken := mfatest.Sipp(t, mfatest.PhoneOptions{}, mfatest.Refuse(503, "Service Unavailable"))
	good := mfatest.Sipp(t, mfatest.PhoneOptions{}, mfatest.Ring, mfatest.Answer, mfatest.Wait(300*time.Millisecond), mfatest.Press("#"), mfatest.AwaitBye)
	first, second := trunk("first", broken.Address), trunk("second", good.Address)
	c := carrier(first, second)
	if r, err := c.Call(ctx, telephone()); err != nil || r.Gateway != "second" || !r.Picked {
		t.Errorf("got %+v, %v", r, err)
	}
	broken.Done(t)
	good.Done(t)
	if h := c.Health(first); h.Reason != mfa.GatewayDown || !h.Ailing(time.Now()) {
		t.Errorf("health of the broken one: %+v", h)
	}
	if h := c.Health(second); h.Sent != 1 || h.Failed != 0 {
		t.Errorf("health of the good one: %+v", h)
	}
	declined := mfatest.Sipp(t, mfatest.PhoneOptions{}, mfatest.Ring, mfatest.Refuse(603, "Decline"))
	never := trunk("never", "127.0.0.1:"+mfatest.FreePort(t))
	if r, err := carrier(trunk("first", declined.Address), never).Call(ctx, telephone()); !errors.Is(err, mfa.CallRejected) || r.Gateway != "first" {
		t.Errorf("after it rang: %+v, %v", r, err)
	}
	declined.Done(t)
}

// Whatever is wrong with a trunk, the next one gets the call, unless a telephone has rung or
// somebody has said no.
func TestCallsGoByTheNextTrunk(t *testing.T) {
	for _, tt := range []struct {
		name    string
		invited []int
		next    bool
		health  mfa.Reason
		want    mfa.Reason
	}{
		{"down", []int{503}, true, mfa.GatewayDown, mfa.CallBusy},
		{"silent", nil, true, mfa.GatewaySlow, mfa.CallBusy},
		{"takes it and rings nobody", []int{100}, true, mfa.GatewaySlow, mfa.CallBusy},
		{"out of credit", []int{402}, true, mfa.GatewayNoCredit, mfa.CallBusy},
		{"barred", []int{403}, true, mfa.GatewayRefused, mfa.CallBusy},
		{"declined", []int{603}, false, mfa.ReasonNone, mfa.CallRejected},
		{"rings, and then is overloaded", []int{180, 503}, false, mfa.ReasonNone, mfa.GatewayDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			first, second := trunk("first", mfatest.Exchange(t, tt.invited, 487)), trunk("second", mfatest.Exchange(t, []int{486}))
			first.Timeout = 300 * time.Millisecond
			c := carrier(first, second)
			r, err := c.Call(ctx, telephone())
			reason(t, tt.name, err, tt.want)
			if by := map[bool]string{true: "second", false: "first"}[tt.next]; r.Gateway != by {
				t.Errorf("the call went by %s, want %s: %v", r.Gateway, by, err)
			}
			if h := c.Health(first); h.Reason != tt.health {
				t.Errorf("health of the first: %+v, want %s", h, tt.health)
			}
		})
	}
}

func TestCallsThatAreNotPlaced(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	g := trunk("trunk", "127.0.0.1:"+mfatest.FreePort(t))
	abroad := telephone()
	abroad.To = "+12125550100"
	_, err := carrier(g).Call(ctx, abroad)
	reason(t, "a country that is not allowed", err, mfa.CountryNotAllowed)
	_, err = carrier(mailGateway("relay", "127.0.0.1:25")).Call(ctx, telephone())
	reason(t, "no gateway for calls", err, mfa.NoGateway)
	g.CapDay = 0
	g.CapMonth = 1 // the rig counts by the day
	_, err = carrier(g).Call(ctx, telephone())
	reason(t, "the cap", err, mfa.SpendCapReached)
	g.CapMonth, g.SIP.Transport, g.Timeout = 0, "tcp", time.Second
	_, err = carrier(g).Call(ctx, telephone())
	reason(t, "nobody listens", err, mfa.GatewayDown)
	steps := carrier(g).Probe(ctx, g)
	if last := steps[len(steps)-1]; last.OK || last.Layer != "sip" || last.NextStep == "" {
		t.Errorf("probe: %+v", steps)
	}
}

// What a trunk answers to OPTIONS shows that it is there.
func TestTrunkIsAlive(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	p := mfatest.SippOptions(t)
	steps := carrier(trunk("trunk", p.Address)).Probe(ctx, trunk("trunk", p.Address))
	if last := steps[len(steps)-1]; !last.OK || last.Name != "trunk" || last.Detail != "it answers 200 OK" {
		t.Errorf("probe: %+v", steps)
	}
}
