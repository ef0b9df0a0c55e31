package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
)

const (
	maxConns   = 16               // to one server, of one kind
	idleFor    = time.Minute      // then an unused connection is closed
	probeEvery = 5 * time.Second  // how often a dead server is tried
	refuseFor  = 30 * time.Second // how long a refused service bind is not repeated
)

// pool is what we keep of one directory: its servers, their health and connections.
type pool struct {
	*settings
	now     func() time.Time
	log     *slog.Logger
	servers []*server

	pretending chan struct{} // one in it for each pretend at work

	mu      sync.Mutex
	refused error // of the service bind, until:
	until   time.Time
}

// server is one server of a directory.
type server struct {
	address
	service *conns // bound as the service account
	user    *conns // unbound, or bound as the last user: every user binds anew

	mu    sync.Mutex
	dead  bool
	probe time.Time // not before
}

func newPool(s *settings, now func() time.Time, log *slog.Logger) *pool {
	p := &pool{settings: s, now: now, log: log, pretending: make(chan struct{}, maxPretended)}
	for _, a := range s.addresses {
		p.servers = append(p.servers, &server{address: a, service: newConns(), user: newConns()})
	}
	return p
}

// pool returns the pool of d, a new one if d has changed.
func (c *Checker) pool(d mfa.Directory) (*pool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.pools[d.Name]
	if old != nil && same(old.Directory, d) {
		return old, nil
	}
	s, err := compile(d)
	if err != nil {
		return nil, err
	}
	p := newPool(s, c.o.Now, c.o.Log)
	c.pools[d.Name] = p
	if old != nil {
		old.close()
	}
	return p, nil
}

func (c *Checker) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.pools[name]; p != nil {
		p.close()
		delete(c.pools, name)
	}
}

func (c *Checker) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.pools {
		p.close()
		delete(c.pools, name)
	}
}

// same reports whether a and b reach the same directory in the same way.
func same(a, b mfa.Directory) bool {
	return a.Name == b.Name && a.Kind == b.Kind && slices.Equal(a.URLs, b.URLs) && a.StartTLS == b.StartTLS && a.CAs == b.CAs &&
		a.BindDN == b.BindDN && a.BindPassword.Equal(b.BindPassword) && a.BaseDN == b.BaseDN && a.UserFilter == b.UserFilter &&
		a.GroupAttr == b.GroupAttr && a.UPNSuffix == b.UPNSuffix && a.Timeout == b.Timeout
}

// kind says which connections an operation uses.
type kind bool

const (
	asService kind = false
	asUser    kind = true
)

// do runs op on a connection to the first server that can: those that answered last time
// in their order, then the others. It goes on to the next one if a server does not
// answer, or answers busy or unavailable. One operation may so be sent twice.
func (p *pool) do(ctx context.Context, k kind, op func(context.Context, *server, *conn) error) error {
	var all error
	order := p.order()
	for i, s := range order {
		err := share(ctx, len(order)-i, func(ctx context.Context) error { return p.try(ctx, s, k, op) })
		switch {
		case err == nil || !unwell(err):
			return err
		case all == nil:
			all = err
		default:
			all = fmt.Errorf("%w; then %w", all, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return all
}

// share runs f within the part of ctx's time that is due to one of n servers.
func share(ctx context.Context, n int, f func(context.Context) error) error {
	if end, ok := ctx.Deadline(); ok && n > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(n))
		defer cancel()
	}
	return f(ctx)
}

func (p *pool) order() []*server {
	alive := make([]*server, 0, len(p.servers))
	var dead []*server
	for _, s := range p.servers {
		s.mu.Lock()
		if s.dead {
			dead = append(dead, s)
		} else {
			alive = append(alive, s)
		}
		s.mu.Unlock()
	}
	return append(alive, dead...)
}

// try runs op on one server. A connection that was idle may have died unnoticed: then op
// is tried once more on a new one.
func (p *pool) try(ctx context.Context, s *server, k kind, op func(context.Context, *server, *conn) error) error {
	set := s.service
	if k == asUser {
		set = s.user
	}
	select {
	case set.slots <- struct{}{}:
		defer func() { <-set.slots }()
	case <-ctx.Done():
		return lostError{fmt.Errorf("all %d connections to %s are busy: %w", maxConns, s.url, ctx.Err())}
	}
	if c := set.take(); c != nil {
		err := op(ctx, s, c)
		if !lost(err) || errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			set.give(c, p.now())
			return p.judge(ctx, s, err)
		}
		c.close()
		set.closeIdle(time.Time{})
	}
	c, err := p.open(ctx, s, k)
	if err != nil {
		return p.judge(ctx, s, err)
	}
	err = op(ctx, s, c)
	set.give(c, p.now())
	return p.judge(ctx, s, err)
}

// judge remembers whether a server is dead, and returns err. A caller who went away says
// nothing about the server.
func (p *pool) judge(ctx context.Context, s *server, err error) error {
	if !errors.Is(ctx.Err(), context.Canceled) {
		p.mark(s, unwell(err), err)
	}
	return err
}

func (p *pool) mark(s *server, dead bool, why error) {
	s.mu.Lock()
	was := s.dead
	s.dead = dead
	if dead {
		s.probe = p.now().Add(probeEvery)
	}
	s.mu.Unlock()
	switch {
	case dead && !was:
		p.log.Warn("directory server does not answer; the others are asked first until it does", "directory", p.Name, "url", s.url, "error", why)
	case was && !dead:
		p.log.Info("directory server answers again", "directory", p.Name, "url", s.url)
	}
}

// open makes a new connection, bound as the service account if it is to be.
func (p *pool) open(ctx context.Context, s *server, k kind) (*conn, error) {
	if k == asService && p.BindDN != "" {
		if err := p.refusal(); err != nil {
			return nil, err
		}
	}
	c, err := dial(ctx, p.settings, s.address)
	if err != nil || k == asUser || p.BindDN == "" {
		return c, err
	}
	if err := p.serviceBind(ctx, s, c); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (p *pool) serviceBind(ctx context.Context, s *server, c *conn) error {
	err := c.do(ctx, p.timeout, func(l *ldap.Conn) error { return l.Bind(p.BindDN, string(p.BindPassword.Expose())) })
	if err == nil {
		return nil
	}
	ours := !unwell(err)
	err = fmt.Errorf("service bind to %s as %s: %w (%s)", s.url, p.BindDN, err, serviceBindAdvice(err))
	if !ours {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused, p.until = err, p.now().Add(refuseFor)
	return err
}

// refusal returns why the service bind was refused a moment ago. Asking again at every
// sign-in would lock the service account.
func (p *pool) refusal() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused != nil && p.now().Before(p.until) {
		return fmt.Errorf("%w; not tried again for %v after a refusal", p.refused, refuseFor)
	}
	p.refused = nil
	return nil
}
