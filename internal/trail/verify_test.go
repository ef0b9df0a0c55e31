package trail

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// filled returns a trail of three segments on a disk in memory, closed, with its head.
func filled(t testing.TB) (*memFS, Position) {
	t.Helper()
	m := newMemFS()
	tr, stop := run(t, options(m))
	for n, inThird := 1, 0; inThird < 8; n++ {
		appendActs(t, tr, n, n)
		if tr.Head().Segment == 3 {
			inThird++
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	return m, tr.Head()
}

func file(m *memFS, n uint64) *inode { return m.files["/trail/"+segmentName(n)] }

func (m *memFS) lines(n uint64) [][]byte { return bytes.SplitAfter(file(m, n).view, []byte("\n")) }

func (m *memFS) setLines(n uint64, lines ...[]byte) { file(m, n).view = bytes.Join(lines, nil) }

func TestVerifyFindsTampering(t *testing.T) {
	tests := []struct {
		name   string
		tamper func(m *memFS)
		want   string // in the first problem
	}{
		{"a byte of a record", func(m *memFS) {
			l := m.lines(2)
			l[3] = bytes.Replace(l[3], []byte(`"by":"test"`), []byte(`"by":"best"`), 1)
			m.setLines(2, l...)
		}, "trail-00000002.jsonl line 4: record"},
		{"a byte of a hash", func(m *memFS) {
			l := m.lines(2)
			l[3][20] ^= 1 // stays a digit or becomes none
			m.setLines(2, l...)
		}, "trail-00000002.jsonl line 4: "},
		{"a seq", func(m *memFS) {
			l := m.lines(1)
			l[4] = bytes.Replace(bytes.Replace(l[4], []byte(`"seq":5,`), []byte(`"seq":9,`), 1), []byte(`"synced":4,`), []byte(`"synced":8,`), 1)
			m.setLines(1, l...)
		}, "trail-00000001.jsonl line 5: records 5 to 8 are missing"},
		{"a record removed", func(m *memFS) {
			l := m.lines(1)
			m.setLines(1, slices.Delete(l, 4, 5)...)
		}, "trail-00000001.jsonl line 5: record 5 is missing"},
		{"records removed", func(m *memFS) {
			l := m.lines(1)
			m.setLines(1, slices.Delete(l, 4, 7)...)
		}, "trail-00000001.jsonl line 5: records 5 to 7 are missing"},
		{"the last record of a closed segment removed", func(m *memFS) {
			l := m.lines(1)
			m.setLines(1, l[:len(l)-2]...)
		}, "trail-00000002.jsonl line 1: record"},
		{"two records swapped", func(m *memFS) {
			l := m.lines(2)
			l[3], l[4] = l[4], l[3]
			m.setLines(2, l...)
		}, "trail-00000002.jsonl line 4: record"},
		{"a record inserted", func(m *memFS) {
			l := m.lines(2)
			m.setLines(2, slices.Insert(l, 5, l[3])...)
		}, "trail-00000002.jsonl line 6: record"},
		{"a line that is none", func(m *memFS) {
			l := m.lines(2)
			m.setLines(2, slices.Insert(l, 5, []byte("hello\n"))...)
		}, "trail-00000002.jsonl line 6: not a line of a trail"},
		{"an empty line", func(m *memFS) {
			l := m.lines(2)
			m.setLines(2, slices.Insert(l, 5, []byte("\n"))...)
		}, "trail-00000002.jsonl line 6: not a line of a trail"},
		{"a header removed", func(m *memFS) { m.setLines(2, m.lines(2)[1:]...) }, "trail-00000002.jsonl line 1: "},
		{"first segment removed", func(m *memFS) { delete(m.files, "/trail/"+segmentName(1)) }, "trail-00000001.jsonl: the segment is missing"},
		{"middle segment removed", func(m *memFS) { delete(m.files, "/trail/"+segmentName(2)) }, "trail-00000002.jsonl: the segment is missing"},
		{"last segment removed", func(m *memFS) { delete(m.files, "/trail/"+segmentName(3)) }, "was saved at record"},
		{"everything removed", func(m *memFS) { clear(m.files) }, "was saved at record"},
		{"segments swapped", func(m *memFS) {
			a, b := "/trail/"+segmentName(1), "/trail/"+segmentName(2)
			m.files[a], m.files[b] = m.files[b], m.files[a]
		}, "trail-00000001.jsonl line 1: the file is segment 2"},
		{"tail cut at a line", func(m *memFS) {
			l := m.lines(3)
			m.setLines(3, l[:len(l)-2]...)
		}, "was cut off"},
		{"tail cut within a line", func(m *memFS) { f := file(m, 3); f.view = f.view[:len(f.view)-7] }, "was cut off"},
		{"tail rewritten with hashes that fit", func(m *memFS) {
			l := m.lines(3)
			last := l[len(l)-2]
			p, err := parseLine(last[:len(last)-1])
			if err != nil {
				panic(err)
			}
			before, err := parseLine(l[len(l)-3][:len(l[len(l)-3])-1])
			if err != nil {
				panic(err)
			}
			body := bytes.Replace(p.body, []byte("test"), []byte("best"), 1)
			forged, _ := appendLine(nil, sha256.New(), before.hash, p.seq, p.synced, []byte(`"act":`+string(body)+`}`))
			m.setLines(3, append(l[:len(l)-2], forged)...)
		}, "the trail was rewritten"},
		{"a file of zeros in the middle", func(m *memFS) { clear(file(m, 2).view) }, "trail-00000002.jsonl: the segment is missing or empty"},
		{"zeros in a closed segment, as if torn", func(m *memFS) { clear(file(m, 2).view[1024:2048]) }, "trail-00000002.jsonl line"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, head := filled(t)
			sound(t, m, "/trail", head)
			tt.tamper(m)
			r, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: head})
			if err != nil {
				t.Fatal(err)
			}
			if r.OK() {
				t.Fatal("nothing was found")
			}
			if !strings.Contains(r.Problems[0].String(), tt.want) {
				t.Errorf("first problem %q, want %q\nall: %v", r.Problems[0], tt.want, r.Problems)
			}
			if len(r.Problems) > 4 && tt.name != "segments swapped" {
				t.Errorf("one change gives %d problems: %v", len(r.Problems), r.Problems)
			}
		})
	}
}

