package trail

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"runtime"
	"time"
)

// segment is the segment that is written to.
type segment struct {
	f       File
	number  uint64
	created time.Time
	lines   int
	end     int64 // of the last line
	size    int64 // of the file, fill included
}

// writer is Run's scratch.
type writer struct {
	h     hash.Hash
	buf   []byte
	batch []*request
}

// housekeeping is how often Run looks for old segments.
const housekeeping = time.Hour

// Run writes what Append hands over until ctx is done, and then what is still waiting.
// It returns an error only if a write or sync failed: the server must then stop, for
// Append fails from then on. Run must be called once.
func (t *Trail) Run(ctx context.Context) error {
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	err := t.housekeep()
	for err == nil && ctx.Err() == nil {
		select {
		case <-t.wake:
			err = t.drain()
		case <-tick.C:
			err = t.housekeep()
		case <-ctx.Done():
		}
	}
	if err == nil {
		err = t.drain()
	}
	if err != nil {
		for _, r := range t.fail(err) {
			r.done <- err
		}
		return errors.Join(err, t.closeSegment(false))
	}
	err = t.commit(t.fail(ErrClosed)) // what came since; nothing comes after it
	return errors.Join(err, t.closeSegment(err == nil))
}

// poisoned says what a failed write or sync means. A sync is never tried again: after a
// failed one the system may count pages as written that are not.
func (t *Trail) poisoned(err error) error {
	return fmt.Errorf("trail: %s: %w (nothing can be recorded, so the server must stop; check the disk, then start it again)",
		join(t.opt.Dir, segmentName(t.seg.number)), err)
}

// drain writes until nothing is pending.
func (t *Trail) drain() error {
	for {
		t.gather()
		t.mu.Lock()
		t.out.batch, t.pending = t.pending, t.out.batch[:0]
		t.size = 0
		t.mu.Unlock()
		if len(t.out.batch) == 0 {
			return nil
		}
		if err := t.commit(t.out.batch); err != nil {
			return err
		}
	}
}

// gather lets those who can run do so first, as long as that brings further requests: one sync
// then serves more of them. With nobody about it takes no time.
func (t *Trail) gather() {
	for before := -1; ; {
		t.mu.Lock()
		n := len(t.pending)
		t.mu.Unlock()
		if n <= before {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// commit makes the requests durable, with one sync for as many as fit one write, and
// answers them.
func (t *Trail) commit(batch []*request) error {
	for len(batch) > 0 {
		n, bytes := 0, 0
		for n < len(batch) && (n == 0 || bytes < maxWrite) {
			bytes += len(batch[n].buf) + len(batch[n].ends)*lineOverhead
			n++
		}
		err := t.write(batch[:n])
		if err != nil {
			n, err = len(batch), t.poisoned(err)
		}
		for _, r := range batch[:n] {
			r.done <- err
		}
		clear(batch[:n])
		batch = batch[n:]
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes the requests durable with one sync.
func (t *Trail) write(batch []*request) error {
	head := t.Head()
	var bytes int64
	for _, r := range batch {
		bytes += int64(len(r.buf) + len(r.ends)*lineOverhead)
	}
	if t.seg.lines > 1 && (t.seg.end+bytes > t.opt.MaxSegment || t.aged()) {
		if err := t.rotate(nil); err != nil {
			return err
		}
		head = t.Head()
	}
	buf := t.out.buf[:0]
	lines := 0
	for _, r := range batch {
		from := 0
		for _, to := range r.ends {
			buf, head.Hash = appendLine(buf, t.out.h, head.Hash, head.Seq+1, lines == 0, r.buf[from:to])
			head.Seq++
			from = to
			lines++
		}
	}
	return t.put(buf, head, lines)
}

// put writes whole lines behind the last one, syncs, and publishes the new head. If the
// fill does not reach, it writes new fill in the same go.
func (t *Trail) put(buf []byte, head Position, lines int) error {
	end := t.seg.end + int64(len(buf))
	size := t.seg.size
	if end > size {
		size = (end/t.opt.fill + 1) * t.opt.fill
		for int64(len(buf)) < size-t.seg.end {
			buf = append(buf, spaces[:min(int64(len(spaces)), size-t.seg.end-int64(len(buf)))]...)
		}
	}
	t.out.buf = buf
	if _, err := t.seg.f.WriteAt(buf, t.seg.end); err != nil {
		return err
	}
	if err := t.seg.f.Sync(); err != nil {
		return err
	}
	t.seg.end, t.seg.size = end, size
	t.seg.lines += lines
	t.advance(head, end)
	return nil
}

var spaces = func() (b [4096]byte) {
	for i := range b {
		b[i] = ' '
	}
	return b
}()

// putControl appends a line of our own.
func (t *Trail) putControl(kind string, v any) error {
	body, err := control(kind, v)
	if err != nil {
		return err
	}
	head := t.Head()
	head.Segment, head.Seq = t.seg.number, head.Seq+1
	var buf []byte
	buf, head.Hash = appendLine(nil, t.out.h, head.Hash, head.Seq, true, body)
	return t.put(buf, head, 1)
}

func (t *Trail) aged() bool {
	return t.opt.Now().Sub(t.seg.created) >= t.opt.MaxAge
}

// rotate closes the segment and begins the next one.
func (t *Trail) rotate(b *Break) error {
	if err := t.closeSegment(true); err != nil {
		return err
	}
	return t.begin(t.seg.number+1, b)
}

// closeSegment cuts the fill off, if whole, and closes the file.
func (t *Trail) closeSegment(whole bool) error {
	if t.seg.f == nil {
		return nil
	}
	f := t.seg.f
	t.seg.f = nil
	if whole && t.seg.size > t.seg.end {
		if err := errors.Join(f.Truncate(t.seg.end), f.Sync()); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// begin makes a segment with its first line, all of it durable.
func (t *Trail) begin(number uint64, b *Break) error {
	f, err := t.opt.FS.Create(join(t.opt.Dir, segmentName(number)))
	if err != nil {
		return err
	}
	now := t.opt.Now().UTC()
	t.seg = segment{f: f, number: number, created: now}
	if t.out.h == nil {
		t.out.h = sha256.New()
	}
	head := t.Head()
	h := header{Version: 1, Segment: number, Server: t.opt.Server, Created: now, Previous: head.Hash, Break: b}
	body, err := control(kindSegment, h)
	if err != nil {
		return err
	}
	head.Segment, head.Seq = number, head.Seq+1
	var buf []byte
	buf, head.Hash = appendLine(nil, t.out.h, head.Hash, head.Seq, true, body)
	if err := t.opt.FS.SyncDir(t.opt.Dir); err != nil {
		return err
	}
	return t.put(buf, head, 1)
}
