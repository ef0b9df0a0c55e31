package bench

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// openSockets is how many sockets an open loop sends from: 256 requests in flight each. With so
// many a server has to fall far behind before an identifier is wanted that is still taken.
const openSockets = 32

// openVolley sends at a given rate, whatever the server does. Latency counts from the
// moment at which a request was due, so that a server which stops does not stop the clock.
type openVolley struct {
	dialect
	rate     float64
	sockets  []*ids
	requests []request
}

// ids is one socket with a place for each identifier.
type ids struct {
	flow
	mu     sync.Mutex
	flight [256]flight
}

type flight struct {
	r   *request // nil: free
	due time.Duration
}

func newOpenVolley(addr netip.AddrPort, dl dialect, codes []passcode, rate float64) (*openVolley, error) {
	v := &openVolley{dialect: dl, rate: rate}
	for range openSockets {
		f, err := dial(addr)
		if err != nil {
			v.close()
			return nil, err
		}
		v.sockets = append(v.sockets, &ids{flow: f})
	}
	for k, c := range codes {
		r, err := dl.prepare(c, byte(k/openSockets))
		if err != nil {
			v.close()
			return nil, err
		}
		v.requests = append(v.requests, r)
	}
	return v, nil
}

func (v *openVolley) close() {
	for _, s := range v.sockets {
		_ = s.conn.Close()
	}
}

func (v *openVolley) fire(d time.Duration) (tally, []passcode) {
	var sum tally
	var mu sync.Mutex
	var readers sync.WaitGroup
	var open atomic.Int64 // requests in flight
	start := time.Now()
	for _, s := range v.sockets {
		_ = s.conn.SetReadDeadline(time.Time{})
		readers.Go(func() {
			t := s.read(v.judge, start, d, &open)
			mu.Lock()
			defer mu.Unlock()
			sum.merge(t)
		})
	}
	due, unsent, t := v.send(start, d, &open)
	for waited := time.Now(); open.Load() > 0 && time.Since(waited) < patience; {
		time.Sleep(10 * time.Millisecond)
	}
	for _, s := range v.sockets {
		_ = s.conn.SetReadDeadline(time.Unix(1, 0))
	}
	readers.Wait()
	sum.merge(t)
	sum.TimedOut += int(open.Load())
	sum.end = min(d, time.Duration(float64(due)/v.rate*1e9))
	for _, r := range v.requests[due:] {
		unsent = append(unsent, r.passcode)
	}
	return sum, unsent
}

// send sends each request when it is due, but for those whose identifier is taken, and
// returns how many were due.
func (v *openVolley) send(start time.Time, d time.Duration, open *atomic.Int64) (due int, unsent []passcode, t tally) {
	for k := range v.requests {
		at := time.Duration(float64(k) / v.rate * 1e9)
		if at >= d {
			return k, unsent, t
		}
		if wait := at - time.Since(start); wait > 0 {
			time.Sleep(wait)
		}
		s, r := v.sockets[k%openSockets], &v.requests[k]
		free, lost := s.occupy(r, at, time.Since(start))
		if lost {
			t.TimedOut++
			open.Add(-1)
		}
		if !free {
			t.Withheld++
			unsent = append(unsent, r.passcode)
			continue
		}
		open.Add(1)
		_, _ = s.conn.Write(r.packet) // what was not sent times out
	}
	return len(v.requests), unsent, t
}

// occupy takes the place of r's identifier. It reports whether that was free, and whether
// it became so because the request in it has waited too long.
func (s *ids) occupy(r *request, due, now time.Duration) (free, lost bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.flight[r.packet[1]]
	if f.r != nil {
		if now-f.due <= patience {
			return false, false
		}
		lost = true
	}
	*f = flight{r, due}
	return true, lost
}

func (s *ids) read(judge func(*request, []byte) outcome, start time.Time, end time.Duration, open *atomic.Int64) (t tally) {
	in := messages(64, 4096)
	for {
		n, err := s.batch.ReadBatch(in, 0)
		if err != nil {
			return t
		}
		now := time.Since(start)
		for _, m := range in[:n] {
			b := m.Buffers[0][:m.N]
			if len(b) < 2 {
				t.Unproven++
				continue
			}
			s.mu.Lock()
			f := s.flight[b[1]]
			s.flight[b[1]].r = nil
			s.mu.Unlock()
			if f.r == nil {
				t.Unproven++
				continue
			}
			open.Add(-1)
			t.count(judge(f.r, b), now-f.due, now <= end)
		}
	}
}
