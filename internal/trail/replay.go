package trail

import (
	"errors"
	"fmt"

	"countersign/internal/mfa"
)

// errPosition: a position does not lie on this trail.
var errPosition = errors.New("position is not on this trail")

// cursor reads what comes after a position.
type cursor struct {
	r      *reader
	after  Position
	passed bool
}

func newCursor(fs FS, dir string, after Position) *cursor {
	c := &cursor{r: &reader{fs: fs, dir: dir}, after: after, passed: after.Seq == 0}
	if after.Segment > 0 {
		c.r.segment = after.Segment - 1
	}
	return c
}

// next is reader.next for lines after the position. It returns errPosition if m does not
// hold that. If its segment has been removed by retention, all that is there is newer.
func (c *cursor) next(m mark) (entry, bool, error) {
	for !c.passed {
		e, ok, err := c.r.next(m)
		switch {
		case err != nil:
			return entry{}, false, err
		case !ok:
			return entry{}, false, errPosition
		case e.segment != c.after.Segment:
			if e.num != 1 || e.seq <= c.after.Seq {
				return entry{}, false, errPosition
			}
			c.passed = true
			return e, true, nil
		case e.trust != broken && e.seq == c.after.Seq:
			if e.hash != c.after.Hash {
				return entry{}, false, errPosition
			}
			c.passed = true
		case e.trust != broken && e.seq > c.after.Seq:
			return entry{}, false, errPosition
		}
	}
	return c.r.next(m)
}

// Replay calls yield with each record after a position, in order, as far as the trail
// was on disk when it was called; it stops with yield's first error. If the position is
// not on this trail, everything is yielded: records are merged by leg id, so that twice
// does no harm, and to forget a spent code would.
//
// A line that is damaged is logged and passed over. The line behind damage is yielded
// though nothing proves it, for the same reason.
func (t *Trail) Replay(after Position, yield func(Position, mfa.Record) error) error {
	m, _, _ := t.durable(false)
	err := t.replay(after, m, yield)
	if errors.Is(err, errPosition) {
		t.opt.Log.Error("trail: what was merged last is not found; everything is read back", "segment", after.Segment, "seq", after.Seq)
		err = t.replay(Position{}, m, yield)
	}
	return err
}

func (t *Trail) replay(after Position, m mark, yield func(Position, mfa.Record) error) (err error) {
	c := newCursor(t.opt.FS, t.opt.Dir, after)
	defer func() { err = errors.Join(err, c.r.close()) }()
	for {
		e, ok, err := c.next(m)
		if err != nil {
			return fmt.Errorf("trail: read %s: %w", t.opt.Dir, err)
		}
		if !ok {
			return nil
		}
		rec, ok := t.usable(e)
		if !ok {
			continue
		}
		if err := yield(e.pos(), rec); err != nil {
			return err
		}
	}
}

// usable returns the record of a line, if it holds one that can be used, and logs what
// is wrong with it.
func (t *Trail) usable(e entry) (mfa.Record, bool) {
	if e.what != "" {
		t.opt.Log.Error("trail: damaged line", "file", segmentName(e.segment), "line", e.num, "what", e.what, "used", e.trust != broken)
	}
	if e.trust == broken {
		return mfa.Record{}, false
	}
	rec, ok, err := e.record()
	if err != nil {
		t.opt.Log.Error("trail: a record is not understood and passed over", "file", segmentName(e.segment), "line", e.num, "error", err)
	}
	return rec, ok
}

// Holds reports whether p lies on this trail: whether the head that was saved last is
// still there. It reads one segment. A position that retention has removed counts as held.
func (t *Trail) Holds(p Position) (held bool, err error) {
	if p.Seq == 0 {
		return true, nil
	}
	m, _, _ := t.durable(false)
	c := newCursor(t.opt.FS, t.opt.Dir, p)
	defer func() { err = errors.Join(err, c.r.close()) }()
	_, _, err = c.next(m)
	if errors.Is(err, errPosition) {
		return false, nil
	}
	return err == nil, err
}
