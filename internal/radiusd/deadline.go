package radiusd

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// deadlines hands out contexts for requests. Those that come at about the same time share
// one: a timer for each was a fiftieth of the processor time of a sign-in. It goes by the
// real time, as contexts do.
type deadlines struct {
	base context.Context // ends with the server
	now  atomic.Pointer[deadline]
	mu   sync.Mutex // held while a new one is made
}

type deadline struct {
	ctx     context.Context
	cancel  context.CancelFunc // the timer does it, or the end of base
	timeout time.Duration
	shared  time.Time // until then
}

// sharing is the part of a time-out for which its context is handed out: whoever comes last
// has that much less.
const sharing = 100

// of returns a context that ends after timeout, or at most a hundredth of it earlier.
func (d *deadlines) of(timeout time.Duration) context.Context {
	now := time.Now()
	if c := d.now.Load(); c.serves(timeout, now) {
		return c.ctx
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if c := d.now.Load(); c.serves(timeout, now) {
		return c.ctx
	}
	c := &deadline{timeout: timeout, shared: now.Add(timeout / sharing)}
	c.ctx, c.cancel = context.WithDeadline(d.base, now.Add(timeout))
	d.now.Store(c)
	return c.ctx
}

func (d *deadline) serves(timeout time.Duration, now time.Time) bool {
	return d != nil && d.timeout == timeout && now.Before(d.shared)
}
