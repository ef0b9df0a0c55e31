package radiusd

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
	"countersign/internal/secret"
)

type countless struct{}

func (countless) RADIUS(Outcome) {}

type yes struct{}

func (yes) Authenticate(context.Context, mfa.Request) (mfa.Decision, error) {
	return mfa.Decision{Verdict: mfa.Accept}, nil
}

// What the front-end itself costs a sign-in: from the datagram to the answer, without
// network and engine.
func BenchmarkAccess(b *testing.B) {
	r := newRig()
	r.Log, r.Metrics, r.Authenticator, r.Now = slog.New(slog.DiscardHandler), countless{}, yes{}, time.Now
	unlimited := app("vpn", "127.0.0.1/32")
	unlimited.Rate = 1_000_000_000
	r.apps.set(unlimited)
	r.prepare()
	k := &socket{conn: discard{}, name: "wire"}
	from := netip.MustParseAddrPort("127.0.0.1:1024")
	var raws [512][]byte
	for i := range raws {
		raws[i] = build(radius.AccessRequest, byte(i), random(), true, attr{radius.UserName, "alice"}, attr{radius.UserPassword, "wonder123456"})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r.deliver(k, from, raws[i%len(raws)])
	}
}

// discard is a wire that keeps nothing.
type discard struct{ *wire }

func (discard) WriteMsgUDPAddrPort(b, _ []byte, _ netip.AddrPort) (n, oobn int, err error) {
	return len(b), 0, nil
}

// The same over loopback with 64 requests on the way, the client in this process too.
func BenchmarkLoopback(b *testing.B) {
	r := newRig()
	r.Log, r.Metrics, r.Authenticator, r.Now = slog.New(slog.DiscardHandler), countless{}, yes{}, time.Now
	r.start(b)
	key := radius.NewKey(secret.FromString(shared))
	b.ReportAllocs()
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(r.AuthAddrs()[0]))
		if err != nil {
			b.Error(err)
			return
		}
		defer conn.Close()
		buf, hidden := make([]byte, 0, 4096), make([]byte, 0, 128)
		in := make([]byte, 4096)
		var id byte
		for pb.Next() {
			id++
			auth := random()
			hidden, _ = key.Hide(hidden[:0], []byte("wonder123456"), auth)
			w := radius.NewRequest(buf, radius.AccessRequest, id, auth)
			_ = w.Add(radius.UserName, []byte("alice"))
			_ = w.Add(radius.UserPassword, hidden)
			if _, err := conn.Write(w.SignRequest(key)); err != nil {
				b.Error(err)
				return
			}
			_ = conn.SetReadDeadline(time.Now().Add(patience))
			if n, err := conn.Read(in); err != nil || n < 20 || radius.Code(in[0]) != radius.AccessAccept {
				b.Errorf("answer of %d bytes: %v", n, err)
				return
			}
		}
	})
}
