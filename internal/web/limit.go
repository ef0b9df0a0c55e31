package web

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"countersign/internal/policy"
)

// Burst is how many requests of a stranger one address may make at once, unless Limits.Set says
// otherwise: sign-ins, set-ups. The engine has limits of its own for each user; these keep one
// machine from keeping ours busy.
const Burst = 30

const maxStrangers = 10_000 // addresses that are remembered

// Allowance is what one address may ask.
type Allowance struct {
	Burst     int // at once
	PerMinute int // after that
}

// Limits are one bucket for each address. The zero value limits nobody yet.
type Limits struct {
	// Set returns the allowance that each address has now; nil: Burst at once and one a second.
	// When it changes, everybody begins anew.
	Set func() Allowance

	mu  sync.Mutex
	now Allowance // of those in all
	all map[string]*rate.Limiter
}

// Strangers are the limits that the group's settings say.
func Strangers(set func() policy.Settings) *Limits {
	return &Limits{Set: func() Allowance {
		s := set()
		return Allowance{s.StrangerBurst, s.StrangerRate}
	}}
}

func (l *Limits) allowance() Allowance {
	if l.Set == nil {
		return Allowance{Burst, 60}
	}
	return l.Set()
}

// Allow reports whether an address may make one more request.
func (l *Limits) Allow(address string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	address = network(address)
	if set := l.allowance(); set != l.now {
		l.now, l.all = set, nil
	}
	one, ok := l.all[address]
	if !ok {
		if l.all == nil || len(l.all) >= maxStrangers {
			l.forget(now)
		}
		one = rate.NewLimiter(rate.Limit(float64(l.now.PerMinute)/60), l.now.Burst)
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
		if one.TokensAt(now) < float64(l.now.Burst) {
			kept[a] = one
		}
	}
	if len(kept) >= maxStrangers {
		clear(kept)
	}
	l.all = kept
}