// TestVerifyFindsEveryFlippedBit flips a bit in each byte of a segment.
func TestVerifyFindsEveryFlippedBit(t *testing.T) {
	m, head := filled(t)
	view := file(m, 2).view
	for i := range view {
		view[i] ^= 1 << (i % 8)
		r, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: head})
		if err != nil {
			t.Fatal(err)
		}
		if r.OK() {
			t.Errorf("byte %d of segment 2: nothing was found", i)
		}
		view[i] ^= 1 << (i % 8)
	}
}

// TestVerifyWithoutHead does not find a cut tail: this is what the saved head is for.
func TestVerifyWithoutHead(t *testing.T) {
	m, head := filled(t)
	l := m.lines(3)
	m.setLines(3, l[:len(l)-2]...)
	sound(t, m, "/trail", Position{})
	if r, _ := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: head}); r.OK() {
		t.Error("with the head saved, nothing was found")
	}
}

// TestVerifyFindsNumbersThatSkip: whoever computes the hashes anew cannot hide that
// records are gone, even from a verifier without the head.
func TestVerifyFindsNumbersThatSkip(t *testing.T) {
	m, _ := filled(t)
	var forged []byte
	var prev Hash
	for i, l := range m.lines(1)[:12] {
		p, err := parseLine(l[:len(l)-1])
		if err != nil {
			t.Fatal(err)
		}
		if i == 5 || i == 6 {
			continue
		}
		forged, prev = appendLine(forged, sha256.New(), prev, p.seq, p.synced, []byte(`"`+p.kind+`":`+string(p.body)+`}`))
	}
	clear(m.files)
	m.files["/trail/"+segmentName(1)] = &inode{view: forged}
	r, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) != 1 || r.Problems[0].What != "records 6 to 7 are missing" {
		t.Errorf("got %v, want records 6 to 7 missing", r.Problems)
	}
}

// TestReaderAcrossSegments: what is added to a segment after its end was seen, and
// before the next one begins, is read.
func TestReaderAcrossSegments(t *testing.T) {
	m := newMemFS()
	tr, stop := run(t, options(m))
	r := &reader{fs: m, dir: "/trail"}
	n := 0
	read := func() {
		t.Helper()
		for {
			e, ok, err := r.next(whole)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if e.trust != proven {
				t.Fatalf("segment %d line %d: %s", e.segment, e.num, e.what)
			}
			n++
		}
	}
	for round := range 6 {
		read()
		appendActs(t, tr, 100*round, 100*round+9*round) // up to several segments
	}
	head := tr.Head()
	if head.Segment < 4 {
		t.Errorf("only %d segments", head.Segment)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	read()
	if r.segment != head.Segment {
		t.Errorf("after %d lines in segment %d, the head is %+v", n, r.segment, head)
	}
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyReport(t *testing.T) {
	m, head := filled(t)
	var done, total int64
	r, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: head, Progress: func(d, n int64) { done, total = d, n }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Segments != 3 || r.Lines != head.Seq || r.Records != head.Seq-3 || r.Last != head || r.First.Seq != 1 || r.Unfinished != 0 || !r.From.Equal(start) || !r.To.Equal(start) {
		t.Errorf("got %+v, head %+v", r, head)
	}
	if size := int64(len(file(m, 1).view) + len(file(m, 2).view) + len(file(m, 3).view)); done != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d", done, total, size)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, "/trail", VerifyOptions{FS: m}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: %v", err)
	}
}

