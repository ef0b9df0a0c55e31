package bench

import (
	"bytes"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/radius"
	"countersign/internal/secret"
)

// server answers RADIUS requests as behave says, and remembers whom it was asked for.
type server struct {
	addr  netip.AddrPort
	mu    sync.Mutex
	asked []string // login and code
}

func (s *server) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// behave returns the code to answer the nth request with, and the secret to sign with; 0
// is no answer.
type behave func(n int) (radius.Code, string)

func serve(t *testing.T, b behave) *server {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadBuffer(4 << 20) // 256 at once
	s := &server{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}
	done := make(chan struct{})
	t.Cleanup(func() {
		conn.Close()
		<-done
	})
	key := radius.NewKey(secret.New([]byte(sharedSecret)))
	go func() {
		defer close(done)
		var in [4096]byte
		for n := 0; ; n++ {
			size, from, err := conn.ReadFromUDPAddrPort(in[:])
			if err != nil {
				return
			}
			p, err := radius.Parse(in[:size])
			if err != nil {
				t.Errorf("request: %v", err)
				return
			}
			if signed, err := key.VerifyRequest(p); !signed || err != nil {
				t.Errorf("request: signed %t, %v", signed, err)
			}
			login, _ := p.Lookup(radius.UserName)
			hidden, _ := p.Lookup(radius.UserPassword)
			code, err := key.Reveal(nil, hidden, p.Authenticator())
			if err != nil {
				t.Errorf("request: %v", err)
			}
			s.mu.Lock()
			s.asked = append(s.asked, string(login)+" "+string(code))
			s.mu.Unlock()
			answer, with := b(n)
			if answer == 0 {
				continue
			}
			w := radius.NewReply(nil, answer, p)
			conn.WriteToUDPAddrPort(w.SignReply(radius.NewKey(secret.New([]byte(with)))), from)
		}
	}()
	return s
}

func take(t *testing.T, n int) []passcode {
	t.Helper()
	s, err := newSupply(population(n), 0, false)
	if err != nil {
		t.Fatal(err)
	}
	return s.take(n, 1000)
}

func TestClosedLoop(t *testing.T) {
	for _, inFlight := range []int{1, 5, 16, 100, 256} {
		s := serve(t, func(n int) (radius.Code, string) {
			switch n {
			case 7:
				return radius.AccessReject, sharedSecret
			case 8:
				return radius.AccessAccept, "another secret"
			case 9:
				return radius.AccessChallenge, sharedSecret
			}
			return radius.AccessAccept, sharedSecret
		})
		codes := take(t, 2000)
		v, err := newClosedVolley(s.addr, radiusDialect(2000, true), codes, inFlight)
		if err != nil {
			t.Fatal(err)
		}
		got, unsent := v.fire(time.Minute)
		v.close()
		asked := s.heard()
		if got.OK != len(asked)-3 || got.Rejected != 1 || got.Unproven != 2 || got.TimedOut != 0 || len(got.latency) != got.OK {
			t.Errorf("%d in flight: %d ok, %d rejected, %d unproven, %d timed out of %d", inFlight, got.OK, got.Rejected, got.Unproven, got.TimedOut, len(asked))
		}
		if len(asked)+len(unsent) != len(codes) || got.end >= time.Minute {
			t.Errorf("%d in flight: %d sent and %d not, of %d; the round ended after %v", inFlight, len(asked), len(unsent), len(codes), got.end)
		}
		for _, c := range unsent {
			asked = append(asked, population(0).login(c.user)+" "+c.code)
		}
		slices.Sort(asked)
		if n := len(slices.Compact(asked)); n != len(codes) {
			t.Errorf("%d in flight: %d different codes, want %d", inFlight, n, len(codes))
		}
	}
}

func TestClosedLoopGivesUpWhatIsLost(t *testing.T) {
	s := serve(t, func(n int) (radius.Code, string) {
		if n == 3 {
			return 0, ""
		}
		return radius.AccessAccept, sharedSecret
	})
	v, err := newClosedVolley(s.addr, radiusDialect(50, true), take(t, 50), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	got, _ := v.fire(time.Minute)
	if got.TimedOut != 1 || got.OK != len(s.heard())-1 || got.Rejected+got.Unproven != 0 {
		t.Errorf("%+v of %d requests, want 1 timed out and the others ok", got, len(s.heard()))
	}
}

func TestAnswersMustBeSigned(t *testing.T) {
	codes := take(t, 1)
	key := radius.NewKey(secret.New([]byte(sharedSecret)))
	d := radiusDialect(1, true)
	r, err := d.prepare(codes[0], 3)
	if err != nil {
		t.Fatal(err)
	}
	p, err := radius.Parse(r.packet)
	if err != nil {
		t.Fatal(err)
	}
	w := radius.NewReply(nil, radius.AccessAccept, p)
	whole := bytes.Clone(w.SignReply(key))
	for _, c := range []struct {
		name   string
		change func([]byte) []byte
		want   outcome
	}{
		{"right", func(b []byte) []byte { return b }, accepted},
		{"authenticator changed", func(b []byte) []byte { b[5]++; return b }, unproven},
		{"Message-Authenticator changed", func(b []byte) []byte { b[25]++; return b }, unproven},
		{"cut", func(b []byte) []byte { return b[:19] }, unproven},
	} {
		if got := d.judge(&r, c.change(bytes.Clone(whole))); got != c.want {
			t.Errorf("%s: outcome %d, want %d", c.name, got, c.want)
		}
	}
}

func TestOpenLoop(t *testing.T) {
	s := serve(t, func(n int) (radius.Code, string) {
		switch n {
		case 7:
			return radius.AccessReject, sharedSecret
		case 9:
			return 0, ""
		}
		return radius.AccessAccept, sharedSecret
	})
	codes := take(t, 1000)
	v, err := newOpenVolley(s.addr, radiusDialect(1000, true), codes, 2000)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	got, unsent := v.fire(250 * time.Millisecond)
	if len(s.heard()) != 500 || len(unsent) != 500 || got.OK != 498 || got.Rejected != 1 || got.TimedOut != 1 || got.Unproven+got.Withheld != 0 {
		t.Errorf("%d sent, %d not; %+v; want 500 and 500, with 498 ok", len(s.heard()), len(unsent), got)
	}
}

func TestOpenLoopWithholdsWhatHasNoIdentifier(t *testing.T) {
	s := serve(t, func(int) (radius.Code, string) { return 0, "" })
	n := 256*openSockets + 100
	v, err := newOpenVolley(s.addr, radiusDialect(population(n), true), take(t, n), 100_000)
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	got, unsent := v.fire(time.Second)
	if got.Withheld != 100 || len(unsent) != 100 || got.TimedOut != n-100 || got.OK != 0 {
		t.Errorf("%+v and %d unsent, want 100 withheld and %d timed out", got, len(unsent), n-100)
	}
}
