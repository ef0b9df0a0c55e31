package trail

import (
	"errors"
	"io"
	"io/fs"
	"math"
)

// mark says how far a reader may read: to end in segment, and the earlier ones wholly.
type mark struct {
	segment uint64
	end     int64
}

// whole lets a reader read to the end of every file.
var whole = mark{segment: math.MaxUint64}

// entry is one line with its place and what the chain says of it. Its slices are good
// until the reader's next call.
type entry struct {
	line
	segment uint64
	num     int // line number in the segment, from 1
	off     int64
	end     int64
	trust   trust
	what    string  // what is wrong; empty for a proven line
	head    *header // of a header
	cut     bool    // no newline ends it: a tail, not a line
}

func (e entry) pos() Position { return Position{Segment: e.segment, Seq: e.seq, Hash: e.hash} }

// reader reads a trail line by line, also while it grows. It is for one goroutine.
type reader struct {
	fs    FS
	dir   string
	chain chain

	segment uint64 // being read, or read last; 0: none yet
	f       File   // nil between segments
	off     int64  // of the next line
	num     int    // of the last line
	limit   int64  // of scan
	scan    *scanner
	skip    bool // only fill is left
	final   bool // a later segment exists, so that nothing is added to this one
}

// next returns the next line that lies before m; ok is false if there is none, as yet.
func (r *reader) next(m mark) (e entry, ok bool, err error) {
	for {
		if r.f == nil {
			if ok, err := r.open(m); !ok || err != nil {
				return entry{}, false, err
			}
		}
		limit := m.end
		if r.segment < m.segment {
			if limit, err = r.f.Size(); err != nil {
				return entry{}, false, err
			}
		}
		if r.off < limit && !r.skip {
			if e, ok, err := r.read(limit); ok || err != nil {
				return e, ok, err
			}
			continue
		}
		if r.segment >= m.segment {
			return entry{}, false, nil
		}
		if n, err := r.following(m); n == 0 || err != nil {
			return entry{}, false, err
		}
		if !r.final { // what was added since we looked
			r.final, r.skip, r.scan = true, false, nil
			continue
		}
		if err := r.close(); err != nil {
			return entry{}, false, err
		}
	}
}

// following returns the number of the segment after this one; 0: there is none.
func (r *reader) following(m mark) (uint64, error) {
	ns, err := segments(r.fs, r.dir)
	if err != nil {
		return 0, err
	}
	for _, n := range ns {
		if n > r.segment && n <= m.segment {
			return n, nil
		}
	}
	return 0, nil
}

func (r *reader) open(m mark) (bool, error) {
	for {
		n, err := r.following(m)
		if n == 0 || err != nil {
			return false, err
		}
		f, err := r.fs.Open(join(r.dir, segmentName(n)), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed by retention since it was listed
		}
		if err != nil {
			return false, err
		}
		r.segment, r.f, r.off, r.num, r.scan, r.skip, r.final = n, f, 0, 0, nil, false, false
		return true, nil
	}
}

// rewind reads e once more, with the chain as it was before.
func (r *reader) rewind(e entry, before chain) {
	r.off, r.num, r.chain, r.scan, r.skip = e.off, e.num-1, before, nil, false
}

func (r *reader) close() error {
	if r.f == nil {
		return nil
	}
	err := r.f.Close()
	r.f, r.scan = nil, nil
	return err
}

// read reads one line of the open segment, which has bytes up to limit. ok is false if
// only fill is left.
func (r *reader) read(limit int64) (e entry, ok bool, err error) {
	if r.scan == nil {
		r.scan = newScanner(r.f, r.off, limit)
	} else if r.limit != limit {
		r.scan.reset(r.f, r.off, limit)
	}
	r.limit = limit
	raw, err := r.scan.next()
	if errors.Is(err, io.EOF) { // closed meanwhile, and the fill cut off
		r.skip = true
		return entry{}, false, nil
	}
	if err != nil {
		return entry{}, false, err
	}
	if !raw.whole && (raw.bytes == nil || blank(raw.bytes)) {
		r.skip, err = allBlank(r.f, raw.off, raw.end)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			r.skip, err = true, nil
		}
		if err != nil || r.skip {
			return entry{}, false, err
		}
	}
	e = entry{segment: r.segment, num: r.num + 1, off: raw.off, end: raw.end, cut: !raw.whole}
	e.line, e.head, e.trust, e.what = r.chain.step(raw)
	r.off, r.num = raw.end, e.num
	return e, true, nil
}