// TestVerifyBesideAWriter: no false alarm while records are appended, segments change
// and old ones go.
func TestVerifyBesideAWriter(t *testing.T) {
	for _, onSystem := range []bool{false, true} {
		t.Run(fmt.Sprintf("system=%v", onSystem), func(t *testing.T) {
			o := options(newMemFS())
			if onSystem {
				o.FS, o.Dir = nil, filepath.Join(t.TempDir(), "trail")
			}
			o.MaxSegment = 16 << 10
			tr, stop := run(t, o)
			done := make(chan struct{})
			go func() {
				defer close(done)
				for n := 1; n <= 2000; n++ {
					if err := tr.Append(context.Background(), act(n)); err != nil {
						t.Error(err)
						return
					}
				}
			}()
			times := 0
			for running := true; running; times++ {
				select {
				case <-done:
					running = false
				default:
				}
				sound(t, o.FS, o.Dir, tr.Head())
				if t.Failed() {
					return
				}
			}
			if times < 3 {
				t.Errorf("verified %d times only", times)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			sound(t, o.FS, o.Dir, tr.Head())
		})
	}
}

// TestDamage: a complete line that is wrong never stops a server. The file stays as it
// is, the next segment tells of the break, and what can still be used is read back.
func TestDamage(t *testing.T) {
	tests := []struct {
		name   string
		damage func(m *memFS)
		lost   func(all []string) []string // what Replay yields
	}{
		{"a changed record", func(m *memFS) {
			l := m.lines(3)
			l[2] = bytes.Replace(l[2], []byte("test"), []byte("best"), 1)
			m.setLines(3, l...)
		}, func(all []string) []string { return without(all, 1) }},
		{"the last record", func(m *memFS) {
			l := m.lines(3)
			l[len(l)-2] = bytes.Replace(l[len(l)-2], []byte("test"), []byte("best"), 1)
			m.setLines(3, l...)
		}, func(all []string) []string { return all[:len(all)-1] }},
		{"a line of rubbish instead", func(m *memFS) {
			l := m.lines(3)
			l[2] = []byte("rubbish\n")
			m.setLines(3, l...)
		}, func(all []string) []string { return without(all, 1) }},
		{"the header", func(m *memFS) {
			l := m.lines(3)
			l[0] = []byte("rubbish\n")
			m.setLines(3, l...)
		}, func(all []string) []string { return all }},
		{"a sector in an earlier write", func(m *memFS) {
			clear(file(m, 3).view[512:1024])
		}, nil},
		{"all of it", func(m *memFS) {
			f := file(m, 3)
			f.view = []byte(strings.Repeat("rubbish\n", 100))
		}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, _ := filled(t)
			tr, err := Open(options(m))
			if err != nil {
				t.Fatal(err)
			}
			all := objects(t, tr, Position{})
			m.setLines(3, bytes.TrimRight(file(m, 3).view, " "))
			first := 0 // index in all of the first act in segment 3
			for n := uint64(1); n <= 2; n++ {
				first += bytes.Count(file(m, n).view, []byte(`"act":`))
			}
			tt.damage(m)
			damaged := bytes.Clone(file(m, 3).view)

			var log logs
			o := options(m)
			o.Log = log.logger()
			tr, stop := run(t, o)
			if tr.Broken() == nil || tr.Broken().Segment != 3 || !strings.Contains(log.String(), "DAMAGED") {
				t.Errorf("Broken: %+v, log %s", tr.Broken(), log.String())
			}
			if tr.Head().Segment != 4 {
				t.Errorf("head %+v, want one in segment 4", tr.Head())
			}
			if got := objects(t, tr, Position{}); tt.lost != nil {
				equal(t, "replayed", got, append(slices.Clone(all[:first]), tt.lost(all[first:])...))
			} else {
				equal(t, "replayed from the segments before", got[:first], all[:first])
			}
			if err := tr.Append(t.Context(), act(1000)); err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(file(m, 3).view, damaged) {
				t.Error("the damaged file was touched")
			}
			tr, stop = run(t, options(m)) // a second start finds nothing new
			if tr.Broken() != nil || tr.Head().Segment != 4 {
				t.Errorf("second start: broken %+v, head %+v", tr.Broken(), tr.Head())
			}
			if got := objects(t, tr, Position{}); got[len(got)-1] != "1000" {
				t.Errorf("after the break: got %v", got)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			r, err := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: tr.Head()})
			if err != nil {
				t.Fatal(err)
			}
			if r.Breaks != 1 || !strings.Contains(fmt.Sprint(r.Problems), "segment 3 was found damaged at line") {
				t.Errorf("Verify: %+v", r)
			}
			for _, p := range r.Problems {
				if p.File == segmentName(4) && p.Line != 1 {
					t.Errorf("what came after the break does not verify: %v", p)
				}
			}
			file(m, 3).view[3] ^= 1
			if r, _ := Verify(t.Context(), "/trail", VerifyOptions{FS: m}); !strings.Contains(fmt.Sprint(r.Problems), "changed since") {
				t.Errorf("the damaged segment was changed again: %v", r.Problems)
			}
		})
	}
}

