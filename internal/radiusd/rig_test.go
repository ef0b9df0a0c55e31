package radiusd

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shared = "xyzzy5461"

// patience is how long a test waits for what must happen. It never waits for what must not.
const patience = 10 * time.Second

// authenticator is a fake: it remembers what it was asked and answers what the test says.
type authenticator struct {
	mu     sync.Mutex
	asked  []mfa.Request
	decide func(ctx context.Context, r mfa.Request) (mfa.Decision, error)
}

func (a *authenticator) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	a.mu.Lock()
	a.asked = append(a.asked, r)
	decide := a.decide
	a.mu.Unlock()
	if decide == nil {
		return mfa.Decision{}, nil
	}
	return decide(ctx, r)
}

func (a *authenticator) requests() []mfa.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]mfa.Request(nil), a.asked...)
}

// applications is a fake list that counts its generations.
type applications struct {
	mu         sync.Mutex
	list       []mfa.Application
	generation uint64
}

func (a *applications) Applications() []mfa.Application {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.list
}

func (a *applications) ApplicationsGeneration() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.generation
}

func (a *applications) set(list ...mfa.Application) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list, a.generation = list, a.generation+1
}

// nases is a fake record of client addresses that merges as the interface demands.
type nases struct {
	mu     sync.Mutex
	known  map[string]mfa.NAS
	fail   error
	writes int
	before func()
}

func (n *nases) NAS(app mfa.ApplicationID, addr netip.Addr) (mfa.NAS, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	k, ok := n.known[string(app)+addr.String()]
	return k, ok
}

func (n *nases) RecordNAS(_ context.Context, r mfa.NAS) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.before != nil {
		n.before()
	}
	n.writes++
	if n.fail != nil {
		return n.fail
	}
	if n.known == nil {
		n.known = map[string]mfa.NAS{}
	}
	k := string(r.Application) + r.Address.String()
	old, ok := n.known[k]
	if ok {
		r.FirstSeen = old.FirstSeen
		if !old.Proven.IsZero() {
			r.Proven = old.Proven
		}
		if old.Without.After(r.Without) {
			r.Without = old.Without
		}
		if old.Patience.Seen.After(r.Patience.Seen) {
			r.Patience = old.Patience
		}
	}
	n.known[k] = r
	return nil
}

func (n *nases) setFail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fail = err
}

// outcomesSeen is a fake Metrics that can be waited for.
type outcomesSeen struct {
	mu    sync.Mutex
	count map[Outcome]int
	ring  chan struct{}
}

func (o *outcomesSeen) RADIUS(x Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.count == nil {
		o.count, o.ring = map[Outcome]int{}, make(chan struct{})
	}
	o.count[x]++
	close(o.ring)
	o.ring = make(chan struct{})
}

func (o *outcomesSeen) of(x Outcome) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count[x]
}

// wait waits until x was counted n times.
func (o *outcomesSeen) wait(t testing.TB, x Outcome, n int) {
	t.Helper()
	o.until(t, x.String(), func() bool { return o.count[x] >= n })
}

// until waits until is is true; it is called with o locked.
func (o *outcomesSeen) until(t testing.TB, what string, is func() bool) {
	t.Helper()
	over := time.After(patience)
	for {
		o.mu.Lock()
		if o.count == nil {
			o.count, o.ring = map[Outcome]int{}, make(chan struct{})
		}
		yes, ring := is(), o.ring
		o.mu.Unlock()
		if yes {
			return
		}
		select {
		case <-ring:
		case <-over:
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("waited in vain for %s; counted: %v", what, o.count)
		}
	}
}

// lines is a log that can be searched.
type lines = mfatest.Output

// rig is a server with fakes around it.
type rig struct {
	*Server
	engine *authenticator
	apps   *applications
	nases  *nases
	seen   *outcomesSeen
	clock  *mfatest.Clock
	log    *lines
}

func app(name string, addresses ...string) mfa.Application {
	a := mfa.Application{ID: mfa.ApplicationID("id-of-" + name), Name: name, Kind: mfa.KindRADIUS, Secret: secret.FromString(shared)}
	for _, p := range addresses {
		a.Addresses = append(a.Addresses, netip.MustParsePrefix(p))
	}
	return a
}

