package directory

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrBusy: more password checks are waiting than this server will hold. It is our fault,
// not the user's, so that the client asks another server.
var ErrBusy = errors.New("too many password checks are waiting")

// gate lets a fixed number of holders in at a time. Who has to wait, waits in the queue
// of a key; the queues are served in turn, so that a key with a long queue delays the
// others by one turn only. When the gate's own room is full, a newcomer takes the place
// of the last in the longest queue if its own is shorter.
type gate struct {
	slots, room, perKey int

	mu      sync.Mutex
	free    int
	waiting int
	queues  map[string][]*waiter
	turn    []string // keys with waiters, the next to be served first
}

type waiter struct {
	done chan error // receives nil: the slot is yours; or ErrBusy: you lost your place
}

func newGate(slots, room, perKey int) *gate {
	return &gate{slots: slots, room: room, perKey: perKey, free: slots, queues: make(map[string][]*waiter)}
}

// acquire waits for a slot until ctx ends. The caller must call release once.
func (g *gate) acquire(ctx context.Context, key string) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("password check: %w", err)
	}
	w, err := g.enter(key)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return g.release, nil
	}
	select {
	case err := <-w.done:
		if err != nil {
			return nil, err
		}
		return g.release, nil
	case <-ctx.Done():
		g.leave(key, w)
		return nil, fmt.Errorf("password check: waiting for one of %d slots: %w", g.slots, ctx.Err())
	}
}

// enter takes a free slot (nil) or a place in a queue.
func (g *gate) enter(key string) (*waiter, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.free > 0 {
		g.free--
		return nil, nil
	}
	mine := len(g.queues[key])
	if mine >= g.perKey {
		return nil, fmt.Errorf("password check: %w: %d for this user", ErrBusy, mine)
	}
	if g.waiting >= g.room {
		if err := g.evict(mine); err != nil {
			return nil, err
		}
	}
	w := &waiter{done: make(chan error, 1)}
	if mine == 0 {
		g.turn = append(g.turn, key)
	}
	g.queues[key] = append(g.queues[key], w)
	g.waiting++
	return w, nil
}

// evict makes room by sending away the last of the longest queue, if it stays no shorter
// than the newcomer's own will be.
func (g *gate) evict(mine int) error {
	longest := ""
	for k, q := range g.queues {
		if len(q) > len(g.queues[longest]) || longest == "" {
			longest = k
		}
	}
	q := g.queues[longest]
	full := fmt.Errorf("password check: %w: %d of all users", ErrBusy, g.waiting)
	if len(q) <= mine+1 {
		return full
	}
	last := q[len(q)-1]
	g.queues[longest] = q[:len(q)-1]
	g.waiting--
	last.done <- full
	return nil
}

// release gives the slot to the next in turn.
func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.turn) == 0 {
		g.free++
		return
	}
	key := g.turn[0]
	g.turn = g.turn[1:]
	q := g.queues[key]
	if len(q) > 1 {
		g.queues[key] = q[1:]
		g.turn = append(g.turn, key)
	} else {
		delete(g.queues, key)
	}
	g.waiting--
	q[0].done <- nil
}

// leave gives up w's place, or the slot if it was given in the same moment.
func (g *gate) leave(key string, w *waiter) {
	g.mu.Lock()
	q := g.queues[key]
	for i := range q {
		if q[i] != w {
			continue
		}
		g.waiting--
		if len(q) == 1 {
			delete(g.queues, key)
			for j, k := range g.turn {
				if k == key {
					g.turn = append(g.turn[:j:j], g.turn[j+1:]...)
					break
				}
			}
		} else {
			g.queues[key] = append(q[:i:i], q[i+1:]...)
		}
		g.mu.Unlock()
		return
	}
	g.mu.Unlock()
	if err := <-w.done; err == nil {
		g.release()
	}
}
