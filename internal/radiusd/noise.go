package radiusd

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

const (
	// noiseWindow is the time in which one client gets one line for one kind of trouble.
	noiseWindow = 10 * time.Second
	// noiseLines bounds the lines of one window over all clients and kinds, so that
	// spoofed addresses cannot fill the disk.
	noiseLines = 64
)

// noise bounds what is logged about packets, whoever sends how many.
type noise struct {
	log   *slog.Logger
	mu    sync.Mutex
	since time.Time
	seen  map[noiseKey]int // how many were not logged
	more  map[string]int   // by kind, for clients beyond noiseLines
}

type noiseKey struct {
	addr netip.Addr
	kind string
}

// first reports whether this is the first trouble of its kind with addr in the window.
func (n *noise) first(now time.Time, kind string, addr netip.Addr) bool {
	n.roll(now)
	n.mu.Lock()
	defer n.mu.Unlock()
	k := noiseKey{addr, kind}
	if _, known := n.seen[k]; known {
		n.seen[k]++
		return false
	}
	if len(n.seen) >= noiseLines {
		if n.more == nil {
			n.more = map[string]int{}
		}
		n.more[kind]++
		return false
	}
	if n.seen == nil {
		n.seen = map[noiseKey]int{}
	}
	n.seen[k] = 0
	return true
}

// roll ends the window if its time is over and logs what it suppressed.
func (n *noise) roll(now time.Time) {
	n.mu.Lock()
	if d := now.Sub(n.since); d >= 0 && d < noiseWindow {
		n.mu.Unlock()
		return
	}
	seen, more := n.seen, n.more
	n.seen, n.more, n.since = nil, nil, now
	n.mu.Unlock()
	for k, count := range seen {
		if count > 0 {
			n.log.Warn("more of the same was not logged", "kind", k.kind, "client", k.addr, "suppressed", count)
		}
	}
	for kind, count := range more {
		n.log.Warn("more of the same from further addresses was not logged", "kind", kind, "suppressed", count)
	}
}

// complain logs trouble with the packets of addr unless that was done just now.
func (s *Server) complain(level slog.Level, kind string, addr netip.Addr, message string, args ...any) {
	if !s.Log.Enabled(context.Background(), level) || !s.noise.first(s.Now(), kind, addr) {
		return
	}
	if addr.IsValid() {
		args = append([]any{"client", addr}, args...)
	}
	s.Log.Log(context.Background(), level, message, args...)
}