func without(s []string, i int) []string { return slices.Delete(slices.Clone(s), i, i+1) }

// TestRetention: old segments go when they are merged and old enough, not before, and
// the chain holds.
func TestRetention(t *testing.T) {
	m := newMemFS()
	now := start
	o := options(m)
	o.Now = func() time.Time { return now }
	o.Retain = func() time.Duration { return 30 * 24 * time.Hour }
	left := func() []uint64 {
		ns, err := segments(m, "/trail")
		if err != nil {
			t.Fatal(err)
		}
		return ns
	}
	session := func(work func(tr *Trail)) *Trail {
		tr, stop := run(t, o)
		work(tr)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		sound(t, m, "/trail", tr.Head())
		return tr
	}
	tr := session(func(tr *Trail) { appendActs(t, tr, 1, 50) })
	closed := tr.Head().Segment
	inFirst := Position{}
	if err := tr.Replay(Position{}, func(p Position, _ mfa.Record) error {
		if p.Segment == 1 {
			inFirst = p
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(31 * 24 * time.Hour)
	session(func(*Trail) {}) // old, but nothing is merged
	if got := left(); got[0] != 1 {
		t.Fatalf("segments %v: records were dropped before they were merged", got)
	}
	session(func(tr *Trail) {
		if err := tr.SetMerged(inFirst); err != nil {
			t.Fatal(err)
		}
	})
	session(func(*Trail) {})
	if got := left(); got[0] != 2 {
		t.Errorf("segments %v after the first was merged, want the first gone", got)
	}
	session(func(tr *Trail) {
		appendActs(t, tr, 51, 51)
		if err := tr.SetMerged(tr.Head()); err != nil {
			t.Fatal(err)
		}
	})
	tr = session(func(tr *Trail) { appendActs(t, tr, 52, 52) })
	if got := left(); got[0] <= closed-1 {
		t.Errorf("segments %v after everything was merged, want those before %d gone", got, closed)
	}
	got := objects(t, tr, tr.Merged())
	equal(t, "after the merged position", got, []string{"52"})
	if all := objects(t, tr, inFirst); all[len(all)-1] != "52" {
		t.Errorf("from a position that was removed: got %v", all)
	}
	r := sound(t, m, "/trail", tr.Head())
	if r.Removed == 0 || r.First.Segment == 1 {
		t.Errorf("report %+v, want removed records", r)
	}
	delete(m.files, "/trail/"+segmentName(left()[0]))
	if r, _ := Verify(t.Context(), "/trail", VerifyOptions{FS: m, Head: tr.Head()}); r.OK() {
		t.Error("a segment that retention did not remove is gone, and nothing was found")
	}
}

func TestFileModes(t *testing.T) {
	o := onDisk(t)
	tr, x, end := indexed2(t, o)
	appendActs(t, tr, 1, 1)
	if err := tr.SetMerged(tr.Head()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := x.Acts(t.Context(), Filter{}); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(o.Dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info.Mode(), err)
	}
	entries, err := os.ReadDir(o.Dir)
	if err != nil || len(entries) < 4 {
		t.Fatalf("files: %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	end()
}
