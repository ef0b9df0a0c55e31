package bench

import (
	"errors"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
)

// perSocket is how many requests one socket has in flight at most. It divides 256, the
// number of identifiers of a source port.
const perSocket = 64

// volley is a round's requests, ready to be sent.
type volley interface {
	// fire sends for d and returns what came of it, and the passcodes never sent. It ends
	// when every request is answered or has timed out.
	fire(d time.Duration) (tally, []passcode)
	close()
}

// closedVolley keeps a fixed number of requests in flight: each answer lets the next one go.
type closedVolley struct {
	dialect
	sockets []*lanes
}

// lanes is one socket with the requests in flight on it. Lane i uses the identifiers i,
// i+stride and so on, so that each request can be signed before the round.
type lanes struct {
	flow
	stride int
	lane   []lane
}

type lane struct {
	queue []request
	sent  time.Duration // since the round's start; of the first in queue
	busy  bool
}

func newClosedVolley(addr netip.AddrPort, dl dialect, codes []passcode, inFlight int) (*closedVolley, error) {
	v := &closedVolley{dialect: dl}
	n := (inFlight + perSocket - 1) / perSocket
	for i := range n {
		f, err := dial(addr)
		if err != nil {
			v.close()
			return nil, err
		}
		width := inFlight/n + min(1, max(0, inFlight%n-i))
		l := &lanes{flow: f, stride: 1, lane: make([]lane, width)}
		for l.stride < width {
			l.stride *= 2
		}
		v.sockets = append(v.sockets, l)
	}
	for i, c := range codes {
		l := v.sockets[i%n]
		j := i / n % len(l.lane)
		k := len(l.lane[j].queue)
		r, err := dl.prepare(c, byte(j+k*l.stride))
		if err != nil {
			v.close()
			return nil, err
		}
		l.lane[j].queue = append(l.lane[j].queue, r)
	}
	return v, nil
}

func (v *closedVolley) close() {
	for _, l := range v.sockets {
		_ = l.conn.Close()
	}
}

func (v *closedVolley) fire(d time.Duration) (tally, []passcode) {
	var mu sync.Mutex
	var sum tally
	var unsent []passcode
	var wg sync.WaitGroup
	end := &ending{at: d}
	start := time.Now()
	for _, l := range v.sockets {
		wg.Go(func() {
			t := l.fire(v.judge, start, end)
			mu.Lock()
			defer mu.Unlock()
			sum.merge(t)
			for _, x := range l.lane {
				for _, r := range x.queue {
					unsent = append(unsent, r.passcode)
				}
			}
		})
	}
	wg.Wait()
	sum.end = end.get()
	return sum, unsent
}

// ending is when a round ends: at a planned time, or earlier when requests run out.
type ending struct {
	mu sync.Mutex
	at time.Duration
}

func (e *ending) get() time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.at
}

func (e *ending) ranOut(now time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.at = min(e.at, now)
}

func (l *lanes) fire(judge func(*request, []byte) outcome, start time.Time, end *ending) (t tally) {
	in, out := messages(len(l.lane), 4096), messages(len(l.lane), 0)
	ready := make([]int, len(l.lane)) // lanes whose next request may go
	for i := range ready {
		ready[i] = i
	}
	busy := 0
	var deadline, now time.Duration
	for {
		last := end.get()
		out = out[:0]
		for _, i := range ready {
			x := &l.lane[i]
			if now >= last {
				continue
			}
			if len(x.queue) == 0 {
				end.ranOut(now)
				continue
			}
			x.busy, x.sent = true, now
			busy++
			out = append(out, ipv4.Message{Buffers: [][]byte{x.queue[0].packet}})
		}
		ready = ready[:0]
		for rest := out; len(rest) > 0; {
			n, err := l.batch.WriteBatch(rest, 0)
			if err != nil {
				break // what was not sent times out
			}
			rest = rest[n:]
		}
		if busy == 0 {
			return t
		}
		if deadline < now+100*time.Millisecond {
			deadline = now + 200*time.Millisecond
			_ = l.conn.SetReadDeadline(start.Add(deadline))
			ready = l.expire(now, &t, ready)
			busy -= len(ready)
		}
		n, err := l.batch.ReadBatch(in, 0)
		now = time.Since(start)
		if err != nil {
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				time.Sleep(time.Millisecond) // the server is gone: the kernel says so at once, and again
			}
			continue
		}
		for _, m := range in[:n] {
			b := m.Buffers[0][:m.N]
			if len(b) < 2 {
				t.Unproven++
				continue
			}
			i := int(b[1]) & (l.stride - 1)
			if i >= len(l.lane) || !l.lane[i].busy || l.lane[i].queue[0].packet[1] != b[1] {
				t.Unproven++ // late, or no answer to anything
				continue
			}
			x := &l.lane[i]
			t.count(judge(&x.queue[0], b), now-x.sent, now <= last)
			x.busy, x.queue = false, x.queue[1:]
			ready = append(ready, i)
			busy--
		}
	}
}

// expire gives up the requests that nobody answered, and adds their lanes to ready.
func (l *lanes) expire(now time.Duration, t *tally, ready []int) []int {
	for i := range l.lane {
		if x := &l.lane[i]; x.busy && now-x.sent > patience {
			t.TimedOut++
			x.busy, x.queue = false, x.queue[1:]
			ready = append(ready, i)
		}
	}
	return ready
}

func messages(n, size int) []ipv4.Message {
	m := make([]ipv4.Message, n)
	for i := range m {
		m[i].Buffers = [][]byte{make([]byte, size)}
	}
	return m
}
