package radiusd

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

func TestUnknownClientsGetNothing(t *testing.T) {
	r := newRig()
	r.start(t)
	stranger := dial(t, r.AuthAddrs()[0], "127.0.0.2")
	for _, raw := range [][]byte{pap(true), pap(false), build(radius.StatusServer, 1, random(), true), {}, make([]byte, 4096)} {
		stranger.send(raw)
	}
	r.seen.wait(t, UnknownClient, 5)
	if n := len(r.engine.requests()); n != 0 {
		t.Errorf("the engine was asked %d times", n)
	}
	r.logged(t, "client=127.0.0.2")
	r.logged(t, "application add")
	if n := strings.Count(r.log.String(), "client=127.0.0.2"); n != 1 {
		t.Errorf("%d lines for one client in one window, want 1", n)
	}
	r.apps.set(app("vpn", "127.0.0.0/8")) // and from now on it is known: the first answer is to this
	stranger.silent()
	r.clock.Add(noiseWindow)
	r.noise.roll(r.clock.Now())
	r.logged(t, "suppressed=4")
}

func TestClientsByLongestMatch(t *testing.T) {
	r := newRig()
	other := app("other", "127.0.0.0/8", "fe80::/10", "::ffff:192.0.2.0/120")
	off := app("off", "10.0.0.0/8", "172.16.0.1/32")
	off.Disabled = true
	noSecret := app("no-secret", "198.51.100.0/24")
	noSecret.Secret = secret.Text{}
	web := app("web", "203.0.113.0/24")
	web.Kind = mfa.KindWeb
	r.apps.set(app("vpn", "127.0.0.1/32"), other, app("twin", "10.0.0.0/8"), off, noSecret, web, app("clash-1", "100.64.0.0/10"), app("clash-2", "100.64.0.0/10"), app("clash-3", "100.64.0.0/10"))
	r.prepare()
	for addr, want := range map[string]string{
		"127.0.0.1": "vpn", "127.0.0.2": "other", "fe80::1": "other", "192.0.2.9": "other", "10.1.1.1": "twin", "172.16.0.1": "off",
		"198.51.100.1": "", "203.0.113.1": "", "100.64.0.1": "", "8.8.8.8": "",
	} {
		got := ""
		if c := r.clients.lookup(netip.MustParseAddr(addr)); c != nil {
			got = c.app.Name
		}
		if got != want {
			t.Errorf("%s belongs to %q, want %q", addr, got, want)
		}
	}
	r.logged(t, "no shared secret")
	r.logged(t, "same address")
	r.apps.set()
	if r.clients.lookup(netip.MustParseAddr("127.0.0.1")) != nil {
		t.Error("a removed application still answers")
	}
}

func TestChangedSecretCountsAtOnce(t *testing.T) {
	r := newRig()
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	p.silent()
	a := app("vpn", "127.0.0.1/32")
	a.Secret = secret.FromString("another")
	r.apps.set(a)
	p.send(pap(true))
	r.seen.wait(t, BadMA, 1)
}

func TestRateLimit(t *testing.T) {
	var b bucket
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	count := func(at time.Time, rate int) (n int) {
		for range 3 * max(rate, 10) {
			if b.allow(at, rate) {
				n++
			}
		}
		return n
	}
	if n := count(now, 100); n != 100 {
		t.Errorf("a full bucket gave %d, want 100", n)
	}
	if n := count(now.Add(250*time.Millisecond), 100); n != 25 {
		t.Errorf("after 250 ms: %d, want 25", n)
	}
	if n := count(now.Add(time.Hour), 100); n != 100 {
		t.Errorf("after an hour: %d, want 100", n)
	}
	if n := count(now.Add(-24*time.Hour), 100); n != 100 {
		t.Errorf("after the clock was set back: %d, want 100", n)
	}
	b = bucket{}
	if n := count(now, 1); n != 10 {
		t.Errorf("rate 1: a full bucket gave %d, want 10", n)
	}
	b = bucket{}
	if n := count(now.Add(time.Hour), defaultRate); n != defaultRate || !b.allow(now.Add(2*time.Hour), 0) {
		t.Errorf("default: %d", n)
	}
}

func TestRateLimitedPacketsAreDropped(t *testing.T) {
	r := newRig()
	a := app("vpn", "127.0.0.1/32")
	a.Rate = 10
	r.apps.set(a)
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	for i := range 11 {
		raw := build(radius.StatusServer, byte(i), random(), true)
		p.send(raw)
		if i < 10 {
			p.reply(raw)
		}
	}
	r.seen.wait(t, RateLimited, 1)
	r.logged(t, "raise the application's rate")
	r.clock.Add(time.Second)
	p.silent()
}

