package trail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

const (
	maxProblems = 1000 // bounds a Report
	rereads     = 3    // of a line in the newest segment, before it is called wrong
)

// Problem is one thing that Verify found.
type Problem struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"` // from 1; 0: the file as a whole
	Seq  uint64 `json:"seq,omitempty"`  // of the record concerned, as far as it is known
	What string `json:"what"`
}

// String says it in one line.
func (p Problem) String() string {
	switch {
	case p.File == "":
		return p.What
	case p.Line == 0:
		return p.File + ": " + p.What
	}
	return fmt.Sprintf("%s line %d: %s", p.File, p.Line, p.What)
}

// Report is what Verify found.
type Report struct {
	Segments   int       `json:"segments"`
	Lines      uint64    `json:"lines"`   // proven ones
	Records    uint64    `json:"records"` // among them settlements, attempts and acts
	First      Position  `json:"first"`
	Last       Position  `json:"last"`
	From       time.Time `json:"from,omitzero"` // when the first segment was begun
	To         time.Time `json:"to,omitzero"`   // of the last record
	Removed    uint64    `json:"removed"`       // last record that retention removed; 0: none
	Unfinished int64     `json:"unfinished"`    // bytes behind the last line: being written now, or cut off at the next start
	Breaks     int       `json:"breaks"`        // segments begun after damage; each is a problem too
	Problems   []Problem `json:"problems"`      // at most 1000
	More       int       `json:"more"`          // problems beyond these
}

// OK reports whether nothing was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) add(p Problem) {
	if len(r.Problems) == maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

// VerifyOptions of Verify. The zero value is good.
type VerifyOptions struct {
	Head     Position                // saved last by SaveHead; zero: a tail cut off is not found
	Progress func(done, total int64) // bytes; called now and then; may be nil
	FS       FS                      // nil: the operating system's
}

// Verify reads the whole trail in dir and reports every record that was changed,
// removed, inserted or moved, every segment that is missing, and a tail cut off before
// the saved head. It only reads, and works beside a running server. The error is about
// reading or ctx; what is wrong with the trail is in the Report.
func Verify(ctx context.Context, dir string, o VerifyOptions) (Report, error) {
	if o.FS == nil {
		o.FS = systemFS{}
	}
	v := &verifier{o: o, dir: dir, r: &reader{fs: o.FS, dir: dir}}
	err := v.run(ctx)
	if err = errors.Join(err, v.r.close()); err != nil {
		err = fmt.Errorf("trail: verify %s: %w", dir, err)
	}
	return v.report, err
}

type verifier struct {
	o      VerifyOptions
	dir    string
	r      *reader
	report Report

	done, total int64
	told        int64
	first       removed // what the first segment follows on
	gone        removed // newest word of retention
	last        uint64  // number of the segment read last
	reopened    bool    // its first line is being read again
	headSeen    bool
	newest      line // last record, with a body of its own
}

func (v *verifier) run(ctx context.Context) error {
	if err := v.measure(); err != nil {
		return err
	}
	again := 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		before, seg := v.r.chain, v.r.segment
		e, ok, err := v.r.next(whole)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if e.trust != proven && !v.r.final {
			reread, end, err := v.look(e, &again)
			if err != nil {
				return err
			}
			if end {
				break
			}
			if reread {
				v.r.rewind(e, before)
				v.reopened = v.reopened || e.segment != seg
				continue
			}
		}
		again = 0
		if e.segment != seg || v.reopened {
			v.segment(e)
			v.reopened = false
		}
		v.progress(e.end - e.off)
		v.line(e)
	}
	v.conclude()
	return nil
}

