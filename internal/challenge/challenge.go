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

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// MaxSize is the largest token, in bytes: RADIUS State holds 253.
const MaxSize = 200

const (
	header = 1 + 4 // version and key id, authenticated
	flags  = 1     // room for them, whether or not there are any
	nonce  = 12
	tag    = 16
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
	if h.Called {
		b[0], plain = versionThree, append([]byte{called}, plain...)
	}
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
	if len(b) < header+nonce+tag || len(b) > MaxSize || b[0] < versionOne || b[0] > versionThree {
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
	switch b[0] {
	case versionOne:
		return decodeOne(plain)
	case versionThree:
		return decodeThree(plain)
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