func TestOverloadIsDropped(t *testing.T) {
	r := newRig()
	asked, let := held(r)
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	r.slots = make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Run(ctx) }()
	p := dial(t, r.AuthAddrs()[0], "")
	one, two := pap(true), build(radius.AccessRequest, 18, random(), true, attr{radius.UserName, "bob"}, attr{radius.UserPassword, "x"})
	p.send(one)
	<-asked
	p.send(two)
	r.seen.wait(t, Overloaded, 1)
	let <- mfa.Decision{}
	p.reply(one)
	r.seen.wait(t, Rejected, 1)
	r.slots <- struct{}{} // the slot is given back after the answer is sent
	<-r.slots
	p.send(two) // its retransmit is new
	<-asked
	let <- mfa.Decision{}
	p.reply(two)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRunEndsRequestsInWork(t *testing.T) {
	r := newRig()
	asked, let := held(r)
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	p := dial(t, r.AuthAddrs()[0], "")
	raw := pap(true)
	p.send(raw)
	<-asked
	cancel()
	let <- mfa.Decision{Verdict: mfa.Accept}
	if got := p.reply(raw); got.Code() != radius.AccessAccept {
		t.Errorf("answer is %s", got.Code())
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := newRig().Run(t.Context()); err == nil {
		t.Error("Run without Listen returned no error")
	}
}

func TestDecisionsHaveADeadline(t *testing.T) {
	r := newRig()
	r.Timeout = func() time.Duration { return time.Millisecond }
	r.engine.decide = func(ctx context.Context, _ mfa.Request) (mfa.Decision, error) {
		<-ctx.Done()
		return mfa.Decision{}, ctx.Err()
	}
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	p.send(pap(true))
	r.seen.wait(t, Failed, 1)
}

func TestListenErrors(t *testing.T) {
	taken, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.LocalAddr().String()
	tests := []struct {
		name       string
		auth, acct []string
		want       []string
	}{
		{"taken", []string{address}, nil, []string{"listen.radius:", address, "another program has this port"}},
		{"taken, accounting", []string{"127.0.0.1:0"}, []string{address}, []string{"listen.radius_accounting:", address}},
		{"no port", []string{"127.0.0.1"}, nil, []string{"listen.radius:", `"127.0.0.1"`, "host:port"}},
		{"port out of range", []string{"127.0.0.1:70000"}, nil, []string{"listen.radius:", "70000"}},
		{"foreign address", []string{"192.0.2.77:0"}, nil, []string{"listen.radius:", "192.0.2.77", "no such address"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			r.Auth, r.Acct = tt.auth, tt.acct
			err := r.Listen()
			if err == nil {
				t.Fatal("no error")
			}
			for _, part := range tt.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("error %q lacks %q", err, part)
				}
			}
			if strings.Contains(err.Error(), "\n") || len(r.sockets) != 0 {
				t.Errorf("error of several lines, or sockets left: %q", err)
			}
		})
	}
}

func TestAddressFamilies(t *testing.T) {
	tests := []struct{ name, listen, to, from string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1", "::1"},
		{"every IPv4 address, another one asked", "0.0.0.0:0", "127.0.0.9", "127.0.0.1"},
		{"every address, IPv4", ":0", "127.0.0.9", "127.0.0.1"},
		{"every address, IPv6", ":0", "::1", "::1"},
		{"every IPv6 address", "[::]:0", "::1", "::1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig()
			r.Auth, r.Acct = []string{tt.listen}, nil
			r.engine.decide = accept
			r.start(t)
			to := netip.AddrPortFrom(netip.MustParseAddr(tt.to), r.AuthAddrs()[0].Port())
			p := dial(t, to, tt.from) // connected: takes answers from the address it asked, and no other
			raw := pap(true)
			p.send(raw)
			p.reply(raw)
			if got := r.engine.requests()[0].Peer; got != p.conn.LocalAddr().(*net.UDPAddr).AddrPort() {
				t.Errorf("peer = %s", got)
			}
		})
	}
}

func TestNoiseIsBounded(t *testing.T) {
	r := newRig()
	r.prepare()
	for i := range 1000 {
		for range 3 {
			r.complain(0, "kind", netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), "trouble")
		}
	}
	if n := strings.Count(r.log.String(), "msg=trouble"); n != noiseLines {
		t.Errorf("%d lines in one window, want %d", n, noiseLines)
	}
	r.clock.Add(noiseWindow)
	r.complain(0, "kind", netip.Addr{}, "trouble")
	r.logged(t, "suppressed=2")
	r.logged(t, fmt.Sprintf("suppressed=%d", 3*(1000-noiseLines)))
	if n := strings.Count(r.log.String(), "\n"); n > 2*noiseLines+2 {
		t.Errorf("%d lines", n)
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	names := map[string]bool{}
	for _, o := range Outcomes() {
		if o.String() == "" || o.String() == "unknown" || names[o.String()] {
			t.Errorf("outcome %d is named %q", o, o)
		}
		names[o.String()] = true
	}
	if Outcome(200).String() != "unknown" {
		t.Error("an outcome that is none has a name")
	}
}
