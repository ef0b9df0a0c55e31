package trail

import "fmt"

// housekeep closes a segment that is old enough and removes those that are old enough to
// go. Only what concerns the segment in use is an error.
func (t *Trail) housekeep() error {
	if t.seg.lines > 1 && t.aged() {
		if err := t.rotate(nil); err != nil {
			return t.poisoned(err)
		}
	}
	last, old, err := t.expired()
	if err != nil {
		t.opt.Log.Error("trail: looking for old segments", "dir", t.opt.Dir, "error", err)
		return nil
	}
	if len(old) == 0 {
		return nil
	}
	// First the chain says that they are gone, durably; then they go.
	if err := t.putControl(kindRemoved, last); err != nil {
		return t.poisoned(err)
	}
	for _, n := range old {
		if err := t.opt.FS.Remove(join(t.opt.Dir, segmentName(n))); err != nil {
			t.opt.Log.Error("trail: removing an old segment; trying again later", "file", segmentName(n), "error", err)
			return nil
		}
	}
	if err := t.opt.FS.SyncDir(t.opt.Dir); err != nil {
		t.opt.Log.Error("trail: removing old segments; trying again later", "dir", t.opt.Dir, "error", err)
	}
	t.opt.Log.Info("trail: old segments removed", "up_to", segmentName(last.Segment), "seq", last.Seq)
	return nil
}

// expired returns the segments whose every record is older than the retention and
// merged, and the end of the last of them.
func (t *Trail) expired() (last removed, old []uint64, err error) {
	ns, err := segments(t.opt.FS, t.opt.Dir)
	if err != nil {
		return removed{}, nil, err
	}
	before := t.opt.Now().Add(-t.opt.Retain())
	merged := t.Merged()
	for i, n := range ns {
		if i+1 == len(ns) || ns[i+1] > t.seg.number {
			break
		}
		// The next segment was begun when this one was closed.
		next, seq, err := readHeader(t.opt.FS, t.opt.Dir, ns[i+1])
		if err != nil {
			return removed{}, nil, fmt.Errorf("%s: %w", segmentName(ns[i+1]), err)
		}
		if !next.Created.Before(before) || seq-1 > merged.Seq {
			break
		}
		last = removed{Segment: n, Seq: seq - 1, Hash: next.Previous}
		old = append(old, n)
	}
	return last, old, nil
}

// readHeader reads the first line of a segment.
func readHeader(fs FS, dir string, n uint64) (header, uint64, error) {
	r := &reader{fs: fs, dir: dir, segment: n - 1}
	e, ok, err := r.next(mark{segment: n, end: maxLine})
	if cerr := r.close(); err == nil {
		err = cerr
	}
	if err != nil {
		return header{}, 0, err
	}
	if !ok || e.head == nil || e.trust != proven || e.segment != n {
		return header{}, 0, errNotALine
	}
	return *e.head, e.seq, nil
}
