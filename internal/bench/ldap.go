package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// bindVolley is simple binds over standing connections, one at a time on each (RFC 4511
// section 4.2.1 allows no more).
type bindVolley struct {
	conns []net.Conn
	queue [][]bind
}

type bind struct {
	passcode passcode
	frame    []byte
}

// newBindVolley opens inFlight connections to addr. dn and password say what a passcode
// is bound with.
func newBindVolley(addr string, codes []passcode, inFlight int, dn, password func(passcode) string) (*bindVolley, error) {
	v := &bindVolley{queue: make([][]bind, inFlight)}
	for range inFlight {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			v.close()
			return nil, fmt.Errorf("load generator: %w", err)
		}
		v.conns = append(v.conns, c)
	}
	for k, c := range codes {
		i := k % inFlight
		v.queue[i] = append(v.queue[i], bind{c, bindRequest(len(v.queue[i])+1, dn(c), password(c))})
	}
	return v, nil
}

func (v *bindVolley) close() {
	for _, c := range v.conns {
		_ = c.Close()
	}
}

func (v *bindVolley) fire(d time.Duration) (sum tally, unsent []passcode) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := &ending{at: d}
	start := time.Now()
	for i, c := range v.conns {
		wg.Go(func() {
			t, n := bindAll(c, v.queue[i], start, end)
			mu.Lock()
			defer mu.Unlock()
			sum.merge(t)
			for _, b := range v.queue[i][n:] {
				unsent = append(unsent, b.passcode)
			}
		})
	}
	wg.Wait()
	sum.end = end.get()
	return sum, unsent
}

// bindAll returns how many binds it sent.
func bindAll(c net.Conn, queue []bind, start time.Time, end *ending) (t tally, sent int) {
	var frame [512]byte
	for n, b := range queue {
		last, began := end.get(), time.Since(start)
		if began >= last {
			return t, n
		}
		_ = c.SetDeadline(start.Add(began + patience))
		if _, err := c.Write(b.frame); err != nil {
			t.TimedOut++
			return t, n + 1
		}
		code, err := bindResult(c, frame[:], n+1)
		now := time.Since(start)
		switch {
		case err != nil:
			t.TimedOut++
			return t, n + 1 // the connection is of no more use
		case code == 0:
			t.count(accepted, now-began, now <= last)
		default:
			t.count(rejected, 0, false)
		}
	}
	end.ranOut(time.Since(start))
	return t, len(queue)
}

// bindRequest encodes a simple bind (RFC 4511 section 4.2).
func bindRequest(id int, dn, password string) []byte {
	body := element(nil, 0x02, []byte{3})
	body = element(body, 0x04, []byte(dn))
	body = element(body, 0x80, []byte(password))
	message := element(nil, 0x02, binary.BigEndian.AppendUint32(nil, uint32(id)))
	return element(nil, 0x30, element(message, 0x60, body))
}

// element appends tag, length and value (X.690 section 8.1).
func element(b []byte, tag byte, value []byte) []byte {
	switch n := len(value); {
	case n < 0x80:
		b = append(b, tag, byte(n))
	case n < 0x100:
		b = append(b, tag, 0x81, byte(n))
	default:
		b = append(b, tag, 0x82, byte(n>>8), byte(n))
	}
	return append(b, value...)
}

var errNoBindResponse = errors.New("no BindResponse to our BindRequest")

// bindResult reads the answer to the bind with the message id and returns its result code.
func bindResult(r io.Reader, frame []byte, id int) (code int, err error) {
	if _, err := io.ReadFull(r, frame[:2]); err != nil {
		return 0, err
	}
	n := int(frame[1])
	if frame[0] != 0x30 || n >= 0x80 { // the longest answer that slapd gives to a bind is shorter
		return 0, errNoBindResponse
	}
	b := frame[:n]
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, err
	}
	got, b, ok := integer(b, 0x02)
	if !ok || got != id || len(b) < 2 || b[0] != 0x61 {
		return 0, errNoBindResponse
	}
	if code, _, ok = integer(b[2:], 0x0a); !ok {
		return 0, errNoBindResponse
	}
	return code, nil
}

// integer reads a short INTEGER or ENUMERATED.
func integer(b []byte, tag byte) (n int, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag || b[1] == 0 || b[1] > 4 || len(b) < 2+int(b[1]) {
		return 0, nil, false
	}
	for _, c := range b[2 : 2+b[1]] {
		n = n<<8 | int(c)
	}
	return n, b[2+b[1]:], true
}
