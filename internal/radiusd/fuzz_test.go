package radiusd

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// wire is a socket without a network: what is sent is kept.
type wire struct {
	mu   sync.Mutex
	sent [][]byte
}

func (w *wire) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, os.ErrDeadlineExceeded
}

func (w *wire) ReadMsgUDPAddrPort(_, _ []byte) (n, oobn, flags int, addr netip.AddrPort, err error) {
	return 0, 0, 0, addr, os.ErrDeadlineExceeded
}

func (w *wire) WriteMsgUDPAddrPort(b, _ []byte, _ netip.AddrPort) (n, oobn int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, append([]byte(nil), b...))
	return len(b), 0, nil
}

func (w *wire) SetReadDeadline(time.Time) error { return nil }
func (w *wire) Close() error                    { return nil }

// deliver hands b to the server as if it had come from from, and waits for the end of it.
func (r *rig) deliver(k *socket, from netip.AddrPort, b []byte) {
	j := r.jobs.Get().(*job)
	n := copy(j.in[:], b)
	j.socket, j.from, j.addr = k, from, from.Addr()
	if !r.receive(j, j.in[:n]) {
		r.jobs.Put(j)
	}
	r.handlers.Wait()
}

// end ends the goroutines that rest.
func (r *rig) end() {
	close(r.todo)
	r.workers.Wait()
}

// genuine says, with the standard library alone, whether b may be answered on a port.
func genuine(b []byte, acct bool) bool {
	if len(b) < 20 {
		return false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < 20 || n > 4096 || n > len(b) {
		return false
	}
	b = append([]byte(nil), b[:n]...)
	signatures, at, eap := 0, 0, false
	for i := 20; i < n; {
		if i+1 >= n || b[i+1] < 2 || i+int(b[i+1]) > n {
			return false
		}
		switch b[i] {
		case 80:
			signatures++
			at = i + 2
			if b[i+1] != 18 {
				return false
			}
		case 79:
			eap = true
		}
		i += int(b[i+1])
	}
	if b[0] == 4 && !hmac.Equal(b[4:20], sumMD5(b[:4], make([]byte, 16), b[20:], []byte(shared))) {
		return false
	}
	if signatures == 1 {
		got := append([]byte(nil), b[at:at+16]...)
		clear(b[at : at+16])
		if b[0] == 4 {
			clear(b[4:20])
		}
		if !hmac.Equal(got, hmacMD5(b)) {
			return false
		}
	}
	switch b[0] {
	case 1:
		return !acct && signatures <= 1 && (signatures == 1 || !eap)
	case 4:
		return acct && signatures <= 1
	case 12:
		return signatures == 1
	}
	return false
}

// Whatever comes: no panic, nothing to strangers, nothing to what is not genuine, one
// answer to what is, and that answer proves itself.
func FuzzDatagram(f *testing.F) {
	f.Add(pap(true)[20:], byte(1), byte(1), uint8(0), false)
	f.Add(pap(true)[38:], byte(1), byte(3), uint8(1), false)
	f.Add(pap(false)[20:], byte(1), byte(1), uint8(2), false)
	f.Add([]byte{}, byte(12), byte(3), uint8(0), true)
	f.Add([]byte{40, 6, 0, 0, 0, 1, 33, 3, 'x'}, byte(4), byte(5), uint8(0), true)
	f.Add([]byte{40, 6, 0, 0, 0, 1}, byte(4), byte(7), uint8(0), true)
	f.Add([]byte{79, 7, 2, 1, 0, 5, 1}, byte(1), byte(3), uint8(1), false)
	f.Add([]byte{26, 12, 0, 0, 1, 55, 11, 2, 25, 4, 0, 0}, byte(1), byte(3), uint8(1), false)
	f.Add([]byte{1, 0}, byte(1), byte(1), uint8(0), false)
	// fix: 1 sets the length, 2 puts a right Message-Authenticator first, 4 a right
	// Request Authenticator of accounting.
	f.Fuzz(func(t *testing.T, attributes []byte, code, fix byte, verdict uint8, acct bool) {
		r := newRig()
		r.Log = slog.New(slog.DiscardHandler)
		r.apps.set(app("vpn", "192.0.2.1/32"))
		r.engine.decide = func(context.Context, mfa.Request) (mfa.Decision, error) {
			d := mfa.Decision{Verdict: mfa.Verdict(verdict % 4), Handle: []byte("handle"), Message: "message"}
			d.Reply = []mfa.ReplyAttribute{{Name: "Class", Value: "x"}, {Name: "Nothing", Value: ""}}
			return d, nil
		}
		r.prepare()
		defer r.end()
		b := append([]byte{code, 7, byte(len(attributes) >> 8), byte(len(attributes)), 4: 1, 19: 2}, attributes...)
		if fix&2 != 0 {
			b = append(b[:20:20], append(append([]byte{80, 18}, make([]byte, 16)...), attributes...)...)
		}
		if fix&1 != 0 {
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
		}
		if fix&2 != 0 {
			if code == 4 {
				clear(b[4:20])
			}
			copy(b[22:38], hmacMD5(b))
		}
		if fix&4 != 0 {
			resum(b)
		}
		w := &wire{}
		k := &socket{conn: w, acct: acct, name: "wire"}
		r.deliver(k, netip.MustParseAddrPort("192.0.2.2:1024"), b)
		if len(w.sent) != 0 {
			t.Fatalf("a stranger got %x", w.sent)
		}
		known := netip.MustParseAddrPort("192.0.2.1:1024")
		r.deliver(k, known, b)
		may := genuine(b[:min(len(b), 4096)], acct)
		if len(w.sent) > 1 || len(w.sent) == 1 && !may {
			t.Fatalf("%x was answered with %x", b, w.sent)
		}
		if len(w.sent) == 0 {
			unreadable := fix&2 == 0 && r.seen.of(WrongSecret) == 1 // nothing says that it is the client's
			if may && len(b) < 2048 && !unreadable {
				t.Fatalf("%x is genuine and was not answered", b)
			}
			return
		}
		p, err := radius.Parse(w.sent[0])
		if err != nil || p.Identifier() != 7 {
			t.Fatalf("answer %x: %v", w.sent[0], err)
		}
		if !hmac.Equal(w.sent[0][4:20], sumMD5(w.sent[0][:4], b[4:20], w.sent[0][20:], []byte(shared))) {
			t.Fatal("the Response Authenticator is wrong")
		}
		if code != 4 {
			c := append([]byte(nil), w.sent[0]...)
			copy(c[4:], b[4:20])
			if len(c) < 38 || c[20] != 80 || c[21] != 18 {
				t.Fatalf("answer %x does not begin with a Message-Authenticator", c)
			}
			got := append([]byte(nil), c[22:38]...)
			clear(c[22:38])
			if !hmac.Equal(got, hmacMD5(c)) {
				t.Fatal("the Message-Authenticator is wrong")
			}
		}
		r.deliver(k, known, b)
		if len(w.sent) != 2 || code != 12 && string(w.sent[0]) != string(w.sent[1]) {
			t.Fatalf("the retransmit got %x, want %x", w.sent[1:], w.sent[0])
		}
		if n := len(r.engine.requests()); n > 1 {
			t.Fatalf("the engine was asked %d times", n)
		}
	})
}
