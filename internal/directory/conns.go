package directory

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// conns are the connections of one kind to one server.
type conns struct {
	slots chan struct{} // one in it for each connection in use

	mu     sync.Mutex
	idle   []*conn // the last used last
	closed bool
}

func newConns() *conns { return &conns{slots: make(chan struct{}, maxConns)} }

// take returns the idle connection used last that is alive, or nil.
func (s *conns) take() *conn {
	for {
		s.mu.Lock()
		if len(s.idle) == 0 {
			s.mu.Unlock()
			return nil
		}
		c := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		s.mu.Unlock()
		if !c.ldap.IsClosing() {
			return c
		}
		c.close()
	}
}

// give takes a connection back.
func (s *conns) give(c *conn, now time.Time) {
	s.mu.Lock()
	keep := !c.broken && !s.closed && !c.ldap.IsClosing()
	if keep {
		c.idle = now
		s.idle = append(s.idle, c)
	}
	s.mu.Unlock()
	if !keep {
		c.close()
	}
}

// closeIdle closes the connections idle since before; all of them if before is zero.
func (s *conns) closeIdle(before time.Time) {
	s.mu.Lock()
	var old []*conn
	s.idle = slices.DeleteFunc(s.idle, func(c *conn) bool {
		if before.IsZero() || c.idle.Before(before) {
			old = append(old, c)
			return true
		}
		return false
	})
	s.mu.Unlock()
	for _, c := range old {
		c.close()
	}
}

// close closes what is idle now; what is in use is closed when it is given back.
func (p *pool) close() {
	for _, s := range p.servers {
		for _, set := range []*conns{s.service, s.user} {
			set.mu.Lock()
			set.closed = true
			set.mu.Unlock()
			set.closeIdle(time.Time{})
		}
	}
}

// sweep closes idle connections and probes dead servers.
func (c *Checker) sweep(ctx context.Context, probes *sync.WaitGroup) {
	c.mu.Lock()
	pools := make([]*pool, 0, len(c.pools))
	for _, p := range c.pools {
		pools = append(pools, p)
	}
	c.mu.Unlock()
	now := c.o.Now()
	for _, p := range pools {
		if _, err := c.directories.Directory(p.Name); errors.Is(err, mfa.ErrNotFound) {
			c.drop(p.Name)
			continue
		}
		for _, s := range p.servers {
			s.service.closeIdle(now.Add(-idleFor))
			s.user.closeIdle(now.Add(-idleFor))
			s.mu.Lock()
			due := s.dead && !now.Before(s.probe)
			if due {
				s.probe = now.Add(p.timeout + probeEvery)
			}
			s.mu.Unlock()
			if due {
				probes.Go(func() { p.revive(ctx, s) })
			}
		}
	}
}

// revive tries a dead server, and uses it again if it answers.
func (p *pool) revive(ctx context.Context, s *server) {
	c, err := p.open(ctx, s, asService)
	if err == nil {
		s.service.give(c, p.now())
	}
	_ = p.judge(ctx, s, err)
}
