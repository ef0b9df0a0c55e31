package trail

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
)

// trust says how far a line can be believed.
type trust int

const (
	proven    trust = iota // its hash follows from the line before
	plausible              // well-formed, but the line before it is missing or damaged
	broken                 // changed, inserted, out of order, or no line at all
)

// chain checks lines one after another. The zero chain stands before the first line.
type chain struct {
	hash Hash   // as the last well-formed line recorded it
	seq  uint64 // of that line
	lost bool   // lines that cannot be read followed it
	bad  bool   // that line was not proven
	h    hash.Hash
}

// seqJump is the largest gap of seq that is believed to be missing lines and not damage.
const seqJump = 1 << 32

// at returns the chain as it is behind a line.
func at(p Position) chain { return chain{hash: p.Hash, seq: p.Seq} }

// fresh reports whether no line has been seen.
func (c *chain) fresh() bool { return c.seq == 0 && c.hash == Hash{} && !c.lost }

// step checks one line and moves on to it. what is empty for a proven line, else it says
// what is wrong. head is set for the first line of a segment.
func (c *chain) step(raw rawLine) (l line, head *header, t trust, what string) {
	if c.h == nil {
		c.h = sha256.New()
	}
	if raw.bytes == nil {
		c.lost = true
		return line{}, nil, broken, fmt.Sprintf("a line longer than %d bytes", maxLine)
	}
	l, err := parseLine(raw.bytes)
	if err == nil && l.kind == kindSegment {
		head = new(header)
		err = json.Unmarshal(l.body, head)
	}
	if err == nil && head != nil && c.fresh() {
		c.hash, c.seq = head.Previous, l.seq-1 // what was before may have been removed by retention
	}
	if err != nil || !raw.whole || l.seq > c.seq+seqJump {
		c.lost = true
		return line{}, nil, broken, errNotALine.Error()
	}
	last := *c
	follows := chainHash(c.h, last.hash, l.payload, nil) == l.hash
	if l.seq > last.seq || (follows && last.bad) {
		c.hash, c.seq, c.lost, c.bad = l.hash, l.seq, false, true
	}
	switch {
	case follows && (l.seq == last.seq+1 || last.bad): // else it is the line before whose seq is wrong
		c.bad = false
		return l, head, proven, ""
	case l.seq <= last.seq:
		return l, head, broken, fmt.Sprintf("record %d stands behind record %d: inserted or out of order", l.seq, last.seq)
	case last.lost:
		return l, head, plausible, fmt.Sprintf("record %d cannot be proven: the line before it is damaged", l.seq)
	case l.seq > last.seq+1:
		return l, head, plausible, missing(last.seq+1, l.seq-1)
	}
	return l, head, broken, fmt.Sprintf("record %d was changed", l.seq)
}

func missing(from, to uint64) string {
	if from == to {
		return fmt.Sprintf("record %d is missing", from)
	}
	return fmt.Sprintf("records %d to %d are missing", from, to)
}
