package trail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	segmentPrefix = "trail-"
	segmentSuffix = ".jsonl"

	// sector is the least that a disk writes as a whole, in bytes.
	sector = 512
)

func segmentName(n uint64) string { return fmt.Sprintf("%s%08d%s", segmentPrefix, n, segmentSuffix) }

// segmentNumber returns the number of a segment's file name.
func segmentNumber(name string) (n uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, segmentPrefix)
	if !ok {
		return 0, false
	}
	if digits, ok = strings.CutSuffix(digits, segmentSuffix); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 63)
	return n, err == nil && n > 0 && segmentName(n) == name
}

// segments returns the numbers of the segments in dir, ascending.
func segments(fs FS, dir string) ([]uint64, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var ns []uint64
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			ns = append(ns, n)
		}
	}
	slices.Sort(ns)
	return ns, nil
}

// rawLine is what a scanner finds between two newlines.
type rawLine struct {
	bytes []byte // without newline; nil if longer than maxLine; good until the next call
	off   int64  // in the file
	end   int64  // offset of what follows
	whole bool   // a newline ended it
}

// scanner splits a part of a file into lines.
type scanner struct {
	r   *bufio.Reader
	off int64
}

func newScanner(f io.ReaderAt, from, to int64) *scanner {
	return &scanner{r: bufio.NewReaderSize(io.NewSectionReader(f, from, to-from), maxLine), off: from}
}

// reset reads on from another place, with the same buffer.
func (s *scanner) reset(f io.ReaderAt, from, to int64) {
	s.r.Reset(io.NewSectionReader(f, from, to-from))
	s.off = from
}

// next returns io.EOF at the end.
func (s *scanner) next() (rawLine, error) {
	raw := rawLine{off: s.off}
	b, err := s.r.ReadSlice('\n')
	s.off += int64(len(b))
	raw.bytes = b
	for errors.Is(err, bufio.ErrBufferFull) {
		raw.bytes = nil
		b, err = s.r.ReadSlice('\n')
		s.off += int64(len(b))
	}
	raw.end = s.off
	switch {
	case err == nil:
		raw.whole = true
		if raw.bytes != nil {
			raw.bytes = raw.bytes[:len(raw.bytes)-1]
		}
	case !errors.Is(err, io.EOF):
		return rawLine{}, err
	case raw.end == raw.off:
		return rawLine{}, io.EOF
	}
	return raw, nil
}

// blank reports whether b is nothing but the fill written ahead, or zeros where a disk
// never wrote it.
func blank(b []byte) bool { return len(bytes.Trim(b, " \x00")) == 0 }

// tail is what lies behind the last good line of a segment.
type tail int

const (
	tailClean  tail = iota // nothing but fill
	tailTorn               // a write that was not finished: nothing in it was acknowledged
	tailDamage             // lines that were once on disk and are wrong now
)

// judgeTail looks at f from offset from, where no good line begins, to size. A write
// reaches the disk sector by sector in any order, and a write begins only after the one
// before is on disk. So a tail is torn only if its first line lacks a part (its newline,
// its beginning or a whole sector), and if no write begins behind it.
func judgeTail(f io.ReaderAt, from, size int64) (tail, error) {
	s := newScanner(f, from, size)
	first, err := s.next()
	if errors.Is(err, io.EOF) {
		return tailClean, nil
	}
	if err != nil {
		return tailDamage, err
	}
	if !first.whole {
		empty, err := allBlank(f, from, size)
		if err != nil || !empty {
			return tailTorn, err
		}
		return tailClean, nil
	}
	if lacks, err := lacksPart(f, first.off, first.end); err != nil || !lacks {
		return tailDamage, err
	}
	for {
		raw, err := s.next()
		if errors.Is(err, io.EOF) {
			return tailTorn, nil
		}
		if err != nil {
			return tailDamage, err
		}
		if l, err := parseLine(raw.bytes); err == nil && raw.whole && l.synced {
			return tailDamage, nil
		}
	}
}

// lacksPart reports whether the line from off to end begins with fill or has a sector of
// nothing else.
func lacksPart(f io.ReaderAt, off, end int64) (bool, error) {
	if b, err := readAt(f, off, off+1); err != nil || blank(b) {
		return err == nil, err
	}
	for at := (off + sector - 1) / sector * sector; at+sector <= end; at += sector {
		if b, err := readAt(f, at, at+sector); err != nil || blank(b) {
			return err == nil, err
		}
	}
	return false, nil
}

func allBlank(f io.ReaderAt, from, to int64) (bool, error) {
	const step = 64 << 10
	for at := from; at < to; at += step {
		if b, err := readAt(f, at, min(at+step, to)); err != nil || !blank(b) {
			return false, err
		}
	}
	return true, nil
}

func readAt(f io.ReaderAt, from, to int64) ([]byte, error) {
	b := make([]byte, to-from)
	if n, err := f.ReadAt(b, from); n < len(b) {
		if err == nil || errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return b, nil
}

func join(dir, name string) string { return filepath.Join(dir, name) }
