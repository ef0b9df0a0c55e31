package trail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// ErrClosed: the trail takes no more records because Run has ended.
var ErrClosed = errors.New("trail: closed")

const (
	// maxPending bounds what waits for the disk, in bytes. It is reached only if the disk
	// does not answer and callers have gone away.
	maxPending = 64 << 20
	// maxWrite is how much is written with one sync, in bytes, if more is waiting.
	maxWrite = 1 << 20

	defaultSegment = 64 << 20
	defaultAge     = 24 * time.Hour
	defaultRetain  = 365 * 24 * time.Hour
	defaultFill    = 1 << 20
)

// Options of a trail. Dir, Server and Log must be set.
type Options struct {
	Dir        string               // DATA/trail; made if absent
	Server     string               // this server's name; stands in each segment's first line
	Log        *slog.Logger         //
	Now        func() time.Time     // nil: time.Now
	FS         FS                   // nil: the operating system's
	MaxSegment int64                // bytes after which a segment is closed; 0: 64 MiB
	MaxAge     time.Duration        // after which a segment is closed; 0: 24 h
	Retain     func() time.Duration // how long records are kept at least; nil: 365 days

	fill int64 // bytes written ahead; 0: 1 MiB
}

func (o *Options) defaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.FS == nil {
		o.FS = systemFS{}
	}
	if o.MaxSegment <= 0 {
		o.MaxSegment = defaultSegment
	}
	if o.MaxAge <= 0 {
		o.MaxAge = defaultAge
	}
	if o.Retain == nil {
		o.Retain = func() time.Duration { return defaultRetain }
	}
	if o.fill <= 0 {
		o.fill = min(defaultFill, o.MaxSegment)
	}
}

// Trail is an open trail. It is safe for concurrent use. Only one process may have a
// trail open; the lock on the data folder sees to that. Others may Verify it.
type Trail struct {
	opt  Options
	wake chan struct{} // tells Run that something is pending; capacity 1
	free sync.Pool     // of *request

	mu      sync.Mutex
	pending []*request
	size    int64         // of pending
	err     error         // why nothing can be appended any more
	head    Position      // last durable line
	end     int64         // its end in its segment
	moved   chan struct{} // closed when head moves; nil if nobody waits
	broken  *Break        // found by Open

	mergedMu sync.Mutex
	merged   Position

	seg segment // Run's own from its start on
	out writer  // likewise
}

// request is what one Append waits for.
type request struct {
	buf  []byte // the bodies, one after another
	ends []int  // where each ends
	done chan error
}

// Append adds the records, one after another with nothing in between, and returns when
// they are on disk. It waits for Run, which writes all that wait with one sync.
//
// If ctx ends first Append returns its error, and the records may be written all the
// same. After a failed write or sync it returns an error at once and for ever: what
// happened to the records is known at the next start only, and a server that cannot
// record must stop answering.
func (t *Trail) Append(ctx context.Context, records ...mfa.Record) error {
	if len(records) == 0 {
		return nil
	}
	r := t.request()
	r.buf, r.ends = r.buf[:0], r.ends[:0]
	for _, rec := range records {
		var err error
		if r.buf, err = appendRecord(r.buf, rec); err != nil {
			t.free.Put(r)
			return err
		}
		r.ends = append(r.ends, len(r.buf))
	}
	if err := t.submit(ctx, r); err != nil {
		t.free.Put(r)
		return err
	}
	select {
	case err := <-r.done:
		t.free.Put(r)
		return err
	case <-ctx.Done():
		return fmt.Errorf("trail: waiting for the disk: %w", context.Cause(ctx)) // r still belongs to Run
	}
}

func (t *Trail) request() *request {
	if r, ok := t.free.Get().(*request); ok {
		return r
	}
	return &request{done: make(chan error, 1)}
}

func (t *Trail) submit(ctx context.Context, r *request) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	t.mu.Lock()
	if t.err != nil {
		t.mu.Unlock()
		return t.err
	}
	if t.size > maxPending {
		t.mu.Unlock()
		return fmt.Errorf("trail: %d MiB wait for the disk of %s, which does not answer: %w", maxPending>>20, t.opt.Dir, mfa.ErrUnavailable)
	}
	t.pending = append(t.pending, r)
	t.size += int64(len(r.buf))
	first := len(t.pending) == 1
	t.mu.Unlock()
	if first {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// Head returns the last line that is on disk.
func (t *Trail) Head() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.head
}

// Broken returns what Open found damaged in the newest segment, or nil. The alarm that
// it is worth is the caller's.
func (t *Trail) Broken() *Break { return t.broken }

// durable returns how far the trail can be read, and with wait set a channel that is
// closed when that changes.
func (t *Trail) durable(wait bool) (mark, Position, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if wait && t.moved == nil {
		t.moved = make(chan struct{})
	}
	return mark{segment: t.head.Segment, end: t.end}, t.head, t.moved
}

// advance publishes a new head.
func (t *Trail) advance(head Position, end int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.head, t.end = head, end
	if t.moved != nil {
		close(t.moved)
		t.moved = nil
	}
}

// fail makes err the answer to everything from now on, unless there is one already, and
// returns what was pending.
func (t *Trail) fail(err error) []*request {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err == nil {
		t.err = err
	}
	left := t.pending
	t.pending, t.size = nil, 0
	return left
}
