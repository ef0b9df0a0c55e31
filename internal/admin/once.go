package admin

import (
	"context"
	"fmt"
	"sync"
	"time"

	"countersign/internal/mfa"
)

const (
	// KeepRequest is how long a request is known by its idempotency key.
	KeepRequest = 24 * time.Hour
	// MaxRequests is how many of them one caller may have at a time in the whole group. A server
	// counts again after each recountAfter of its own, so that it is passed by that much for each
	// server at most.
	MaxRequests  = 10_000
	recountAfter = 250
	// recountPause is how long a caller who has too many is refused without counting again.
	recountPause = 10 * time.Second
	// requestTime is how long a request that is being carried out may take.
	requestTime = 2 * time.Minute
	sweepPause  = 10 * time.Minute
)

// Requests is what admin needs of the database for requests that their callers have named.
type Requests interface {
	// BeginRequest stores r if there is none of its caller and key, or an expired one, and
	// returns nil; otherwise it returns the one that there is. Answer is nil if it is done and
	// its answer cannot be opened any more.
	BeginRequest(ctx context.Context, r mfa.KeptRequest) (*mfa.KeptRequest, error)
	EndRequest(ctx context.Context, r mfa.KeptRequest) error
	DropRequest(ctx context.Context, r mfa.KeptRequest) error
	// SweepRequests removes what has expired and counts the rest by caller.
	SweepRequests(ctx context.Context) (map[[16]byte]int, error)
	// CountRequests counts those of one caller that have not expired, on all servers.
	CountRequests(ctx context.Context, caller [16]byte) (int, error)
}

// requestCounts is how many requests callers have, as far as this server knows.
type requestCounts struct {
	mu  sync.Mutex
	all map[[16]byte]requestCount
}

// requestCount is what is known of one caller.
type requestCount struct {
	known   int       // those of the whole group when they were counted, and this server's since
	since   int       // of them those since
	counted time.Time // zero: at the last sweep, or never
}

// ErrTooManyRequests says that a caller has as many idempotency keys as one may have.
var ErrTooManyRequests = fmt.Errorf("%w: this caller has used %d idempotency keys within %s: send the request without one, or wait", mfa.ErrTooMany, MaxRequests, KeepRequest)

// BeginRequest has a request of the caller by carried out once. operation is what it asks for
// and on what, key the caller's name for it, body all that it holds. It returns the request, to
// be ended or dropped; or, if it was carried out before, that one, with its answer (Done). The error wraps
// mfa.ErrConflict while it is being carried out or nobody knows what became of it, and
// mfa.ErrInvalid if the key was another request's.
func (s *Service) BeginRequest(ctx context.Context, by, operation, key string, body []byte) (mfa.KeptRequest, error) {
	now := s.Now()
	r := mfa.KeptRequest{Server: s.Server, Begun: now, Expires: now.Add(KeepRequest), Body: s.Digests.DigestOf("body of a request", string(body))}
	caller, name := s.Digests.DigestOf("caller of a request", by), s.Digests.DigestOf("idempotency key", fmt.Sprintf("%d %s %s", len(operation), operation, key))
	copy(r.Caller[:], caller[:])
	copy(r.Key[:], name[:])
	if err := s.room(ctx, r.Caller); err != nil {
		return r, err
	}
	there, err := s.Requests.BeginRequest(ctx, r)
	switch {
	case err != nil:
		return r, err
	case there == nil:
		s.requests.add(r.Caller)
		return r, nil
	case there.Body != r.Body:
		return r, invalid("this idempotency key was sent before with another body: a key names one request")
	case there.Done && there.Answer == nil:
		return r, fmt.Errorf("%w: it was carried out at %s, but its answer is not kept any more: look at what was made", mfa.ErrConflict, there.Begun.UTC().Format(time.RFC3339))
	case there.Done:
		return *there, nil
	case now.Sub(there.Begun) < requestTime:
		return r, fmt.Errorf("%w: the request with this idempotency key is being carried out on server %s: ask again in a moment", mfa.ErrConflict, there.Server)
	}
	return r, fmt.Errorf("%w: server %s began the request with this idempotency key at %s, and how it ended is not known: look whether what it makes is there, and if not, send it with another key", mfa.ErrConflict, there.Server, there.Begun.UTC().Format(time.RFC3339))
}

// EndRequest keeps the answer of a request. It must hold nothing that is shown only once.
func (s *Service) EndRequest(ctx context.Context, r mfa.KeptRequest, etag string, answer []byte) error {
	r.Done, r.ETag, r.Answer = true, etag, answer
	return s.Requests.EndRequest(ctx, r)
}

// DropRequest forgets a request that came to nothing, so that it can be sent again.
func (s *Service) DropRequest(ctx context.Context, r mfa.KeptRequest) error {
	return s.Requests.DropRequest(ctx, r)
}

// RunRequests removes what has expired, and counts the rest, until ctx is done.
func (s *Service) RunRequests(ctx context.Context) error {
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for {
		if left, err := s.Requests.SweepRequests(ctx); err == nil { // without a master the next time does it
			s.requests.set(left)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// room returns nil if the caller may have one more.
func (s *Service) room(ctx context.Context, caller [16]byte) error {
	c, now := s.requests.of(caller), s.Now()
	if c.since >= recountAfter || c.known >= MaxRequests && now.Sub(c.counted) >= recountPause {
		n, err := s.Requests.CountRequests(ctx, caller)
		if err != nil {
			return fmt.Errorf("count the idempotency keys of this caller: %w", err)
		}
		c = requestCount{known: n, counted: now}
		s.requests.counted(caller, c)
	}
	if c.known >= MaxRequests {
		return ErrTooManyRequests
	}
	return nil
}

func (c *requestCounts) of(caller [16]byte) requestCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[caller]
}

func (c *requestCounts) add(caller [16]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[[16]byte]requestCount{}
	}
	one := c.all[caller]
	one.known, one.since = one.known+1, one.since+1
	c.all[caller] = one
}

func (c *requestCounts) counted(caller [16]byte, one requestCount) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[[16]byte]requestCount{}
	}
	c.all[caller] = one
}

// set takes over what a sweep has counted.
func (c *requestCounts) set(all map[[16]byte]int) {
	counts := make(map[[16]byte]requestCount, len(all))
	for caller, n := range all {
		counts[caller] = requestCount{known: n}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = counts
}
