package trail

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"
)

// Open opens the trail in o.Dir, or begins one. It reads the newest segment, cuts off
// the tail that a crash left, and if it finds damage begins a new segment that says so:
// a server that cannot start is worse, and nothing is thrown away. Nothing can be
// appended until Run runs.
func Open(o Options) (*Trail, error) {
	if o.Dir == "" || o.Server == "" || o.Log == nil {
		return nil, errors.New("trail: Dir, Server and Log must be set")
	}
	o.defaults()
	t := &Trail{opt: o, wake: make(chan struct{}, 1)}
	t.out.h = sha256.New()
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("trail: make %s: %w", o.Dir, err)
	}
	if err := t.recover(); err != nil {
		return nil, fmt.Errorf("trail: open %s: %w", o.Dir, err)
	}
	if err := t.readMerged(); err != nil {
		return nil, errors.Join(fmt.Errorf("trail: %w", err), t.closeSegment(false))
	}
	return t, nil
}

// recover makes the newest segment ready to be written to.
func (t *Trail) recover() error {
	ns, err := segments(t.opt.FS, t.opt.Dir)
	if err != nil {
		return err
	}
	for len(ns) > 0 {
		last := ns[len(ns)-1]
		x, err := examine(t.opt.FS, t.opt.Dir, ns)
		if err != nil {
			return fmt.Errorf("%s: %w", segmentName(last), err)
		}
		switch {
		case x.tail == tailDamage:
			return t.leaveDamaged(x)
		case x.good.Seq != 0:
			return t.resume(x)
		}
		// Power went while it was made: no line of it was ever acknowledged.
		t.opt.Log.Warn("trail: an unfinished segment is removed", "file", segmentName(last), "bytes", x.size)
		if err := errors.Join(t.opt.FS.Remove(join(t.opt.Dir, segmentName(last))), t.opt.FS.SyncDir(t.opt.Dir)); err != nil {
			return err
		}
		ns = ns[:len(ns)-1]
	}
	return t.begin(1, nil)
}

// examined is what a segment was found to hold.
type examined struct {
	good    Position // last proven line before anything wrong; Seq 0: none
	lines   int      // as many as are good
	end     int64    // of good
	write   int64    // where the write begins that good belongs to
	created time.Time
	size    int64 // of the file
	tail    tail  // what is behind good

	bad  entry    // first line that is wrong, if any is
	last Position // with damage: where the chain stands at the end of the file
}

// examine reads the last of the segments ns.
func examine(fs FS, dir string, ns []uint64) (examined, error) {
	n := ns[len(ns)-1]
	x, err := examineFrom(fs, dir, n, chain{})
	if err != nil || x.tail != tailDamage || x.good.Seq != 0 || len(ns) == 1 {
		return x, err
	}
	// Its own first line does not say where the chain stood: the segment before does.
	before, err := examine(fs, dir, ns[:len(ns)-1])
	if err != nil {
		return x, err
	}
	from := before.good
	if before.tail == tailDamage {
		from = before.last
	}
	x, err = examineFrom(fs, dir, n, at(from))
	if x.good.Seq == 0 {
		x.good.Seq, x.good.Hash = from.Seq, from.Hash
	}
	return x, err
}

func examineFrom(fs FS, dir string, n uint64, c chain) (x examined, err error) {
	r := &reader{fs: fs, dir: dir, chain: c, segment: n - 1}
	defer func() { err = errors.Join(err, r.close()) }()
	for {
		e, ok, err := r.next(mark{segment: n, end: x.size})
		if err != nil {
			return x, err
		}
		if r.f != nil && x.size == 0 { // opened just now
			if x.size, err = r.f.Size(); err != nil {
				return x, err
			}
			if x.size > 0 {
				continue
			}
		}
		if !ok {
			x.last = Position{Segment: n, Seq: r.chain.seq, Hash: r.chain.hash}
			return x, nil
		}
		if x.bad.num != 0 {
			continue // follow the chain behind the damage
		}
		if e.trust == proven {
			x.good, x.end, x.lines = e.pos(), e.end, e.num
			if e.synced {
				x.write = e.off
			}
			if e.head != nil {
				x.created = e.head.Created
			}
			continue
		}
		x.bad = e
		x.bad.line = line{} // its bytes go with the next call
		if x.tail, err = judgeTail(r.f, e.off, x.size); err != nil || x.tail != tailDamage {
			return x, err
		}
	}
}

// resume goes on behind the last good line. The last write is written once more: if its
// sync failed, the system may show us bytes that the disk never got.
func (t *Trail) resume(x examined) error {
	name := segmentName(x.good.Segment)
	f, err := t.opt.FS.Open(join(t.opt.Dir, name), true)
	if err != nil {
		return err
	}
	t.seg = segment{f: f, number: x.good.Segment, created: x.created, lines: x.lines, end: x.end, size: x.size}
	if x.tail == tailTorn {
		t.opt.Log.Warn("trail: an unfinished write is cut off; nothing in it was acknowledged", "file", name, "after", x.good.Seq, "line", x.bad.num)
		if err := f.Truncate(x.end); err != nil {
			return errors.Join(err, f.Close())
		}
		t.seg.size = x.end
	}
	last, err := readAt(f, x.write, x.end)
	if err == nil {
		_, err = f.WriteAt(last, x.write)
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	t.advance(x.good, x.end)
	return nil
}

// leaveDamaged begins a new segment after a damaged one, which stays as it is.
func (t *Trail) leaveDamaged(x examined) error {
	n := x.last.Segment
	sum, err := digest(t.opt.FS, join(t.opt.Dir, segmentName(n)))
	if err != nil {
		return err
	}
	t.broken = &Break{Segment: n, Line: x.bad.num, Offset: x.bad.off, What: x.bad.what, LastGood: x.good.Seq, Hash: x.good.Hash, SHA256: sum}
	t.opt.Log.Error("trail: DAMAGED: records were changed or lost; the file is left as it is and a new one is begun (run `countersign audit verify`, compare with a backup or another server)",
		"file", segmentName(n), "line", x.bad.num, "offset", x.bad.off, "what", x.bad.what, "last_good", x.good.Seq)
	t.advance(x.last, x.size)
	return t.begin(n+1, t.broken)
}

func digest(fs FS, name string) (sum Hash, err error) {
	f, err := fs.Open(name, false)
	if err != nil {
		return sum, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return sum, err
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(f, 0, size)); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	return sum, nil
}
