package radiusd

import (
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// client is one application as its packets are handled.
type client struct {
	app  mfa.Application
	mode mfa.MessageAuthenticator
	key  *radius.Key
}

// clients finds the application of an address by longest match. Looking up takes no
// lock; the table is made anew when the applications have changed, by whoever sees it
// first.
type clients struct {
	source Applications
	log    *slog.Logger
	now    atomic.Pointer[clientTable]
	mu     sync.Mutex // held while a table is made
}

type clientTable struct {
	generation uint64
	byPrefix   bart.Table[*client]
}

// lookup returns nil for an address that is no client's. It never answers from a table
// that is older than the generation it sees.
func (c *clients) lookup(addr netip.Addr) *client {
	g := c.source.ApplicationsGeneration()
	t := c.now.Load()
	if t == nil || t.generation != g {
		t = c.rebuild(g)
	}
	found, _ := t.byPrefix.Lookup(addr)
	return found
}

func (c *clients) rebuild(seen uint64) *clientTable {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t := c.now.Load(); t != nil && t.generation == seen {
		return t
	}
	// Read before the list: a change between the two makes the table look old, not new.
	t := &clientTable{generation: c.source.ApplicationsGeneration()}
	for _, app := range c.source.Applications() {
		if app.Kind == mfa.KindRADIUS {
			t.add(app, c.log)
		}
	}
	c.now.Store(t)
	return t
}

// add enters app's prefixes. Of two applications with the same prefix one that is not
// disabled wins over one that is; otherwise neither gets it: to guess could mean the
// weaker policy.
func (t *clientTable) add(app mfa.Application, log *slog.Logger) {
	if app.Secret.Empty() {
		log.Error("RADIUS application has no shared secret; its packets are dropped (application set NAME --secret-stdin)",
			"application", app.Name)
		return
	}
	c := &client{app: app, mode: mode(app), key: radius.NewKey(app.Secret)}
	for _, p := range app.Addresses {
		p = unmapped(p)
		if !p.IsValid() {
			continue
		}
		old, taken := t.byPrefix.Get(p)
		switch {
		case !taken || old != nil && old.app.Disabled && !app.Disabled:
			t.byPrefix.Insert(p, c)
		case old != nil && !old.app.Disabled && app.Disabled:
		case old != nil:
			log.Error("two RADIUS applications have the same address; packets from it are dropped (application set NAME --address)",
				"address", p, "application", old.app.Name, "other", app.Name)
			t.byPrefix.Insert(p, nil)
		}
	}
}

// unmapped turns ::ffff:a.b.c.d/n into a.b.c.d/(n-96), and masks host bits.
func unmapped(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked()
}
