// Package keyring seals what must not be read from a stolen database: a group's keyset,
// the sealing of single records under it, keyed digests for what has to be looked up, and
// the wrapping of the keyset to the servers of the group. It is pure but for randomness:
// no clock, no I/O.
package keyring

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"countersign/internal/secret"
)

// Sentinels that callers branch on.
var (
	// ErrUnknownKey: sealed under a key that this keyset does not hold.
	ErrUnknownKey = errors.New("keyring: sealed under a key that this server does not have")
	// ErrDamaged: not what was sealed, or sealed for another record.
	ErrDamaged = errors.New("keyring: sealed data is damaged or belongs to another record")
	// ErrMalformed: bytes that no keyset marshals to.
	ErrMalformed = errors.New("keyring: malformed keyset")
)

const (
	keySize    = 32  // bytes of every key
	maxKeys    = 255 // keys in one keyset, the old ones included
	keysetV1   = 1
	headerSize = 1 + keySize + 4 + 1 // version, index key, primary, number of keys
	entrySize  = 4 + 8 + keySize     // id, created, key
)

// KeyID names one key of a keyset: 32 random bits. Zero names none.
type KeyID uint32

// String returns 8 hexadecimal digits.
func (id KeyID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// Info is what may be told of a key.
type Info struct {
	ID      KeyID
	Created time.Time // whole seconds
	Primary bool      // new records are sealed under it
}

// Keyset is the group's keys: some that seal, one of them the primary, and one index key
// for keyed digests, which rotation leaves alone because a digest cannot be computed again
// from the database. A Keyset is immutable and safe for concurrent use. The zero Keyset
// holds no key and seals nothing.
type Keyset struct {
	index   secret.Text
	primary KeyID
	keys    []key
	digests *mac // under a key derived from index
}

type key struct {
	id      KeyID
	created time.Time
	secret  secret.Text
	records *mac // HKDF-Expand for record keys
	uses    *mac // HKDF-Expand for subkeys
}

// New returns a keyset with a fresh index key and one fresh key, read from random
// (crypto/rand.Reader if nil).
func New(random io.Reader, now time.Time) (Keyset, error) {
	index, err := draw(random, keySize)
	if err != nil {
		return Keyset{}, err
	}
	return assemble(index, 0, nil).Rotate(random, now)
}

// Rotate returns a keyset with a further key as the primary. The old keys stay, so that
// what they sealed can be read; the index key is the same.
func (k Keyset) Rotate(random io.Reader, now time.Time) (Keyset, error) {
	if k.index.Empty() {
		return Keyset{}, errors.New("keyring: an empty keyset cannot be rotated")
	}
	if len(k.keys) >= maxKeys {
		return Keyset{}, fmt.Errorf("keyring: the keyset holds %d keys, the most it can", maxKeys)
	}
	s, err := draw(random, keySize)
	if err != nil {
		return Keyset{}, err
	}
	id := KeyID(0)
	for id == 0 || k.find(id) != nil {
		b, err := draw(random, 4)
		if err != nil {
			return Keyset{}, err
		}
		id = KeyID(binary.BigEndian.Uint32(b.Expose()))
	}
	keys := append(append([]key(nil), k.keys...), newKey(id, now.Truncate(time.Second).UTC(), s))
	return assemble(k.index, id, keys), nil
}

func draw(random io.Reader, n int) (secret.Text, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return secret.Text{}, fmt.Errorf("keyring: read randomness: %w", err)
	}
	return secret.New(b), nil
}

func newKey(id KeyID, created time.Time, s secret.Text) key {
	return key{id: id, created: created, secret: s,
		records: newMAC(extract(s, "countersign record 1")),
		uses:    newMAC(extract(s, "countersign subkey 1"))}
}

func assemble(index secret.Text, primary KeyID, keys []key) Keyset {
	return Keyset{index: index, primary: primary, keys: keys, digests: newMAC(extract(index, "countersign digest 1"))}
}

func (k Keyset) find(id KeyID) *key {
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i]
		}
	}
	return nil
}

// Empty reports whether k is the zero Keyset.
func (k Keyset) Empty() bool { return len(k.keys) == 0 }

// Primary returns the id of the key that new records are sealed under; 0 if there is none.
func (k Keyset) Primary() KeyID { return k.primary }

// Keys tells what may be told of the keys, oldest first.
func (k Keyset) Keys() []Info {
	infos := make([]Info, len(k.keys))
	for i, key := range k.keys {
		infos[i] = Info{ID: key.id, Created: key.created, Primary: key.id == k.primary}
	}
	return infos
}

// Includes reports whether k has the index key of old and every key of it: whoever goes
// from old to k can still read everything.
func (k Keyset) Includes(old Keyset) bool {
	if !k.index.Equal(old.index) {
		return false
	}
	for _, o := range old.keys {
		if mine := k.find(o.id); mine == nil || !mine.secret.Equal(o.secret) {
			return false
		}
	}
	return true
}

// Marshal returns the keyset in clear: version, index key, primary, number of keys, then
// id, time and key of each. It belongs into Wrap or an encrypted backup, nowhere else.
func (k Keyset) Marshal() secret.Text {
	if k.Empty() {
		return secret.Text{}
	}
	b := make([]byte, 0, headerSize+len(k.keys)*entrySize)
	b = append(b, keysetV1)
	b = append(b, k.index.Expose()...)
	b = binary.BigEndian.AppendUint32(b, uint32(k.primary))
	b = append(b, byte(len(k.keys)))
	for _, key := range k.keys {
		b = binary.BigEndian.AppendUint32(b, uint32(key.id))
		b = binary.BigEndian.AppendUint64(b, uint64(key.created.Unix()))
		b = append(b, key.secret.Expose()...)
	}
	return secret.New(b)
}

// Unmarshal reads what Marshal wrote. Anything else is ErrMalformed: another version, a
// length that does not fit, no key, an id that is zero or there twice, a primary that is
// not among the keys, a time outside the years 1 to 9999.
func Unmarshal(t secret.Text) (Keyset, error) {
	b := t.Expose()
	if len(b) < headerSize || b[0] != keysetV1 {
		return Keyset{}, ErrMalformed
	}
	index := secret.New(b[1 : 1+keySize])
	primary := KeyID(binary.BigEndian.Uint32(b[1+keySize:]))
	n := int(b[headerSize-1])
	b = b[headerSize:]
	if n == 0 || len(b) != n*entrySize {
		return Keyset{}, ErrMalformed
	}
	var k Keyset
	for ; len(b) > 0; b = b[entrySize:] {
		id := KeyID(binary.BigEndian.Uint32(b))
		seconds := int64(binary.BigEndian.Uint64(b[4:]))
		if id == 0 || k.find(id) != nil || seconds < minTime || seconds > maxTime {
			return Keyset{}, ErrMalformed
		}
		k.keys = append(k.keys, newKey(id, time.Unix(seconds, 0).UTC(), secret.New(b[12:entrySize])))
	}
	if k.find(primary) == nil {
		return Keyset{}, ErrMalformed
	}
	return assemble(index, primary, k.keys), nil
}

// Seconds of the years 1 and 9999.
const (
	minTime = -62135596800
	maxTime = 253402300799
)
