package coordinator

import (
	"net/netip"
	"sync"

	"golang.org/x/time/rate"
)

// Requests of strangers a second, and at once, of one source and of all together. A source is
// an IPv4 address, or a network of IPv6 as one machine may have it (/64).
const (
	perSource, burstSource = 5, 20
	perAll, burstAll       = 50, 200
	maxSources             = 4096 // that are remembered
)

// sources limits what strangers ask, each by itself, so that one who floods the port keeps
// nobody else from being admitted.
type sources struct {
	mu   sync.Mutex
	each map[netip.Prefix]*rate.Limiter
	all  *rate.Limiter
}

func newSources() *sources {
	return &sources{each: map[netip.Prefix]*rate.Limiter{}, all: rate.NewLimiter(perAll, burstAll)}
}

// allow reports whether a request from address (host:port) may be looked at. Those without a
// readable address count as one source.
func (s *sources) allow(address string) bool {
	return s.of(address).Allow() && s.all.Allow()
}

func (s *sources) of(address string) *rate.Limiter {
	network := source(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.each[network]
	if l == nil {
		if len(s.each) >= maxSources {
			s.forget()
		}
		l = rate.NewLimiter(perSource, burstSource)
		s.each[network] = l
	}
	return l
}

// forget drops sources that have been quiet; all of them if none has.
func (s *sources) forget() {
	for n, l := range s.each {
		if l.Tokens() >= burstSource {
			delete(s.each, n)
		}
	}
	if len(s.each) >= maxSources {
		clear(s.each)
	}
}

func source(address string) netip.Prefix {
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := a.Addr().Unmap().WithZone(""), 64
	if ip.Is4() {
		bits = 32
	}
	network, _ := ip.Prefix(bits)
	return network
}
