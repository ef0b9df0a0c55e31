package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Requests of strangers that one address may make: sign-ins, set-ups. The engine has limits
// of its own for each user; these keep one machine from keeping ours busy.
const (
	strangerRate = rate.Limit(1) // a second
	Burst        = 30            // at once
	maxStrangers = 10_000        // addresses that are remembered
)

// Limits are one bucket for each address. The zero value limits nobody yet.
type Limits struct {
	mu  sync.Mutex
	all map[string]*rate.Limiter
}

// Allow reports whether an address may make one more request.
func (l *Limits) Allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	address = network(address)
	one, ok := l.all[address]
	if !ok {
		if l.all == nil || len(l.all) >= maxStrangers {
			l.forget(now)
		}
		one = rate.NewLimiter(strangerRate, Burst)
		l.all[address] = one
	}
	return one.AllowN(now, 1)
}

// Guard serves do to addresses that make no more requests than people do, and refuse to others.
func (l *Limits) Guard(now func() time.Time, do, refuse http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, address := Source(r); !l.Allow(address, now()) {
			w.Header().Set("Retry-After", "60")
			refuse(w, r)
			return
		}
		do(w, r)
	}
}

// network is what one machine can send from: an IPv4 address, and of IPv6 the half that
// networks are given out by, within which anybody has as many addresses as they like.
func network(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is6() || a.Is4In6() {
		return address
	}
	p, err := a.Prefix(64)
	if err != nil {
		return address
	}
	return p.String()
}

// forget drops the addresses that have their whole allowance again, or, if there are none,
// all of them.
func (l *Limits) forget(now time.Time) {
	kept := map[string]*rate.Limiter{}
	for a, one := range l.all {
		if one.TokensAt(now) < Burst {
			kept[a] = one
		}
	}
	if len(kept) >= maxStrangers {
		clear(kept)
	}
	l.all = kept
}
