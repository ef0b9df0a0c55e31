package keyring

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"sync"

	"countersign/internal/secret"
)

// mac computes HMAC-SHA-256 under one key. It keeps keyed states, because setting one up
// costs as much as using it, and records are opened on the path of every sign-in. It
// holds its key behind a pointer and a closure, so that it prints as an address.
type mac struct{ pool sync.Pool }

type macState struct {
	h   hash.Hash
	in  []byte
	out [sha256.Size]byte
}

func newMAC(key secret.Text) *mac {
	m := &mac{}
	m.pool.New = func() any { return &macState{h: hmac.New(sha256.New, key.Expose())} }
	return m
}

// extract is HKDF-Extract (RFC 5869 section 2.2) with the use as salt.
func extract(s secret.Text, use string) secret.Text {
	prk, err := hkdf.Extract(sha256.New, s.Expose(), []byte(use))
	if err != nil {
		return secret.Text{} // only in FIPS mode and for keys under 14 bytes; Text{} keys no record that could be opened
	}
	return secret.New(prk)
}

// expand is HKDF-Expand (RFC 5869 section 2.3) to the 32 bytes of one block, with the
// fields as info, each behind its length so that no two lists of fields are alike. It
// hands the bytes to use, which must not keep them.
func (m *mac) expand(use func(key []byte), fields ...string) {
	s := m.pool.Get().(*macState)
	s.in = append(appendFields(s.in[:0], fields...), 1)
	s.h.Reset()
	s.h.Write(s.in)
	use(s.h.Sum(s.out[:0]))
	clear(s.out[:])
	m.pool.Put(s)
}

// sum is HMAC over the fields, each behind its length.
func (m *mac) sum(fields ...string) [sha256.Size]byte {
	s := m.pool.Get().(*macState)
	s.in = appendFields(s.in[:0], fields...)
	s.h.Reset()
	s.h.Write(s.in)
	var out [sha256.Size]byte
	copy(out[:], s.h.Sum(s.out[:0]))
	clear(s.in) // may hold a login
	m.pool.Put(s)
	return out
}

func appendFields(b []byte, fields ...string) []byte {
	for _, f := range fields {
		b = binary.AppendUvarint(b, uint64(len(f)))
		b = append(b, f...)
	}
	return b
}
