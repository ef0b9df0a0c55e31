package challenge

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"countersign/internal/mfa"
)

// version is of what Seal makes. Servers of a group are upgraded one after the other: what the
// version before has sealed opens for as long as it lives. The third is made only of what the
// second cannot say, so that a server that knows no more than that answers all else.
const (
	version      = 2
	versionOne   = 1
	versionThree = 3
)

// called is the one flag of the third version, which has a byte of flags in front of the second.
const called = 1

const (
	maxState  = 64
	maxSource = 64
)

// How a text is written: an id as NewID makes it takes 10 bytes, an address 4 or 16, all else its
// length and itself.
const (
	absent = iota
	packed
	packed6
	spelled
)

var ids = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// packID appends an id, and tells how.
func packID(b []byte, id string) ([]byte, byte) {
	if id == "" {
		return b, absent
	}
	if raw, err := ids.DecodeString(id); err == nil && len(id) == 16 {
		return append(b, raw...), packed
	}
	return append(append(b, byte(len(id))), id...), spelled
}

// packSource appends a source, and tells how. A text that is too long for a token, and no
// address, is left out.
func packSource(b []byte, source string, room int) ([]byte, byte) {
	if source == "" {
		return b, absent
	}
	if a, err := netip.ParseAddr(source); err == nil && a.String() == source && a.Zone() == "" && !a.Is4In6() {
		if a.Is4() {
			return append(b, a.AsSlice()...), packed
		}
		return append(b, a.AsSlice()...), packed6
	}
	if len(source) > min(maxSource, room-1) {
		return b, absent
	}
	return append(append(b, byte(len(source))), source...), spelled
}

// encode writes how the texts are written, two bits each, and then the fields.
func encode(h mfa.Handle) ([]byte, error) {
	if len(h.State) > maxState {
		return nil, fmt.Errorf("challenge: state of %d bytes, at most %d", len(h.State), maxState)
	}
	b := make([]byte, 1, MaxSize)
	b = append(b, h.Attempt[:]...)
	for i, id := range []string{string(h.Application), string(h.User), string(h.Credential)} {
		if len(id) > 255 {
			return nil, fmt.Errorf("challenge: id of %d bytes", len(id))
		}
		var how byte
		b, how = packID(b, id)
		b[0] |= how << (2 * i)
	}
	b = append(append(b, byte(len(h.State))), h.State...)
	b = binary.BigEndian.AppendUint64(b, h.Nonce)
	b = binary.AppendUvarint(b, uint64(max(h.Started.UnixMilli(), 0)))
	b = binary.AppendUvarint(b, uint64(max(h.Expires.Unix(), 0)))
	b = binary.AppendUvarint(b, h.Epoch)
	b = append(b, h.Wrong, byte(len(h.Groups)))
	for _, g := range h.Groups {
		b = binary.BigEndian.AppendUint64(b, g)
	}
	b, how := packSource(b, h.Source, MaxSize-header-nonce-tag-flags-len(b))
	b[0] |= how << 6
	return b, nil
}

// decode reads what encode wrote. The bytes are authentic, so a fault is a token of
// another version of this program; it refuses like a forged one.
func decode(plain []byte) (h mfa.Handle, err error) {
	defer invalid(&h, &err)
	r := reader{plain}
	how := r.next(1)[0]
	copy(h.Attempt[:], r.next(len(h.Attempt)))
	id := func(how byte) string {
		switch how & 3 {
		case absent:
			return ""
		case packed:
			return ids.EncodeToString(r.next(10))
		case spelled:
			return r.text()
		}
		panic("no such form of an id")
	}
	h.Application, h.User, h.Credential = mfa.ApplicationID(id(how)), mfa.UserID(id(how>>2)), mfa.CredentialID(id(how>>4))
	r.rest(&h)
	switch how >> 6 {
	case packed:
		h.Source = netip.AddrFrom4([4]byte(r.next(4))).String()
	case packed6:
		h.Source = netip.AddrFrom16([16]byte(r.next(16))).String()
	case spelled:
		h.Source = r.text()
	}
	return h, r.end()
}

// decodeThree reads what the third version writes.
func decodeThree(plain []byte) (mfa.Handle, error) {
	if len(plain) == 0 || plain[0] != called {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	h, err := decode(plain[1:])
	h.Called = err == nil
	return h, err
}

// decodeOne reads what the first version wrote, which knew no source.
func decodeOne(plain []byte) (h mfa.Handle, err error) {
	defer invalid(&h, &err)
	r := reader{plain}
	copy(h.Attempt[:], r.next(len(h.Attempt)))
	h.Application, h.User, h.Credential = mfa.ApplicationID(r.text()), mfa.UserID(r.text()), mfa.CredentialID(r.text())
	r.rest(&h)
	return h, r.end()
}

// invalid makes mfa.ChallengeInvalid of a slice out of range (cut short), and of any other fault.
func invalid(h *mfa.Handle, err *error) {
	if recover() != nil {
		*err = mfa.ChallengeInvalid
	}
	if *err != nil {
		*h = mfa.Handle{}
	}
}

// reader takes fields from the front of what is left. It panics where there is too little.
type reader struct{ left []byte }

func (r *reader) next(n int) []byte {
	b := r.left[:n]
	r.left = r.left[n:]
	return b
}

func (r *reader) text() string { return string(r.next(int(r.next(1)[0]))) }

func (r *reader) number() uint64 {
	v, n := binary.Uvarint(r.left)
	if n <= 0 {
		panic("no number")
	}
	r.next(n)
	return v
}

// rest reads the fields that all versions write alike.
func (r *reader) rest(h *mfa.Handle) {
	if s := r.text(); s != "" {
		h.State = []byte(s)
	}
	h.Nonce = binary.BigEndian.Uint64(r.next(8))
	h.Started = time.UnixMilli(int64(r.number())).UTC()
	h.Expires = time.Unix(int64(r.number()), 0).UTC()
	h.Epoch = r.number()
	h.Wrong = r.next(1)[0]
	for range r.next(1)[0] {
		h.Groups = append(h.Groups, binary.BigEndian.Uint64(r.next(8)))
	}
}

func (r *reader) end() error {
	if len(r.left) != 0 {
		return mfa.ChallengeInvalid
	}
	return nil
}
