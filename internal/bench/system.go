package bench

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"time"
)

// system is one server under load.
type system struct {
	name    string
	about   string
	server  *process
	besides []*process // that work for it, too
	codes   *supply
	closed  func(codes []passcode, inFlight int) (volley, error)
	open    func(codes []passcode, rate float64) (volley, error) // nil: not measured
}

// step returns the time step that now lies in and how much of it is left.
func step(now time.Time) (uint64, time.Duration) {
	n := now.UnixNano()
	const length = period * int64(time.Second)
	return uint64(n / length), time.Duration(length - n%length)
}

// margin is the time from both ends of a time step in which no round runs: FreeRADIUS
// takes the present step only, and by a clock that may be some milliseconds late.
const margin = 500 * time.Millisecond

// round fires one volley of about want passcodes. A round lies within one time step; if
// that cannot be, or if the server has seen most codes of this step, it waits for the next.
func (s *system) round(ctx context.Context, d time.Duration, want int, load func([]passcode) (volley, error)) (Round, error) {
	for {
		now, left := step(time.Now())
		preparing := time.Duration(want) * 10 * time.Microsecond
		if left > d+preparing+margin && left < period*time.Second-margin && (s.codes.again || s.codes.left(now) >= want) {
			codes := s.codes.take(want, now)
			v, err := load(codes)
			if err != nil {
				return Round{}, err
			}
			defer v.close()
			if _, left := step(time.Now()); left > d+margin {
				return s.fire(v, d), ctx.Err()
			}
			for _, c := range codes { // preparing took too long
				s.codes.giveBack(c)
			}
			continue
		}
		wait := left + margin
		if left >= period*time.Second-margin {
			wait = left - (period*time.Second - margin) + time.Millisecond
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return Round{}, ctx.Err()
		}
	}
}

func (s *system) fire(v volley, d time.Duration) Round {
	server, client, machine, start := s.cpu(), ownCPU(), machineCPU(), time.Now()
	t, unsent := v.fire(d)
	server, client, machine = s.cpu()-server, ownCPU()-client, machineCPU()-machine
	r := newRound(t, server, client)
	r.Others = share(machine-server-client, time.Since(start))
	for _, c := range unsent {
		s.codes.giveBack(c)
	}
	return r
}

// cpu is the processor time that its servers have used.
func (s *system) cpu() time.Duration {
	sum := s.server.cpu()
	for _, p := range s.besides {
		sum += p.cpu()
	}
	return sum
}

// share is the part of all processors' time in wall.
func share(used, wall time.Duration) float64 {
	return max(0, float64(used)/float64(wall)/float64(runtime.NumCPU()))
}

// find returns where a program is: on PATH or where Debian keeps daemons.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if err != nil && errors.Is(err, exec.ErrNotFound) {
			path, err = exec.LookPath(dir + program)
		}
	}
	return path, err
}

// freePort returns an address of the loopback that nobody listens on at the moment, by
// TCP or UDP.
func freePort() (netip.AddrPort, error) {
	for {
		u, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return netip.AddrPort{}, err
		}
		addr := u.LocalAddr().(*net.UDPAddr).AddrPort()
		l, err := net.Listen("tcp4", addr.String())
		_ = u.Close()
		if err == nil {
			return addr, l.Close()
		}
	}
}
