package settlement

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
)

// version is the first byte of an encoded record. Another version is refused.
const version = 2

// versionRemembering is that of a record with remembered successes behind the rest. Only such
// a one has it: programs that know none of them read all others.
const versionRemembering = 3

// versionPlain is the version before servers were told apart; it is read, not written.
const versionPlain = 1

// maxID bounds the length of a credential id, in bytes.
const maxID = 64

// legBytes is how many bytes a leg takes at least.
const legBytes = len(Leg{}.ID) + len(Leg{}.Attempt) + 2

// floorBytes is how many bytes a floor takes at least.
const floorBytes = 5

var errFormat = errors.New("settlement record: damaged")

// MarshalBinary encodes r: equal records give equal bytes.
func (r Record) MarshalBinary() ([]byte, error) {
	var room [512]byte
	b, err := r.encode(room[:0])
	return slices.Clone(b), err
}

// encode appends the encoding to b, which is empty.
func (r Record) encode(b []byte) ([]byte, error) {
	v := byte(version)
	if len(r.Remembered) > 0 {
		v = versionRemembering
	}
	b = append(b, v)
	for _, c := range []Count{r.Fails, r.First} {
		b = binary.AppendUvarint(b, uint64(c.N))
		b = appendTime(b, c.Last)
		b = appendTime(b, c.Until)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Floors)))
	for id, f := range r.Floors.All() {
		if id == "" || len(id) > maxID {
			return nil, fmt.Errorf("settlement record: credential id of %d bytes", len(id))
		}
		b = append(append(b, byte(len(id))), id...)
		b = binary.AppendUvarint(b, f.Next)
		b = binary.AppendVarint(b, int64(f.Drift))
		b = binary.AppendUvarint(b, f.Spent)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Nonces)))
	for _, n := range r.Nonces {
		b = binary.BigEndian.AppendUint64(b, n.ID)
		b = appendTime(b, n.Until)
	}
	b = binary.AppendUvarint(b, uint64(len(r.Legs)))
	for _, l := range r.Legs {
		b = append(append(b, l.ID[:]...), l.Attempt[:]...)
		b = binary.AppendUvarint(b, uint64(l.Reason))
		b = appendTime(b, l.Time)
		b = binary.AppendUvarint(b, uint64(l.Server))
	}
	if len(r.Remembered) > 0 {
		b = binary.AppendUvarint(b, uint64(len(r.Remembered)))
	}
	for _, s := range r.Remembered {
		if s.Credential == "" || len(s.Credential) > maxID {
			return nil, fmt.Errorf("settlement record: credential id of %d bytes", len(s.Credential))
		}
		b = binary.BigEndian.AppendUint64(b, s.Place)
		b = append(append(b, byte(len(s.Credential))), s.Credential...)
		b = appendTime(b, s.Time)
	}
	if len(b) > MaxSize {
		return nil, mfa.TooManyAttempts
	}
	return b, nil
}

// size returns the encoded length, or more than MaxSize if r cannot be encoded.
func (r Record) size() int {
	var room [512]byte
	b, err := r.encode(room[:0])
	if err != nil {
		return MaxSize + 1
	}
	return len(b)
}

// appendTime encodes whole seconds since 1970; 0 is the zero time.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendUvarint(b, 0)
	}
	return binary.AppendUvarint(b, uint64(max(t.Unix(), 1)))
}

// Counts decodes of what MarshalBinary made the counts of wrong answers and of wrong passwords, and
// looks at nothing else.
func Counts(s string) (fails, first Count, err error) {
	var room [1 + 2*countBytes]byte
	d := decoder{b: room[:copy(room[:], s)]}
	if v := d.byte(); v != version && v != versionPlain && v != versionRemembering {
		return fails, first, fmt.Errorf("settlement record: unknown version (this program writes %d)", version)
	}
	for _, c := range []*Count{&fails, &first} {
		c.read(&d)
	}
	if d.bad {
		return Count{}, Count{}, errFormat
	}
	return fails, first, nil
}

// countBytes is the most that a Count takes: a number below 2^16 and two times.
const countBytes = 3 + 2*binary.MaxVarintLen64

func (c *Count) read(d *decoder) {
	c.N = uint16(d.uint(1<<16 - 1))
	c.Last = d.time()
	c.Until = d.time()
}

// UnmarshalBinary decodes b strictly: no other version, no rest, no non-minimal number,
// no credential twice, nothing over MaxSize.
func (r *Record) UnmarshalBinary(b []byte) error {
	if len(b) > MaxSize {
		return fmt.Errorf("settlement record: %d bytes, at most %d", len(b), MaxSize)
	}
	if len(b) == 0 || b[0] != version && b[0] != versionPlain && b[0] != versionRemembering {
		return fmt.Errorf("settlement record: unknown version (this program writes %d)", version)
	}
	d := decoder{b: b[1:]}
	var n Record
	for _, c := range []*Count{&n.Fails, &n.First} {
		c.read(&d)
	}
	if k := d.count(); k > 0 {
		n.Floors = make(Floors, 0, min(k, len(d.b)/floorBytes+1))
		last := ""
		for range k {
			id := string(d.bytes(int(d.byte())))
			f := mfa.Floor{Next: d.uint(^uint64(0)), Drift: int(d.int()), Spent: d.uint(^uint64(0))}
			if id <= last || len(id) > maxID {
				d.bad = true
				break
			}
			n.Floors, last = append(n.Floors, CredFloor{mfa.CredentialID(id), f}), id
		}
	}
	for range d.count() {
		n.Nonces = append(n.Nonces, Nonce{ID: d.fixed64(), Until: d.time()})
	}
	k := d.count()
	if k > 0 {
		n.Legs = make([]Leg, 0, min(k, len(d.b)/legBytes+1))
	}
	for range k {
		var l Leg
		copy(l.ID[:], d.bytes(len(l.ID)))
		copy(l.Attempt[:], d.bytes(len(l.Attempt)))
		l.Reason = mfa.Reason(d.uint(1<<16 - 1))
		l.Time = d.time()
		if b[0] != versionPlain {
			l.Server = Tag(d.uint(1<<16 - 1))
		}
		n.Legs = append(n.Legs, l)
	}
	if b[0] == versionRemembering {
		k := d.count()
		d.bad = d.bad || k == 0 || k > RememberedMost
		for range min(k, RememberedMost) {
			s := Success{Place: d.fixed64(), Credential: mfa.CredentialID(d.bytes(int(d.byte()))), Time: d.time()}
			d.bad = d.bad || s.Credential == "" || len(s.Credential) > maxID
			n.Remembered = append(n.Remembered, s)
		}
	}
	if d.bad || len(d.b) != 0 {
		return errFormat
	}
	*r = n
	return nil
}

// decoder reads from b; after the first fault it returns zeros and bad is set.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) bytes(n int) []byte {
	if d.bad || n > len(d.b) {
		d.bad = true
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) byte() byte {
	if b := d.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) fixed64() uint64 {
	if b := d.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) uint(limit uint64) uint64 {
	v, n := binary.Uvarint(d.b)
	if d.bad || n <= 0 || v > limit || n > 1 && d.b[n-1] == 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if d.bad || n <= 0 || n > 1 && d.b[n-1] == 0 || v > 1<<30 || v < -(1<<30) {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads a number of elements; each takes at least one byte, so what is left bounds it.
func (d *decoder) count() int { return int(d.uint(uint64(len(d.b)))) }

func (d *decoder) time() time.Time {
	s := d.uint(1 << 40)
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0).UTC()
}
