// Package device is what a phone or a browser that approves sign-ins is to us: a public key, the
// words that it signs, and where it is reached. It is pure; who it belongs to is a credential.
package device

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"strconv"
	"strings"
	"unicode"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	keySize       = 65 // bytes of an uncompressed point of P-256
	signatureSize = 64 // bytes of r||s (IEEE P1363)
	half          = signatureSize / 2
)

// ErrKey says that something is no public key of P-256.
var ErrKey = errors.New("no public key of P-256")

// encoding is what keys, signatures and nonces are written in: base64url without padding, and
// no second way to write the same.
var encoding = base64.RawURLEncoding.Strict()

// Device is what the credential of a device keeps, as its Secret. There is nothing secret in it
// but where the device is reached: only the device has its private key.
type Device struct {
	Key      []byte `json:"key"`                // public, an uncompressed point
	Endpoint string `json:"endpoint,omitempty"` // of its push service; whoever knows it can send there
	P256DH   string `json:"p256dh,omitempty"`
	Auth     string `json:"auth,omitempty"`
}

// Secret returns d as a credential keeps it.
func (d Device) Secret() secret.Text {
	b, err := json.Marshal(d)
	if err != nil {
		panic("device: " + err.Error()) // its fields are bytes and text
	}
	return secret.New(b)
}

// Parse reads what Secret wrote.
func Parse(t secret.Text) (d Device, err error) {
	if err := json.Unmarshal(t.Expose(), &d); err != nil {
		return Device{}, fmt.Errorf("a device's credential does not read as one: %w", mfa.ErrInvalid)
	}
	_, err = public(d.Key)
	return d, err
}

// Reachable reports whether d has said where it is reached when its page is not open.
func (d Device) Reachable() bool { return d.Endpoint != "" }

// ParseKey reads a public key in base64url. The error wraps ErrKey.
func ParseKey(text string) ([]byte, error) {
	b, err := encoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: want %d bytes in base64url without padding", ErrKey, keySize)
	}
	_, err = public(b)
	return b, err
}

func public(key []byte) (*ecdsa.PublicKey, error) {
	if len(key) != keySize {
		return nil, fmt.Errorf("%w: %d bytes, want an uncompressed point of %d", ErrKey, len(key), keySize)
	}
	k, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), key)
	if err != nil {
		return nil, fmt.Errorf("%w: not a point of the curve", ErrKey)
	}
	return k, nil
}

// Signed reports whether signature, in base64url, is key's of message (ECDSA with SHA-256).
func Signed(key []byte, message []byte, signature string) bool {
	k, err := public(key)
	if err != nil || len(signature) > 2*signatureSize {
		return false
	}
	s, err := encoding.DecodeString(signature)
	if err != nil || len(s) != signatureSize {
		return false
	}
	digest := sha256.Sum256(message)
	return ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(s[:half]), new(big.Int).SetBytes(s[half:]))
}

// Request is what a device signs of each of its requests.
type Request struct {
	Method, Path string
	Time         string // as in its header: seconds since 1970
	Nonce        string // as in its header
	Body         []byte
}

// Message returns the bytes that are signed.
func (r Request) Message() []byte {
	digest := sha256.Sum256(r.Body)
	return []byte(strings.Join([]string{"countersign-device-v1", r.Method, r.Path, r.Time, r.Nonce, encoding.EncodeToString(digest[:])}, "\n"))
}

// Activation returns the bytes that a device signs to show that it has the private key of the
// public one that it brings, for this code.
func Activation(code string) []byte { return []byte("countersign-activate-v1\n" + code) }

// idSize is the length of a user's and of a credential's id, in characters.
const idSize = 16

// ID names a device by whose it is and which of theirs.
func ID(c mfa.Credential) string { return string(c.User) + string(c.ID) }

// ParseID takes the id of a device apart.
func ParseID(id string) (mfa.UserID, mfa.CredentialID, bool) {
	if len(id) != 2*idSize || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return "", "", false
	}
	return mfa.UserID(id[:idSize]), mfa.CredentialID(id[idSize:]), true
}

// NewCode draws an activation code: 80 bits, read out in four groups.
func NewCode(random io.Reader) secret.Text {
	id := mfa.NewID(random)
	return secret.FromString(strings.Join([]string{id[:4], id[4:8], id[8:12], id[12:]}, "-"))
}

// CleanCode returns an activation code as it is kept, however it was typed.
func CleanCode(typed string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || unicode.IsSpace(r) {
			return -1
		}
		return unicode.ToLower(r)
	}, typed)
}

// Token is what a device brings back with an answer: it says which question it was shown, and by
// a digest what stood in it: application, source, place, text and the second in which it was asked.
// So a signed answer is one to these very words.
func Token(w mfa.Wait) string {
	h := sha256.New()
	for _, s := range []string{w.Application, w.Source, w.Place, w.Text, strconv.FormatInt(w.Asked.Unix(), 10)} {
		fmt.Fprintf(h, "%d %s\n", len(s), s)
	}
	return encoding.EncodeToString(h.Sum(w.Nonce[:len(w.Nonce):len(w.Nonce)])[:2*len(w.Nonce)])
}
