package radiusd

import (
	"context"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// inside is the rig's application as one whose requests wait for a person.
func (r *rig) inside() {
	a := app("vpn", "127.0.0.1/32", "::1/128")
	a.Waiting = mfa.WaitInside
	r.apps.set(a)
}

func TestPatience(t *testing.T) {
	start := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	at := func(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }
	for _, c := range []struct {
		name       string
		repeats    []float64
		answered   float64
		superseded bool
		gaveUp     time.Duration
	}{
		{"three tries of 5 s, answered in time", []float64{5, 10}, 12, false, 0},
		{"three tries of 5 s, answered too late", []float64{5, 10}, 30, false, 15 * time.Second},
		{"a last try that is late by a little", []float64{5, 10}, 17, false, 0},
		{"longer and longer", []float64{2, 6, 14}, 60, false, 22 * time.Second},
		{"never repeated", nil, 55, false, 0},
		{"a new request instead", nil, 8, true, 8 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			seen := told{begun: start, last: start}
			for _, s := range c.repeats {
				seen.again(at(s))
			}
			p, ok := seen.patience(at(c.answered), c.superseded)
			if ok != (c.gaveUp != 0) || p.GivesUp != c.gaveUp {
				t.Errorf("%v, %v; want %s", p, ok, c.gaveUp)
			}
		})
	}
	if _, ok := (told{}).patience(start, true); ok {
		t.Error("a request that is not known gave up")
	}
}

// A request that waits for a person takes no slot of those that are worked on, is repeated in
// vain meanwhile, and a client that stops repeating it is reported and recorded.
func TestWaitingRequest(t *testing.T) {
	r := newRig()
	r.inside()
	begun, answer := make(chan struct{}, 1), make(chan struct{})
	var decided atomic.Int32
	r.engine.decide = func(ctx context.Context, q mfa.Request) (mfa.Decision, error) {
		if !q.Patient || q.Waits == nil {
			t.Error("the request does not say that it may wait")
		}
		q.Waits()
		begun <- struct{}{}
		answer := answer
		if decided.Add(1) > 1 {
			answer = nil
		}
		select {
		case <-answer:
			return mfa.Decision{Verdict: mfa.Accept, Reason: mfa.OK}, nil
		case <-ctx.Done():
			return mfa.Decision{}, ctx.Err()
		}
	}
	stop := r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	raw := build(radius.AccessRequest, 1, random(), true, attr{radius.UserName, "alice"}, attr{radius.UserPassword, "pw"})
	p.send(raw)
	<-begun
	if n, w := len(r.slots), len(r.waits); n != 0 || w != 1 {
		t.Errorf("%d are worked on and %d wait, want 0 and 1", n, w)
	}
	for i := range 2 {
		r.clock.Add(4 * time.Second)
		p.send(raw)
		r.seen.wait(t, DuplicateDropped, i+1)
	}
	r.clock.Add(20 * time.Second)
	close(answer)
	if got := p.reply(raw); got.Code() != radius.AccessAccept {
		t.Errorf("answer %s", got.Code())
	}
	r.seen.wait(t, GaveUp, 1)
	if n, _ := r.nases.NAS("id-of-vpn", netip.MustParseAddr("127.0.0.1")); n.Patience.GivesUp != 12*time.Second || n.Patience.Every != 4*time.Second {
		t.Errorf("recorded: %+v", n.Patience)
	}
	if len(r.engine.requests()) != 1 {
		t.Errorf("decided %d times", len(r.engine.requests()))
	}

	// What waits when the server stops is left at once.
	second := build(radius.AccessRequest, 2, random(), true, attr{radius.UserName, "alice"}, attr{radius.UserPassword, "pw"})
	p.send(second)
	<-begun
	began := time.Now()
	stop()
	if took := time.Since(began); took > patience/2 {
		t.Errorf("stopping took %s", took)
	}
}
