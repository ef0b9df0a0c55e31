package trail

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"time"
	"unicode"

	"countersign/internal/mfa"
)

const (
	hashOpen  = `{"hash":"`
	hashClose = `",`
	// payloadAt is where the hashed part of a line begins.
	payloadAt = len(hashOpen) + 2*sha256.Size + len(hashClose)

	// maxLine is the longest line, in bytes with its newline.
	maxLine = 256 << 10
	// lineOverhead is more than what appendLine adds to a body.
	lineOverhead = 160
)

// The kinds of line: the name of the one object in it.
const (
	kindSegment = "segment"
	kindRemoved = "removed"
	kindSettled = "settled"
	kindAttempt = "attempt"
	kindAct     = "act"
	kindChange  = "change"
	kindAsked   = "asked"
)

// Hash is the chain hash of a line.
type Hash [sha256.Size]byte

// String returns 64 hexadecimal digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(h) || len(b)%2 != 0 {
		return errors.New("hash: want 64 hexadecimal digits")
	}
	_, err := hex.Decode(h[:], b)
	return err
}

// Position names one line of a trail. The zero Position lies before the first.
type Position struct {
	Segment uint64 `json:"segment"`
	Seq     uint64 `json:"seq"`
	Hash    Hash   `json:"hash"`
}

// header is the first line of a segment.
type header struct {
	Version  int       `json:"version"`
	Segment  uint64    `json:"segment"`
	Server   string    `json:"server"`
	Created  time.Time `json:"created"`
	Previous Hash      `json:"previous"` // hash of the line before
	Break    *Break    `json:"break,omitempty"`
}

// Break says that the segment before was found damaged.
type Break struct {
	Segment  uint64 `json:"segment"`   // the damaged one
	Line     int    `json:"line"`      // where the damage begins, from 1
	Offset   int64  `json:"offset"`    // the same in bytes
	What     string `json:"what"`      // what is wrong there
	LastGood uint64 `json:"last_good"` // seq of the last line before the damage
	Hash     Hash   `json:"hash"`      // and its hash
	SHA256   Hash   `json:"sha256"`    // of the damaged file as it was found
}

// removed says up to where retention has removed segments.
type removed struct {
	Segment uint64 `json:"segment"` // last one removed
	Seq     uint64 `json:"seq"`     // of its last line
	Hash    Hash   `json:"hash"`    // of its last line
}

// line is one parsed line. Its slices point into what it was parsed from.
type line struct {
	hash    Hash // as recorded, not checked
	seq     uint64
	synced  bool // first line of a write
	kind    string
	payload []byte // what hash covers
	body    []byte // the object of that kind
}

// appendLine appends the line with its newline to dst and returns its hash. body is as
// appendRecord makes it. h is scratch.
func appendLine(dst []byte, h hash.Hash, prev Hash, seq uint64, synced bool, body []byte) ([]byte, Hash) {
	start := len(dst)
	dst = append(dst, hashOpen...)
	var digits [2 * sha256.Size]byte
	dst = append(dst, digits[:]...)
	dst = append(dst, hashClose...)
	dst = append(dst, `"seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	if synced {
		dst = append(dst, `,"synced":`...)
		dst = strconv.AppendUint(dst, seq-1, 10)
	}
	dst = append(dst, ',')
	dst = append(dst, body...)
	sum := chainHash(h, prev, dst[start+payloadAt:], dst)
	hex.Encode(dst[start+len(hashOpen):], sum[:])
	return append(dst, '\n'), sum
}

// chainHash hashes a line. What room has behind its end is overwritten: arrays of our own
// would go to the heap.
func chainHash(h hash.Hash, prev Hash, payload, room []byte) (sum Hash) {
	b := append(room[len(room):], prev[:]...)
	h.Reset()
	h.Write(b)
	h.Write(payload)
	copy(sum[:], h.Sum(b[:0]))
	return sum
}

var errNotALine = errors.New("not a line of a trail")

// parseLine reads a line without its newline. It checks the form, not the hash, and
// does not look into the body. Every line that it takes, appendLine would make again.
func parseLine(b []byte) (line, error) {
	var l line
	if len(b) <= payloadAt || len(b) >= maxLine || b[len(b)-1] != '}' || !bytes.HasPrefix(b, []byte(hashOpen)) ||
		string(b[payloadAt-len(hashClose):payloadAt]) != hashClose {
		return line{}, errNotALine
	}
	digits := b[len(hashOpen) : len(hashOpen)+2*sha256.Size]
	if err := l.hash.UnmarshalText(digits); err != nil || bytes.ContainsFunc(digits, unicode.IsUpper) {
		return line{}, errNotALine
	}
	l.payload = b[payloadAt:]
	rest, ok := bytes.CutPrefix(l.payload, []byte(`"seq":`))
	if !ok {
		return line{}, errNotALine
	}
	if l.seq, rest, ok = cutNumber(rest); !ok || l.seq == 0 {
		return line{}, errNotALine
	}
	if after, found := bytes.CutPrefix(rest, []byte(`"synced":`)); found {
		var n uint64
		if n, rest, ok = cutNumber(after); !ok || n != l.seq-1 {
			return line{}, errNotALine
		}
		l.synced = true
	}
	for _, kind := range [...]string{kindSettled, kindAttempt, kindAct, kindChange, kindAsked, kindSegment, kindRemoved} {
		if len(rest) > len(kind)+4 && rest[0] == '"' && string(rest[1:len(kind)+1]) == kind && string(rest[len(kind)+1:len(kind)+4]) == `":{` {
			l.kind, l.body = kind, rest[len(kind)+3:len(rest)-1]
			return l, nil
		}
	}
	return line{}, errNotALine
}

// cutNumber reads a decimal number below 2^63 without leading zeros and the comma after it.
func cutNumber(b []byte) (n uint64, rest []byte, ok bool) {
	i := bytes.IndexByte(b, ',')
	if i <= 0 || i > 19 || (b[0] == '0' && i > 1) {
		return 0, nil, false
	}
	for _, c := range b[:i] {
		if c < '0' || c > '9' {
			return 0, nil, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, b[i+1:], n < 1<<63
}

// record decodes the body of a settled, attempt, act, change or asked line; ok is false for others.
func (l line) record() (r mfa.Record, ok bool, err error) {
	switch l.kind {
	case kindSettled:
		r.Settled = new(mfa.Settled)
		err = json.Unmarshal(l.body, r.Settled)
	case kindAttempt:
		r.Attempt = new(mfa.Attempt)
		err = json.Unmarshal(l.body, r.Attempt)
	case kindAct:
		r.Act = new(mfa.Act)
		err = json.Unmarshal(l.body, r.Act)
	case kindChange:
		r.Change = new(mfa.Change)
		err = json.Unmarshal(l.body, r.Change)
	case kindAsked:
		r.Asked = new(mfa.Asked)
		err = json.Unmarshal(l.body, r.Asked)
	default:
		return mfa.Record{}, false, nil
	}
	if err != nil {
		return mfa.Record{}, false, fmt.Errorf("line %d: %w", l.seq, err)
	}
	return r, true, nil
}

// control returns the body of a header or removed line as appendLine takes it.
func control(kind string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(append([]byte(`"`+kind+`":`), b...), '}'), nil
}
