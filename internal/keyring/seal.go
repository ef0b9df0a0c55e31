package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"countersign/internal/secret"
)

// Sealed records are: format version (1 byte), key id (4), nonce (12), ciphertext, tag (16).
const (
	sealV1     = 1
	prefixSize = 1 + 4
	// Overhead is by how many bytes a sealed record is longer than what it holds.
	Overhead = prefixSize + 12 + 16
)

// Ring is the keyset in use. It is safe for concurrent use, and Replace exchanges the
// keyset under everybody's hands. The zero Ring seals nothing.
type Ring struct{ now atomic.Pointer[Keyset] }

// NewRing returns a ring that uses k.
func NewRing(k Keyset) *Ring {
	r := &Ring{}
	r.Replace(k)
	return r
}

// Replace makes k the keyset in use.
func (r *Ring) Replace(k Keyset) { r.now.Store(&k) }

// Keyset returns the keyset in use.
func (r *Ring) Keyset() Keyset {
	if k := r.now.Load(); k != nil {
		return *k
	}
	return Keyset{}
}

// Primary returns the id of the key that new records are sealed under.
func (r *Ring) Primary() KeyID { return r.Keyset().Primary() }

// Seal seals plain for one record: kind is its kind ("user"), owner whose it is, id its
// key in the database. Only Open with the same three opens it, so records cannot be
// exchanged for each other. Sealing the same twice gives different bytes.
//
// The record's own key is HKDF-SHA-256 (RFC 5869) of the primary key and the three; the
// cipher is AES-256-GCM with a random nonce; header, kind, owner and id are its associated
// data.
func (r *Ring) Seal(kind, owner, id string, plain []byte) ([]byte, error) {
	k := r.Keyset()
	key := k.find(k.primary)
	if key == nil {
		return nil, ErrUnknownKey
	}
	aead, err := key.recordAEAD(kind, owner, id)
	if err != nil {
		return nil, err
	}
	out := make([]byte, prefixSize, len(plain)+Overhead)
	out[0] = sealV1
	binary.BigEndian.PutUint32(out[1:], uint32(k.primary))
	return aead.Seal(out, nil, plain, associated(out, kind, owner, id)), nil
}

// Open returns what Seal sealed with the same kind, owner and id. The error wraps
// ErrUnknownKey or ErrDamaged.
func (r *Ring) Open(kind, owner, id string, sealed []byte) (secret.Text, error) {
	kid, err := KeyOf(sealed)
	if err != nil {
		return secret.Text{}, err
	}
	k := r.Keyset()
	key := k.find(kid)
	if key == nil {
		return secret.Text{}, fmt.Errorf("%w (key %s; its primary is %s)", ErrUnknownKey, kid, k.primary)
	}
	aead, err := key.recordAEAD(kind, owner, id)
	if err != nil {
		return secret.Text{}, err
	}
	plain, err := aead.Open(nil, nil, sealed[prefixSize:], associated(sealed[:prefixSize], kind, owner, id))
	if err != nil {
		return secret.Text{}, ErrDamaged
	}
	return secret.New(plain), nil
}

// KeyOf returns the id of the key that sealed was sealed under, or ErrDamaged.
func KeyOf(sealed []byte) (KeyID, error) {
	if len(sealed) < Overhead || sealed[0] != sealV1 {
		return 0, ErrDamaged
	}
	return KeyID(binary.BigEndian.Uint32(sealed[1:])), nil
}

func (k *key) recordAEAD(kind, owner, id string) (aead cipher.AEAD, err error) {
	k.records.expand(func(rk []byte) {
		var block cipher.Block
		if block, err = aes.NewCipher(rk); err == nil {
			aead, err = cipher.NewGCMWithRandomNonce(block)
		}
	}, kind, owner, id)
	return aead, err
}

func associated(header []byte, kind, owner, id string) []byte {
	b := make([]byte, 0, prefixSize+3+len(kind)+len(owner)+len(id)+3)
	return appendFields(append(b, header...), kind, owner, id)
}

var digestEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Digest returns the keyed digest of a login form as it stands in database keys: 26
// characters, 128 bits of HMAC-SHA-256. It does not change when keys are rotated.
func (r *Ring) Digest(form string) string {
	d := r.RawDigest(form)
	return digestEncoding.EncodeToString(d[:])
}

// RawDigest returns the 16 bytes that Digest encodes.
func (r *Ring) RawDigest(form string) [16]byte {
	d := r.DigestOf("login form", form)
	return [16]byte(d[:16])
}

// DigestOf returns HMAC-SHA-256 of value for a purpose ("name of an application"), under a
// key that rotation does not change. Digests of different purposes have nothing in common.
func (r *Ring) DigestOf(purpose, value string) [32]byte {
	k := r.now.Load()
	if k == nil || k.digests == nil {
		panic("keyring: digest with an empty keyset") // an unkeyed digest would be no secret
	}
	return k.digests.sum(purpose, value)
}

// Key derives a subkey of 32 bytes for a purpose ("challenge handle") from the key id:
// Primary to seal, the id found in the sealed thing to open. ErrUnknownKey if there is none.
func (r *Ring) Key(purpose string, id KeyID) (secret.Text, error) {
	k := r.Keyset()
	key := k.find(id)
	if key == nil {
		return secret.Text{}, fmt.Errorf("%w (key %s)", ErrUnknownKey, id)
	}
	var sub secret.Text
	key.uses.expand(func(b []byte) { sub = secret.New(b) }, purpose)
	return sub, nil
}
