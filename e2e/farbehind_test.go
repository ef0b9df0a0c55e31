package e2e_test

import (
	crypto "crypto/rand"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// far puts a server's peer port behind a line on which everything takes so long, each
// way: others call it at 10.91.0.(100+i).
func (w *network) far(s *server, i int, delay time.Duration) {
	w.t.Helper()
	address := fmt.Sprintf("10.91.0.%d", 100+i)
	w.ip(s.ns, fmt.Sprintf("addr add %s/24 dev eth0", address))
	s.write(s.config, readText(w.t, s.config)+fmt.Sprintf("advertise: {peer: %q}\n", address+":7443"))
	l := &line{delay: delay, to: w.address(i) + ":7443"}
	within(w.t, s.ns, func() {
		port, err := net.Listen("tcp", address+":7443")
		if err != nil {
			w.t.Fatal(err)
		}
		l.port = port
	})
	l.dial = func() (c net.Conn, err error) {
		within(w.t, s.ns, func() { c, err = net.Dial("tcp", l.to) })
		return c, err
	}
	l.wg.Go(l.serve)
	w.t.Cleanup(l.close)
}

// line passes on TCP connections, late.
type line struct {
	delay time.Duration
	to    string
	port  net.Listener
	dial  func() (net.Conn, error)
	wg    sync.WaitGroup
	mu    sync.Mutex
	open  map[net.Conn]bool
	ended bool
}

func (l *line) serve() {
	for {
		a, err := l.port.Accept()
		if err != nil {
			return
		}
		b, err := l.dial()
		if err != nil {
			_ = a.Close()
			continue
		}
		if !l.keep(a, b) {
			return
		}
		l.wg.Go(func() { l.pass(a, b) })
		l.wg.Go(func() { l.pass(b, a) })
	}
}

// keep notes open connections, or closes them if all has ended.
func (l *line) keep(all ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = map[net.Conn]bool{}
	}
	for _, c := range all {
		if l.open[c] = true; l.ended {
			_ = c.Close()
		}
	}
	return !l.ended
}

func (l *line) close() {
	_ = l.port.Close()
	l.mu.Lock()
	l.ended = true
	for c := range l.open {
		_ = c.Close()
	}
	l.mu.Unlock()
	l.wg.Wait()
}

// pass copies from a to b; each piece is due a delay after it came.
func (l *line) pass(a, b net.Conn) {
	type piece struct {
		data []byte
		due  time.Time
	}
	way := make(chan piece, 4096)
	l.wg.Go(func() {
		for p := range way {
			time.Sleep(time.Until(p.due)) // this is what the line is for
			if _, err := b.Write(p.data); err != nil {
				_ = a.Close()
			}
		}
		_ = b.Close()
	})
	defer close(way)
	for {
		buf := make([]byte, 16<<10)
		n, err := a.Read(buf)
		if n > 0 {
			way <- piece{buf[:n], time.Now().Add(l.delay)}
		}
		if err != nil {
			return
		}
	}
}

// A replica that was away for long comes back over a line of 1 Mbit/s on which a round trip
// takes 200 ms more, while 50 changes a second are made: it catches up, and everybody signs
// in at both servers meanwhile. FARBEHIND_USERS says how much it missed.
func TestFarBehind(t *testing.T) {
	t.Parallel()
	missed := setting(t, "FARBEHIND_USERS", 1000)
	w := newNetwork(t)
	servers := 0
	w.dressed = func(s *server) { servers++; w.far(s, servers, 100*time.Millisecond) }
	all := w.group(2, nil)
	m, rep := all[0], all[1]
	m.application("allow", atNone, "--first-factor", "none")
	tokens := map[*server]*token{}
	for i, s := range all {
		m.user(fmt.Sprintf("u%d", i), "")
		tokens[s] = m.hotp(fmt.Sprintf("u%d", i))
	}
	await(t, "the users at the replica", func() bool {
		r := rep.try("", "credential", "list", "u1")
		return r.code == 0 && strings.Contains(r.stdout, "hotp")
	})

	w.down(2)
	w.narrow(2, "1mbit")
	csv := &strings.Builder{}
	csv.WriteString("login,hotp_secret\n")
	for i := range missed {
		fmt.Fprintf(csv, "missed%d,%sAAAAAA\n", i, crypto.Text()[:26])
	}
	m.cliIn(csv.String(), "user", "import", "-")
	done := make(chan struct{})
	var load sync.WaitGroup
	stop := sync.OnceFunc(func() { close(done); load.Wait() })
	defer stop()
	wrote := 0
	load.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for ; ; wrote++ {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if status, text, err := m.api("PATCH", "/users/u0", map[string]any{"tags": []string{fmt.Sprintf("t%d", wrote)}}); err != nil || status != 200 {
				t.Errorf("a change at the master: %d %s %v", status, text, err)
				return
			}
		}
	})
	var mu sync.Mutex
	signed, degraded, slowest := 0, 0, time.Duration(0)
	for i, s := range all {
		n := s.dialFrom(atNone)
		load.Go(func() {
			pace := time.NewTicker(3 * time.Second) // a record keeps so many legs a minute
			defer pace.Stop()
			for {
				began := time.Now()
				r, err := n.exchange(n.request(fmt.Sprintf("u%d", i), tokens[s].press(), nil))
				if err != nil || r.code != radius.AccessAccept {
					t.Errorf("a sign-in at server %d: %v %v", i+1, r, err)
				}
				mu.Lock()
				signed, slowest = signed+1, max(slowest, time.Since(began))
				mu.Unlock()
				select {
				case <-done:
					return
				case <-pace.C:
				}
			}
		})
	}

	w.up(2)
	began := time.Now()
	var st admin.Status
	for {
		rep.answer(&st, "status")
		if !st.Degraded && st.Users == missed+2 {
			break
		}
		if time.Since(began) > time.Duration(missed)*20*time.Millisecond+2*time.Minute {
			t.Fatalf("the replica has not caught up after %s: %+v", time.Since(began), st)
		}
		time.Sleep(200 * time.Millisecond) // between two looks
	}
	took := time.Since(began)
	stop()
	rep.merged()
	for _, a := range rep.attempts() {
		if a.Degraded {
			degraded++
		}
	}
	t.Logf("%d users behind: caught up after %s, %d changes meanwhile; %d sign-ins, %d of them degraded, the slowest took %s", missed, took.Round(time.Millisecond),
		wrote, signed, degraded, slowest.Round(time.Millisecond))
	m.verify()
	var v admin.AuditVerification // perhaps of nothing: while it was behind, the master decided
	if rep.json(&v, "audit", "verify"); !v.OK {
		t.Errorf("audit verify: %+v", v)
	}
}
