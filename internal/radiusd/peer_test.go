package radiusd

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func accept(context.Context, mfa.Request) (mfa.Decision, error) {
	return mfa.Decision{Verdict: mfa.Accept}, nil
}

// exchange sends one PAP request and reports whether it was answered.
func (r *rig) exchange(t *testing.T, p *peerSocket, signed bool) bool {
	t.Helper()
	dropped, letIn := r.seen.of(MissingMA), r.seen.of(Unsigned)
	raw := pap(signed)
	p.send(raw)
	if !signed {
		r.seen.until(t, "either outcome", func() bool {
			return r.seen.count[MissingMA] > dropped || r.seen.count[Unsigned] > letIn
		})
		if r.seen.of(MissingMA) > dropped {
			p.silent()
			return false
		}
	}
	p.reply(raw)
	return true
}

func TestRatchet(t *testing.T) {
	tests := []struct {
		mode     mfa.MessageAuthenticator
		unsigned bool // answered before a signed request was seen
		after    bool // answered after
	}{
		{"", true, false},
		{mfa.MALearn, true, false},
		{mfa.MAWarn, true, true},
		{mfa.MARequire, false, false},
		{"nonsense", false, false},
	}
	for _, tt := range tests {
		t.Run("mode "+string(tt.mode), func(t *testing.T) {
			r := newRig()
			r.engine.decide = accept
			a := app("vpn", "127.0.0.1/32")
			a.MA = tt.mode
			r.apps.set(a)
			stop := r.start(t)
			p := dial(t, r.AuthAddrs()[0], "")
			if got := r.exchange(t, p, false); got != tt.unsigned {
				t.Errorf("unsigned answered: %v, want %v", got, tt.unsigned)
			}
			p.silent() // a signed Status-Server proves nothing
			if got := r.exchange(t, p, false); got != tt.unsigned {
				t.Errorf("unsigned answered after Status-Server: %v, want %v", got, tt.unsigned)
			}
			if !r.exchange(t, p, true) {
				t.Error("signed was not answered")
			}
			if got := r.exchange(t, p, false); got != tt.after {
				t.Errorf("unsigned answered after a signed one: %v, want %v", got, tt.after)
			}
			stop()
			again := newRig() // the process starts again with what was recorded
			again.engine.decide = accept
			again.apps.set(a)
			again.NASes = r.nases
			again.start(t)
			p = dial(t, again.AuthAddrs()[0], "")
			if got := again.exchange(t, p, false); got != tt.after {
				t.Errorf("unsigned answered after a restart: %v, want %v", got, tt.after)
			}
		})
	}
}

func TestProofIsRecordedBeforeTheAnswer(t *testing.T) {
	r := newRig()
	var mu sync.Mutex
	var events []string
	note := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, s)
	}
	r.nases.before = func() { note("record") }
	r.engine.decide = func(ctx context.Context, q mfa.Request) (mfa.Decision, error) {
		note("decide")
		return accept(ctx, q)
	}
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	for range 3 {
		raw := pap(true)
		p.send(raw)
		p.reply(raw)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := []string{"record", "decide", "decide", "decide"}; !slices.Equal(events, want) {
		t.Errorf("events = %v, want %v", events, want)
	}
	known, ok := r.nases.NAS("id-of-vpn", netip.MustParseAddr("127.0.0.1"))
	if !ok || !known.Proven.Equal(r.clock.Now()) {
		t.Errorf("recorded: %+v, %v", known, ok)
	}
}

func TestRatchetHoldsWhenItCannotBeRecorded(t *testing.T) {
	r := newRig()
	r.engine.decide = accept
	r.nases.setFail(errTest)
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	if !r.exchange(t, p, true) {
		t.Fatal("not answered while the record fails")
	}
	r.logged(t, "could not record that this RADIUS client signs")
	if r.exchange(t, p, false) {
		t.Error("unsigned answered although memory knows better")
	}
	r.nases.setFail(nil)
	if !r.exchange(t, p, true) {
		t.Fatal("not answered")
	}
	if n := r.nases.writes; n != 1 {
		t.Errorf("%d writes, want none more before the retry is due", n)
	}
	r.clock.Add(recordRetry)
	r.savePeers(t.Context())
	known, ok := r.nases.NAS("id-of-vpn", netip.MustParseAddr("127.0.0.1"))
	if !ok || known.Proven.IsZero() {
		t.Error("the retry recorded nothing")
	}
	r.savePeers(t.Context())
	if r.nases.writes != 2 {
		t.Errorf("%d writes, want 2", r.nases.writes)
	}
}

