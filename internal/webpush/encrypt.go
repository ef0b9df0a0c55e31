package webpush

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

const (
	authSize   = 16
	saltSize   = 16
	pointSize  = 65
	recordSize = 4096                              // what push services must take (RFC 8291 section 4)
	header     = saltSize + 4 + 1 + pointSize      // RFC 8188 section 2.1
	overhead   = 16 + 1                            // tag, and the delimiter behind the plaintext
	maxPayload = recordSize - header - overhead    // bytes
	lump       = 256                               // plaintext is padded to a multiple of it, so that its length tells nothing
	info       = "WebPush: info\x00"               // RFC 8291 section 3.4
	keyInfo    = "Content-Encoding: aes128gcm\x00" // RFC 8188 section 2.2
	nonceInfo  = "Content-Encoding: nonce\x00"     // RFC 8188 section 2.3
)

// encrypt makes the body of a message for a browser (RFC 8291): one record of aes128gcm, under
// a key pair and a salt that are used this once.
func encrypt(s Subscription, payload []byte) ([]byte, error) {
	own, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := rand.Read(salt); err != nil {
		return nil, err
	}
	return seal(s, payload, padding(len(payload)), own, salt)
}

// padding is how many zeros go behind a payload of n bytes.
func padding(n int) int {
	want := (n + 1 + lump - 1) / lump * lump
	return max(min(want, maxPayload+1)-n-1, 0)
}

// seal is encrypt with everything that is drawn at random given: the sender's key and the salt
// of 16 bytes.
func seal(s Subscription, payload []byte, pad int, own *ecdh.PrivateKey, salt []byte) ([]byte, error) {
	if len(payload)+pad > maxPayload {
		return nil, fmt.Errorf("a push message of %d bytes: %d are the most", len(payload), maxPayload)
	}
	theirs, err := ecdh.P256().NewPublicKey(s.P256DH)
	if err != nil {
		return nil, fmt.Errorf("%w: p256dh is no point of P-256", ErrSubscription)
	}
	shared, err := own.ECDH(theirs)
	if err != nil {
		return nil, err
	}
	ownPoint := own.PublicKey().Bytes()
	secret, err := hkdf.Key(sha256.New, shared, s.Auth, info+string(s.P256DH)+string(ownPoint), 32)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, salt, keyInfo, 16)
	if err != nil {
		return nil, err
	}
	nonce, err := hkdf.Key(sha256.New, secret, salt, nonceInfo, 12)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 0, header+len(payload)+pad+overhead)
	body = append(body, salt...)
	body = binary.BigEndian.AppendUint32(body, recordSize)
	body = append(body, pointSize)
	body = append(body, ownPoint...)
	plain := make([]byte, len(payload)+1+pad)
	copy(plain, payload)
	plain[len(payload)] = 2 // the last record
	return gcm.Seal(body, nonce, plain, nil), nil
}