// newRig returns a server that knows 127.0.0.1 and ::1 and does not run yet.
func newRig() *rig {
	r := &rig{engine: &authenticator{}, apps: &applications{}, nases: &nases{}, seen: &outcomesSeen{},
		clock: mfatest.NewClock(time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)), log: &lines{}}
	r.apps.set(app("vpn", "127.0.0.1/32", "::1/128"))
	r.Server = &Server{
		Auth: []string{"127.0.0.1:0"}, Acct: []string{"127.0.0.1:0"},
		Authenticator: r.engine, Timeout: func() time.Duration { return patience }, Waiting: func() time.Duration { return time.Minute }, Applications: r.apps, NASes: r.nases,
		Ready: func() error { return nil }, Metrics: r.seen, Now: r.clock.Now,
		Log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	return r
}

// start binds and runs r until the test ends or stop is called.
func (r *rig) start(t testing.TB) (stop func()) {
	t.Helper()
	if err := r.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("Run: %v", err)
			}
		case <-time.After(2 * patience):
			t.Error("Run did not end")
		}
	})
	t.Cleanup(stop)
	return stop
}

// peerSocket is a RADIUS client that sends what the test says.
type peerSocket struct {
	t    testing.TB
	conn *net.UDPConn
	key  *radius.Key
}

func dial(t testing.TB, to netip.AddrPort, from string) *peerSocket {
	t.Helper()
	var local *net.UDPAddr
	if from != "" {
		local = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(from), 0))
	}
	conn, err := net.DialUDP("udp", local, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &peerSocket{t, conn, radius.NewKey(secret.FromString(shared))}
}

func (p *peerSocket) send(raw []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(raw); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next datagram, which must come.
func (p *peerSocket) read() []byte {
	p.t.Helper()
	b := make([]byte, 8192)
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	n, err := p.conn.Read(b)
	if err != nil {
		p.t.Fatal(err)
	}
	return b[:n]
}

// reply reads the answer to raw and proves it.
func (p *peerSocket) reply(raw []byte) radius.Packet {
	p.t.Helper()
	got, err := radius.Parse(p.read())
	if err != nil {
		p.t.Fatal(err)
	}
	if got.Identifier() != raw[1] {
		p.t.Fatalf("answer to identifier %d, want %d", got.Identifier(), raw[1])
	}
	signed, err := p.key.VerifyReply(got, [16]byte(raw[4:20]))
	if err != nil || !signed && radius.Code(raw[0]) != radius.AccountingRequest {
		p.t.Fatalf("VerifyReply = %v, %v", signed, err)
	}
	return got
}

// silent proves that nothing was sent to p before now: the next thing that comes is the
// answer to a question asked now. What p sent before must have been counted.
func (p *peerSocket) silent() {
	p.t.Helper()
	raw := build(radius.StatusServer, 250, random(), true)
	p.send(raw)
	p.reply(raw)
}

func random() (a [16]byte) {
	_, _ = rand.Read(a[:])
	return a
}

// attr is an attribute of a request that is built.
type attr struct {
	typ   radius.Type
	value string
}

// build makes a request and hides a User-Password; typ 0 is a User-Password whose value
// goes as it is.
func build(code radius.Code, id byte, auth [16]byte, signed bool, attrs ...attr) []byte {
	key := radius.NewKey(secret.FromString(shared))
	w := radius.NewRequest(nil, code, id, auth)
	for _, a := range attrs {
		v := []byte(a.value)
		if a.typ == radius.UserPassword {
			v, _ = key.Hide(nil, v, auth)
		}
		if a.typ == 0 {
			a.typ = radius.UserPassword
		}
		if err := w.Add(a.typ, v); err != nil {
			panic(err)
		}
	}
	raw := w.SignRequest(key)
	if !signed {
		raw = append(raw[:20:20], raw[38:]...)
		raw[2], raw[3] = byte(len(raw)>>8), byte(len(raw))
	}
	return raw
}

// pap is an Access-Request of alice.
func pap(signed bool, more ...attr) []byte {
	return build(radius.AccessRequest, 17, random(), signed, append([]attr{{radius.UserName, "alice"}, {radius.UserPassword, "wonder"}}, more...)...)
}

var errTest = errors.New("fault made by the test")

// logged checks that the log holds text.
func (r *rig) logged(t testing.TB, text string) {
	t.Helper()
	if !strings.Contains(r.log.String(), text) {
		t.Errorf("the log lacks %q:\n%s", text, r.log)
	}
}
