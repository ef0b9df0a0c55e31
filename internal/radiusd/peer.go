package radiusd

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"
)

const (
	// maxPeers bounds the client addresses kept in memory; above it the idle go first.
	maxPeers = 65536
	peerIdle = time.Minute
	// recordTimeout is how long the first signed request of a client waits for the record.
	recordTimeout = time.Second
	recordRetry   = 10 * time.Second
)

// peer is what is known about one client address: its rate and the ratchet of
// CVE-2024-3596. Once a signed request was seen, unsigned ones from it are dropped in
// mode learn, here and (by the record) on every server and after every restart.
type peer struct {
	app  mfa.ApplicationID
	addr netip.Addr

	bucket bucket
	used   atomic.Int64 // Unix seconds of the last packet

	proven  atomic.Bool  // a signed request was seen, here or by the record
	saved   atomic.Bool  // the record says so
	legible atomic.Bool  // an unsigned password could be read: the secret is the one of its application
	without atomic.Int64 // Unix hour of the last unsigned request that was let in
	told    atomic.Int64 // Unix hour that the record knows of that
	asked   atomic.Int64 // Unix seconds of the last challenge that was noted

	saving sync.Mutex
	retry  time.Time // guarded by saving: the record failed, not again before this
}

// peers holds the client addresses that sent something lately.
type peers struct {
	mu sync.RWMutex
	m  map[netip.Addr]*peer
}

func (p *peers) init() { p.m = map[netip.Addr]*peer{} }

// peer returns the entry of addr as a client of app.
func (s *Server) peer(app mfa.ApplicationID, addr netip.Addr, now time.Time) *peer {
	s.peers.mu.RLock()
	p := s.peers.m[addr]
	s.peers.mu.RUnlock()
	if p == nil || p.app != app {
		p = s.newPeer(app, addr, now)
	}
	if t := now.Unix(); p.used.Load() != t {
		p.used.Store(t)
	}
	return p
}

func (s *Server) newPeer(app mfa.ApplicationID, addr netip.Addr, now time.Time) *peer {
	known, ok := s.NASes.NAS(app, addr)
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if p := s.peers.m[addr]; p != nil && p.app == app {
		return p
	}
	p := &peer{app: app, addr: addr}
	p.used.Store(now.Unix())
	if ok {
		p.proven.Store(!known.Proven.IsZero())
		p.saved.Store(!known.Proven.IsZero())
		p.without.Store(hour(known.Without))
		p.told.Store(hour(known.Without))
	}
	if len(s.peers.m) >= maxPeers {
		s.peers.evict(now)
	}
	s.peers.m[addr] = p
	return p
}

// evict makes room: the idle go, and if those are not many, any others, but none whose
// proof is not recorded.
func (p *peers) evict(now time.Time) {
	p.evictIf(func(q *peer) bool { return now.Unix()-q.used.Load() > int64(peerIdle/time.Second) })
	p.evictIf(func(*peer) bool { return true })
}

// evictIf drops those that may go until an eighth is free.
func (p *peers) evictIf(may func(*peer) bool) {
	for addr, q := range p.m {
		if len(p.m) <= maxPeers*7/8 {
			return
		}
		if (q.saved.Load() || !q.proven.Load()) && may(q) {
			delete(p.m, addr)
		}
	}
}

// drop forgets q.
func (p *peers) drop(q *peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m[q.addr] == q {
		delete(p.m, q.addr)
	}
}

// hour returns t as Unix hours; 0 for the zero time.
func hour(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix() / 3600
}

// mayBeUnsigned decides about an Access-Request without Message-Authenticator that came
// from p, and remembers that one came.
func (s *Server) mayBeUnsigned(c *client, p *peer, now time.Time) bool {
	switch c.mode {
	case mfa.MAWarn:
		s.complain(slog.LevelWarn, "unsigned", p.addr, "RADIUS client sends requests without Message-Authenticator, which the application accepts (mode warn): "+
			"who sits on the path can forge answers to it (CVE-2024-3596); update the client, then application set NAME --message-authenticator require",
			"application", c.app.Name)
	case mfa.MALearn:
		if !p.proven.Load() { // another server may have seen a signed one
			if known, ok := s.NASes.NAS(p.app, p.addr); ok && !known.Proven.IsZero() {
				p.proven.Store(true)
				p.saved.Store(true)
			}
		}
		if p.proven.Load() {
			return false
		}
	default:
		return false
	}
	if h := hour(now); p.without.Load() < h {
		p.without.Store(h)
	}
	return true
}

// prove records that p signs its requests. It returns when that is durable, or could not
// be made so: then memory knows, and savePeers tries again.
func (s *Server) prove(ctx context.Context, p *peer) error {
	if p.saved.Load() {
		return nil
	}
	p.saving.Lock()
	defer p.saving.Unlock()
	now := s.Now()
	if p.saved.Load() || now.Before(p.retry) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	err := s.NASes.RecordNAS(ctx, mfa.NAS{Application: p.app, Address: p.addr, FirstSeen: now, Proven: now})
	if err != nil {
		p.retry = now.Add(recordRetry)
		s.complain(slog.LevelError, "record", p.addr, "could not record that this RADIUS client signs its requests; this server holds it to that until it stops, and tries again",
			"error", err)
		return err
	}
	p.saved.Store(true)
	s.Log.Info("RADIUS client signed a request for the first time; in mode learn unsigned ones from it are dropped from now on",
		"client", p.addr)
	return nil
}

// savePeers records what is not recorded: proofs that failed, and when unsigned requests
// came, to the hour.
func (s *Server) savePeers(ctx context.Context) {
	s.peers.mu.RLock()
	var todo []*peer
	for _, p := range s.peers.m {
		if p.proven.Load() && !p.saved.Load() || p.without.Load() > p.told.Load() {
			todo = append(todo, p)
		}
	}
	s.peers.mu.RUnlock()
	for _, p := range todo {
		var err error
		if p.proven.Load() {
			err = s.prove(ctx, p)
		}
		if err == nil {
			err = s.saveUnsigned(ctx, p)
		}
		switch {
		case errors.Is(err, mfa.ErrNotFound): // the application was removed
			s.peers.drop(p)
		case err != nil: // the others would fare no better now
			return
		}
	}
}

// saveUnsigned records when the last unsigned request of p came, if that is not recorded.
func (s *Server) saveUnsigned(ctx context.Context, p *peer) error {
	h := p.without.Load()
	if h <= p.told.Load() {
		return nil
	}
	at := time.Unix(h*3600, 0).UTC()
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	if err := s.NASes.RecordNAS(ctx, mfa.NAS{Application: p.app, Address: p.addr, FirstSeen: at, Without: at}); err != nil {
		s.complain(slog.LevelWarn, "record", p.addr, "could not record that this RADIUS client sends unsigned requests; will try again", "error", err)
		return err
	}
	p.told.Store(h)
	return nil
}