// measure adds the files up, for progress.
func (v *verifier) measure() error {
	ns, err := segments(v.o.FS, v.dir)
	if err != nil {
		return err
	}
	for _, n := range ns {
		f, err := v.o.FS.Open(join(v.dir, segmentName(n)), false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		size, err := f.Size()
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		v.total += size
	}
	return nil
}

func (v *verifier) progress(n int64) {
	v.done += n
	if v.o.Progress != nil && v.done-v.told >= 1<<20 {
		v.told = v.done
		v.o.Progress(min(v.done, v.total), max(v.done, v.total))
	}
}

// segment looks at the first line of a segment.
func (v *verifier) segment(e entry) {
	v.report.Segments++
	name := segmentName(e.segment)
	before := v.last
	v.last = e.segment
	if v.report.Segments > 1 && e.segment != before+1 {
		v.report.add(Problem{File: segmentName(before + 1), What: "the segment is missing or empty" + upTo(before+1, e.segment-1)})
	}
	if e.head == nil {
		v.report.add(Problem{File: name, Line: 1, What: "the segment does not begin with its own description"})
		return
	}
	if e.head.Segment != e.segment {
		v.report.add(Problem{File: name, Line: 1, Seq: e.seq, What: fmt.Sprintf("the file is segment %d under another name", e.head.Segment)})
	}
	if v.report.Segments == 1 {
		v.report.From = e.head.Created
	}
	if v.report.Segments == 1 && (e.segment > 1 || e.seq > 1) {
		v.first = removed{Segment: e.segment - 1, Seq: e.seq - 1, Hash: e.head.Previous}
	}
	if b := e.head.Break; b != nil {
		v.report.Breaks++
		v.report.add(Problem{File: name, Line: 1, Seq: e.seq, What: fmt.Sprintf("on %s segment %d was found damaged at line %d (%s); the last good record before that was %d",
			e.head.Created.Format(time.RFC3339), b.Segment, b.Line, b.What, b.LastGood)})
		v.sameAsFound(b)
	}
}

// sameAsFound checks that a damaged segment has not been changed since.
func (v *verifier) sameAsFound(b *Break) {
	sum, err := digest(v.o.FS, join(v.dir, segmentName(b.Segment)))
	if err == nil && sum != b.SHA256 {
		v.report.add(Problem{File: segmentName(b.Segment), What: "the damaged segment has been changed since it was found damaged"})
	}
}

func upTo(from, to uint64) string {
	if to <= from {
		return ""
	}
	return fmt.Sprintf(", and those up to %s", segmentName(to))
}

// look decides about a line that is not proven, in what may be the newest segment: to
// read it again, for it may have been written just now; that the trail ends here, with
// the tail of a write that has not finished; or neither: it is wrong.
func (v *verifier) look(e entry, again *int) (reread, end bool, err error) {
	n, err := v.r.following(whole)
	if err != nil {
		return false, false, err
	}
	if n != 0 {
		v.r.final = true
		return true, false, nil
	}
	if *again++; *again <= rereads {
		return true, false, nil
	}
	size, err := v.r.f.Size()
	if err != nil || size <= e.off {
		return false, err == nil, err // closed meanwhile, and the fill cut off
	}
	tail, err := judgeTail(v.r.f, e.off, size)
	if err != nil || tail == tailDamage {
		return false, false, err
	}
	if tail == tailTorn {
		v.report.Unfinished = size - e.off
	}
	return false, true, nil
}

func (v *verifier) line(e entry) {
	if e.what != "" {
		v.report.add(Problem{File: segmentName(e.segment), Line: e.num, Seq: e.seq, What: e.what})
	}
	if e.trust == broken {
		return
	}
	if v.report.First.Seq == 0 {
		v.report.First = e.pos()
	}
	v.report.Last = e.pos()
	if head := v.o.Head; e.seq == head.Seq {
		v.headSeen = true
		if e.hash != head.Hash {
			v.report.add(Problem{File: segmentName(e.segment), Line: e.num, Seq: e.seq, What: fmt.Sprintf("record %d is not the one that was saved as head: the trail was rewritten", e.seq)})
		}
	}
	if e.trust != proven {
		return
	}
	v.report.Lines++
	switch e.kind {
	case kindSettled, kindAttempt, kindAct, kindChange, kindAsked:
		v.report.Records++
		v.newest.kind, v.newest.body = e.kind, append(v.newest.body[:0], e.body...)
	case kindRemoved:
		v.removal(e)
	}
}

// conclude checks both ends.
func (v *verifier) conclude() {
	r := &v.report
	r.Removed = v.first.Seq
	if rec, ok, err := v.newest.record(); ok && err == nil {
		r.To = recordTime(rec)
	}
	if v.first.Seq > v.gone.Seq {
		r.add(Problem{File: segmentName(v.first.Segment), Seq: v.first.Seq, What: fmt.Sprintf("the segment is missing: the trail begins behind record %d, and retention has removed records up to %d only", v.first.Seq, v.gone.Seq)})
	} else if v.first.Seq == v.gone.Seq && v.first.Hash != v.gone.Hash {
		r.add(Problem{File: segmentName(v.first.Segment + 1), Line: 1, What: fmt.Sprintf("the trail does not go on from record %d as retention removed it", v.first.Seq)})
	}
	if head := v.o.Head; head.Seq > r.Last.Seq {
		r.add(Problem{Seq: head.Seq, What: fmt.Sprintf("the trail ends at record %d, but its head was saved at record %d: %s", r.Last.Seq, head.Seq, cutOff(r.Last.Seq+1, head.Seq))})
	} else if head.Seq > v.first.Seq && !v.headSeen {
		r.add(Problem{Seq: head.Seq, What: fmt.Sprintf("record %d, which was saved as head, is not there", head.Seq)})
	}
	if v.o.Progress != nil {
		v.o.Progress(max(v.done, v.total), max(v.done, v.total))
	}
}

func cutOff(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d was cut off", from)
	}
	return fmt.Sprintf("records %d to %d were cut off", from, to)
}

func (v *verifier) removal(e entry) {
	var gone removed
	if err := json.Unmarshal(e.body, &gone); err == nil && gone.Seq >= v.gone.Seq {
		v.gone = gone
	}
}
