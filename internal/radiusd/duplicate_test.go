package radiusd

import (
	"bytes"
	"context"
	"net/netip"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// held is an engine that answers when the test lets it.
func held(r *rig) (asked chan mfa.Request, let chan mfa.Decision) {
	asked, let = make(chan mfa.Request, 16), make(chan mfa.Decision)
	r.engine.decide = func(ctx context.Context, q mfa.Request) (mfa.Decision, error) {
		asked <- q
		select {
		case d := <-let:
			return d, nil
		case <-ctx.Done():
			return mfa.Decision{}, ctx.Err()
		}
	}
	return asked, let
}

func TestRetransmit(t *testing.T) {
	r := newRig()
	asked, let := held(r)
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	raw := pap(true)
	p.send(raw)
	first := <-asked
	p.send(raw)
	p.send(append(bytes.Clone(raw), "padding"...))
	r.seen.wait(t, DuplicateDropped, 2)
	let <- mfa.Decision{Verdict: mfa.Accept, Message: "welcome"}
	answer := p.read()
	for n := range 3 {
		p.send(raw)
		if again := p.read(); !bytes.Equal(again, answer) {
			t.Fatalf("retransmit %d got %x, want %x", n, again, answer)
		}
	}
	r.clock.Add(keepAnswers - time.Nanosecond)
	p.send(raw)
	if again := p.read(); !bytes.Equal(again, answer) {
		t.Fatalf("just before 30 s: got %x, want %x", again, answer)
	}
	if n := len(r.engine.requests()); n != 1 {
		t.Fatalf("the engine was asked %d times, want once", n)
	}
	r.clock.Add(time.Nanosecond)
	p.send(raw)
	if again := <-asked; again.Leg != first.Leg {
		t.Error("after 30 s the engine was asked with another leg id")
	}
	let <- mfa.Decision{}
	p.reply(raw)
}

// The same identifier with another authenticator, or with the same one and other content,
// is a new request; the older one's answer still goes out but is not kept.
func TestNewRequestWithOldIdentifier(t *testing.T) {
	auth := random()
	alice := build(radius.AccessRequest, 5, auth, true, attr{radius.UserName, "alice"}, attr{radius.UserPassword, "x"})
	tests := []struct {
		name string
		next []byte
	}{
		{"other authenticator", build(radius.AccessRequest, 5, random(), true, attr{radius.UserName, "alice"}, attr{radius.UserPassword, "x"})},
		{"repeated authenticator, other user", build(radius.AccessRequest, 5, auth, true, attr{radius.UserName, "mallory"}, attr{radius.UserPassword, "x"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			asked, let := held(r)
			r.start(t)
			p := dial(t, r.AuthAddrs()[0], "")
			p.send(alice)
			one := <-asked
			p.send(tt.next)
			two := <-asked
			if one.Leg == two.Leg {
				t.Error("both have the same leg id")
			}
			let <- mfa.Decision{Verdict: mfa.Accept}
			let <- mfa.Decision{Verdict: mfa.Accept}
			p.read()
			p.read()
			r.seen.wait(t, Accepted, 2)
			p.send(tt.next)
			p.reply(tt.next)
			r.seen.wait(t, Retransmitted, 1)
			p.send(alice) // its place is taken
			<-asked
			let <- mfa.Decision{}
			if got := p.reply(alice); got.Code() != radius.AccessReject {
				t.Errorf("answer is %s", got.Code())
			}
		})
	}
}

func TestRetransmitsFromOtherPortsAreOthers(t *testing.T) {
	r := newRig()
	r.start(t)
	raw := pap(true)
	for range 2 {
		p := dial(t, r.AuthAddrs()[0], "")
		p.send(raw)
		p.reply(raw)
	}
	asked := r.engine.requests()
	if len(asked) != 2 || asked[0].Leg == asked[1].Leg {
		t.Errorf("asked %d times, want twice with two leg ids", len(asked))
	}
}

func TestDuplicatesAreBounded(t *testing.T) {
	var d duplicates
	d.init()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	key := func(i int) requestKey {
		return requestKey{netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1), 0, 1}
	}
	const n = 3 * duplicateParts * maxAnswers / 2
	for i := range n {
		if s, _ := d.begin(key(i), mfa.LegID{1}, now, nil); s != isNew {
			t.Fatalf("request %d is not new", i)
		}
		d.answer(key(i), mfa.LegID{1}, now, []byte("reply"))
	}
	count := func() (m, ring int) {
		for i := range d.parts {
			m += len(d.parts[i].requests)
			ring += d.parts[i].answered
		}
		return m, ring
	}
	if m, ring := count(); m > duplicateParts*maxAnswers || ring != m {
		t.Errorf("%d kept, %d in the rings, want at most %d", m, ring, duplicateParts*maxAnswers)
	}
	if s, reply := d.begin(key(n-1), mfa.LegID{1}, now, nil); s != isAnswered || string(reply) != "reply" {
		t.Error("the newest answer is gone")
	}
	for i := range n {
		d.part(key(i)).expire(now.Add(keepAnswers))
	}
	if m, ring := count(); m != 0 || ring != 0 {
		t.Errorf("%d kept and %d in the rings after their time", m, ring)
	}
	if s, _ := d.begin(key(1), mfa.LegID{1}, now, nil); s != isNew {
		t.Error("not new after its time")
	}
	d.forget(key(1), mfa.LegID{2})
	if s, _ := d.begin(key(1), mfa.LegID{1}, now, nil); s != isBusy {
		t.Error("forgetting another leg forgot this one")
	}
	d.forget(key(1), mfa.LegID{1})
	if s, _ := d.begin(key(1), mfa.LegID{1}, now, nil); s != isNew {
		t.Error("forgotten, but not new")
	}
}
