package trail

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
)

// Follow calls yield with each record after a position, and then with each new one as
// soon as it is on disk, until ctx is done or yield returns an error; it returns that. It
// reads the file, so that a slow yield holds nobody up.
func (t *Trail) Follow(ctx context.Context, after Position, yield func(Position, mfa.Record) error) (err error) {
	var r *reader
	m, head, _ := t.durable(false)
	if after == head { // the usual case: no need to read up to there
		if r, err = readerAt(t.opt.FS, t.opt.Dir, head, m.end); err != nil {
			return fmt.Errorf("trail: follow: %w", err)
		}
	}
	c := newCursor(t.opt.FS, t.opt.Dir, after)
	if r != nil {
		c.r, c.passed = r, true
	}
	defer func() { err = errors.Join(err, c.r.close()) }()
	for {
		m, _, moved := t.durable(true)
		for ctx.Err() == nil {
			e, ok, err := c.next(m)
			if err != nil {
				return fmt.Errorf("trail: follow: %w", err)
			}
			if !ok {
				break
			}
			rec, ok := t.usable(e)
			if !ok {
				continue
			}
			if err := yield(e.pos(), rec); err != nil {
				return err
			}
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// readerAt returns a reader that goes on behind the line p, which ends at off.
func readerAt(fs FS, dir string, p Position, off int64) (*reader, error) {
	f, err := fs.Open(join(dir, segmentName(p.Segment)), false)
	if err != nil {
		return nil, err
	}
	return &reader{fs: fs, dir: dir, chain: at(p), segment: p.Segment, f: f, off: off}, nil
}

var errEnough = errors.New("enough")

// Tail yields each attempt from now on, as soon as it is on disk, until ctx is done
// (then it returns the context's error) or yield returns false.
func (t *Trail) Tail(ctx context.Context, yield func(seq uint64, a mfa.Attempt) bool) error {
	err := t.Follow(ctx, t.Head(), func(p Position, r mfa.Record) error {
		if r.Attempt != nil && !yield(p.Seq, *r.Attempt) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}