func TestRatchetOfAnotherServer(t *testing.T) {
	r := newRig()
	r.engine.decide = accept
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	if !r.exchange(t, p, false) {
		t.Fatal("unsigned not answered")
	}
	_ = r.nases.RecordNAS(t.Context(), mfa.NAS{Application: "id-of-vpn", Address: netip.MustParseAddr("127.0.0.1"), Proven: r.clock.Now()})
	if r.exchange(t, p, false) {
		t.Error("unsigned answered although another server saw a signed one")
	}
}

func TestUnsignedIsRecordedHourly(t *testing.T) {
	r := newRig()
	r.prepare()
	c := &client{app: app("vpn"), mode: mfa.MALearn}
	addr := netip.MustParseAddr("192.0.2.1")
	p := r.peer(c.app.ID, addr, r.clock.Now())
	start := r.clock.Now()
	for i, want := range []int{1, 1, 1, 2} {
		if !r.mayBeUnsigned(c, p, r.clock.Now()) {
			t.Fatal("unsigned was refused")
		}
		r.savePeers(t.Context())
		if r.nases.writes != want {
			t.Errorf("after request %d: %d writes, want %d", i, r.nases.writes, want)
		}
		r.clock.Add(20 * time.Minute)
	}
	known, _ := r.nases.NAS(c.app.ID, addr)
	if !known.FirstSeen.Equal(start) || !known.Without.Equal(start.Add(time.Hour)) || !known.Proven.IsZero() {
		t.Errorf("recorded %+v", known)
	}
}

func TestPeersOfARemovedApplicationAreForgotten(t *testing.T) {
	r := newRig()
	r.prepare()
	r.nases.setFail(fmt.Errorf("application id-of-vpn: %w", mfa.ErrNotFound))
	signed := r.peer("id-of-vpn", netip.MustParseAddr("192.0.2.1"), r.clock.Now())
	signed.proven.Store(true)
	unsigned := r.peer("id-of-vpn", netip.MustParseAddr("192.0.2.2"), r.clock.Now())
	unsigned.without.Store(hour(r.clock.Now()))
	r.savePeers(t.Context())
	if len(r.peers.m) != 0 {
		t.Errorf("%d kept", len(r.peers.m))
	}
}

func TestPeersAreBounded(t *testing.T) {
	r := newRig()
	r.prepare()
	now := r.clock.Now()
	addr := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	pinned := r.peer("a", addr(0), now)
	pinned.proven.Store(true)
	for i := range 3 * maxPeers {
		r.peer("a", addr(i), now)
		if len(r.peers.m) > maxPeers {
			t.Fatalf("%d client addresses kept", len(r.peers.m))
		}
	}
	if r.peer("a", addr(0), now) != pinned {
		t.Error("a proof that is not recorded was forgotten")
	}
	if r.peer("b", addr(0), now) == pinned {
		t.Error("another application shares the ratchet")
	}
}

func TestBlastradius(t *testing.T) {
	at := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	one, two := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	with := func(name string, m mfa.MessageAuthenticator) mfa.Application {
		a := app(name)
		a.MA = m
		return a
	}
	report := Blastradius(
		[]mfa.Application{with("learn", ""), with("warn", mfa.MAWarn), with("require", mfa.MARequire), with("unused", ""), {ID: "x", Name: "x", Kind: mfa.KindLDAP}},
		[]mfa.NAS{
			{Application: "id-of-learn", Address: two, Without: at}, {Application: "id-of-learn", Address: one, Proven: at, Without: at},
			{Application: "id-of-warn", Address: one, Proven: at}, {Application: "id-of-require", Address: one, Without: at}, {Application: "gone", Address: one},
		})
	type row struct {
		name string
		addr netip.Addr
		mode string
		safe bool
	}
	want := []row{{"learn", one, "learn", true}, {"learn", two, "learn", false}, {"require", one, "require", true},
		{"unused", netip.Addr{}, "learn", false}, {"warn", one, "warn", false}}
	var got []row
	for _, e := range report {
		got = append(got, row{e.Application, e.Address, e.Mode, e.Safe})
		if e.Safe == (e.Next != "") {
			t.Errorf("%s %s: safe %v with next step %q", e.Application, e.Address, e.Safe, e.Next)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
