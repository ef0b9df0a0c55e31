package web

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
)

// Proxies are the networks of the reverse proxies in front of this server. What they say in
// X-Forwarded-For is believed; what anybody else says there is not.
type Proxies []netip.Prefix

// forwardedFor is the header in which each proxy adds, on the right, from whom it took a request.
const forwardedFor = "X-Forwarded-For"

// maxHops is how many proxies one behind the other are looked through.
const maxHops = 16

// Handler gives next every request as from whom it comes: its RemoteAddr is the client's
// address, with port 0, if a proxy of p brought it. So limits, records and logs need not know of
// proxies. The first request that somebody else says to bring for others is logged.
func (p Proxies) Handler(next http.Handler, log *slog.Logger) http.Handler {
	var once sync.Once
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		said := r.Header.Values(forwardedFor)
		if len(said) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		peer, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !p.has(peer.Addr()) {
			once.Do(func() {
				log.Warn("a request says in X-Forwarded-For for whom it comes, and was not believed: if that is a reverse proxy of yours, "+
					"name it in trusted_proxies, for otherwise all people behind it share one limit of sign-ins", "from", r.RemoteAddr)
			})
			next.ServeHTTP(w, r)
			return
		}
		if client := p.client(peer.Addr(), said); client != peer.Addr() {
			r = r.WithContext(r.Context())
			r.RemoteAddr = netip.AddrPortFrom(client, 0).String()
		}
		next.ServeHTTP(w, r)
	})
}

func (p Proxies) has(a netip.Addr) bool {
	a = a.Unmap()
	for _, network := range p {
		if network.Contains(a) {
			return true
		}
	}
	return false
}

// client reads the chain from its right end, which the proxy nearest to us wrote: the first
// address that is no proxy of ours is the client's. Left of it stands what the client says, and
// nobody believes that. A part that is no address ends the chain too.
func (p Proxies) client(peer netip.Addr, said []string) netip.Addr {
	client := peer
	for i := len(said) - 1; i >= 0; i-- {
		rest, more := said[i], true
		for hops := 0; more && hops < maxHops; hops++ {
			at := strings.LastIndexByte(rest, ',')
			part := rest[at+1:]
			rest, more = rest[:max(at, 0)], at >= 0
			a, ok := hop(part)
			if !ok {
				return client
			}
			if client = a; !p.has(a) {
				return client
			}
		}
		if more || len(said)-i >= maxHops {
			return client
		}
	}
	return client
}

// hop reads one part of the chain: an address, which some proxies write in brackets or with its
// port.
func hop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = with.Addr()
	}
	return a.Unmap(), a.Zone() == ""
}
