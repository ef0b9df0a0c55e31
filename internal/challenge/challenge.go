// Package challenge seals what a challenge carries from one leg to the next into a token
// that any server of the group can open and nobody else can make or read (DESIGN law 4).
package challenge

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// MaxSize is the largest token, in bytes: RADIUS State holds 253.
const MaxSize = 200

const (
	version  = 1
	header   = 1 + 4 // version and key id, authenticated
	nonce    = 12
	tag      = 16
	maxState = 64
)

// purpose names the subkey of the group's keys that handles are sealed under.
const purpose = "challenge"

// Keys are the group's keys (a keyring.Ring). Old ones stay readable after a rotation.
type Keys interface {
	// Primary is the id of the key to seal with.
	Primary() keyring.KeyID
	// Key returns the subkey of a key for one purpose, 32 bytes, or an error if the group has no such key.
	Key(purpose string, id keyring.KeyID) (secret.Text, error)
}

// Sealer makes and opens tokens. Keys must be set; Random is crypto/rand.Reader if nil.
type Sealer struct {
	Keys   Keys
	Random io.Reader
}

// Seal returns the token of h, at most MaxSize bytes.
func (s Sealer) Seal(h mfa.Handle) ([]byte, error) {
	plain, err := encode(h)
	if err != nil {
		return nil, err
	}
	id := s.Keys.Primary()
	key, err := s.Keys.Key(purpose, id)
	if err != nil {
		return nil, fmt.Errorf("challenge: key of the group: %w", err)
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	b := make([]byte, header+nonce, MaxSize)
	b[0] = version
	binary.BigEndian.PutUint32(b[1:], uint32(id))
	random := s.Random
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, b[header:]); err != nil {
		return nil, err
	}
	b = aead.Seal(b, b[header:header+nonce], plain, b[:header])
	if len(b) > MaxSize {
		return nil, fmt.Errorf("challenge: token of %d bytes, at most %d (fewer groups in the application's reply rules)", len(b), MaxSize)
	}
	return b, nil
}

// Open returns what Seal sealed. It does not look at the expiry. Anything that this
// group did not make is mfa.ChallengeInvalid.
func (s Sealer) Open(b []byte) (mfa.Handle, error) {
	if len(b) < header+nonce+tag || len(b) > MaxSize || b[0] != version {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	key, err := s.Keys.Key(purpose, keyring.KeyID(binary.BigEndian.Uint32(b[1:])))
	if err != nil {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	aead, err := gcm(key)
	if err != nil {
		return mfa.Handle{}, err
	}
	plain, err := aead.Open(nil, b[header:header+nonce], b[header+nonce:], b[:header])
	if err != nil {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	return decode(plain)
}

func gcm(key secret.Text) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.Expose())
	if err != nil {
		return nil, fmt.Errorf("challenge: key of the group: %w", err)
	}
	return cipher.NewGCM(block)
}

func encode(h mfa.Handle) ([]byte, error) {
	if len(h.State) > maxState {
		return nil, fmt.Errorf("challenge: state of %d bytes, at most %d", len(h.State), maxState)
	}
	b := make([]byte, 0, MaxSize)
	b = append(b, h.Attempt[:]...)
	for _, s := range []string{string(h.Application), string(h.User), string(h.Credential), string(h.State)} {
		if len(s) > 255 {
			return nil, fmt.Errorf("challenge: field of %d bytes", len(s))
		}
		b = append(append(b, byte(len(s))), s...)
	}
	b = binary.BigEndian.AppendUint64(b, h.Nonce)
	b = binary.AppendUvarint(b, uint64(max(h.Started.UnixMilli(), 0)))
	b = binary.AppendUvarint(b, uint64(max(h.Expires.Unix(), 0)))
	b = binary.AppendUvarint(b, h.Epoch)
	b = append(b, h.Wrong, byte(len(h.Groups)))
	for _, g := range h.Groups {
		b = binary.BigEndian.AppendUint64(b, g)
	}
	return b, nil
}

// decode reads what encode wrote. The bytes are authentic, so a fault is a token of
// another version of this program; it refuses like a forged one.
func decode(b []byte) (h mfa.Handle, err error) {
	defer func() {
		if recover() != nil { // a slice out of range: cut short
			h, err = mfa.Handle{}, mfa.ChallengeInvalid
		}
	}()
	b = b[copy(h.Attempt[:], b[:len(h.Attempt)]):]
	text := func() string {
		s := string(b[1 : 1+int(b[0])])
		b = b[1+len(s):]
		return s
	}
	number := func() uint64 {
		v, n := binary.Uvarint(b)
		b = b[n:]
		return v
	}
	h.Application, h.User, h.Credential = mfa.ApplicationID(text()), mfa.UserID(text()), mfa.CredentialID(text())
	if s := text(); s != "" {
		h.State = []byte(s)
	}
	h.Nonce = binary.BigEndian.Uint64(b)
	b = b[8:]
	h.Started = time.UnixMilli(int64(number())).UTC()
	h.Expires = time.Unix(int64(number()), 0).UTC()
	h.Epoch = number()
	h.Wrong = b[0]
	groups := int(b[1])
	b = b[2:]
	for range groups {
		h.Groups = append(h.Groups, binary.BigEndian.Uint64(b))
		b = b[8:]
	}
	if len(b) != 0 {
		return mfa.Handle{}, mfa.ChallengeInvalid
	}
	return h, nil
}
