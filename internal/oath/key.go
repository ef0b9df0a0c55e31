// Package oath computes and matches one-time passcodes: HOTP (RFC 4226) and TOTP
// (RFC 6238). It reads and writes their secrets and otpauth:// URIs. It is pure: time and
// randomness are arguments, and it remembers nothing; what is spent is the caller's to
// know.
package oath

import (
	"crypto/sha1" //nolint:gosec // RFC 4226 is defined on HMAC-SHA-1, whose strength does not rest on collisions
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"hash"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Algorithm is the hash under the HMAC, spelt as in otpauth URIs.
type Algorithm string

// The algorithms. SHA1 is what nearly every token and app has.
const (
	SHA1   Algorithm = "SHA1"
	SHA256 Algorithm = "SHA256"
	SHA512 Algorithm = "SHA512"
)

// What an app assumes when a URI says nothing.
const (
	DefaultAlgorithm = SHA1
	DefaultDigits    = 6
	DefaultPeriod    = 30 // seconds
)

// The bounds of a Key.
const (
	MinSecret = 10 // bytes; RFC 4226 R6 wants 16, but secrets of 16 Base32 characters are in wide use
	MaxSecret = 128
	MinDigits = 6
	MaxDigits = 8
	MinPeriod = 1 // seconds
	MaxPeriod = 3600
)

// ParseAlgorithm reads an algorithm's name in any case, with or without a dash:
// "sha-256".
func ParseAlgorithm(s string) (Algorithm, error) {
	a := Algorithm(strings.Replace(strings.ToUpper(s), "-", "", 1))
	if a.hash() == nil {
		return "", fmt.Errorf("%w algorithm %.20q: must be SHA1, SHA256 or SHA512", mfa.ErrInvalid, s)
	}
	return a, nil
}

// SecretSize is the number of bytes of a new secret: the size of the hash, as RFC 4226
// (R6) and RFC 6238 (section 5.1) advise. 0 for an unknown algorithm.
func (a Algorithm) SecretSize() int {
	if h := a.hash(); h != nil {
		return h().Size()
	}
	return 0
}

func (a Algorithm) hash() func() hash.Hash {
	switch a {
	case SHA1:
		return sha1.New
	case SHA256:
		return sha256.New
	case SHA512:
		return sha512.New
	}
	return nil
}

// Key is all that a token knows but its counter or clock. The zero Key matches nothing.
// A Key may be used by any number of goroutines at once.
type Key struct {
	secret    secret.Text
	algorithm Algorithm
	digits    int
	period    int // seconds; 0: HOTP
}

// NewHOTP returns a counter-based key. The error wraps mfa.ErrInvalid.
func NewHOTP(s secret.Text, a Algorithm, digits int) (Key, error) {
	switch {
	case s.Len() < MinSecret || s.Len() > MaxSecret:
		return Key{}, fmt.Errorf("%w secret: it has %d bytes, must have %d to %d", mfa.ErrInvalid, s.Len(), MinSecret, MaxSecret)
	case a.hash() == nil:
		return Key{}, fmt.Errorf("%w algorithm %.20q: must be SHA1, SHA256 or SHA512", mfa.ErrInvalid, string(a))
	case digits < MinDigits || digits > MaxDigits:
		return Key{}, fmt.Errorf("%w number of digits %d: must be %d to %d", mfa.ErrInvalid, digits, MinDigits, MaxDigits)
	}
	return Key{secret: s, algorithm: a, digits: digits}, nil
}

// NewTOTP returns a time-based key whose steps last period seconds from the Unix epoch.
// The error wraps mfa.ErrInvalid.
func NewTOTP(s secret.Text, a Algorithm, digits, period int) (Key, error) {
	k, err := NewHOTP(s, a, digits)
	if err != nil {
		return Key{}, err
	}
	if period < MinPeriod || period > MaxPeriod {
		return Key{}, fmt.Errorf("%w period of %d s: must be %d to %d s", mfa.ErrInvalid, period, MinPeriod, MaxPeriod)
	}
	k.period = period
	return k, nil
}

// Secret returns the shared secret.
func (k Key) Secret() secret.Text { return k.secret }

// Algorithm returns the hash.
func (k Key) Algorithm() Algorithm { return k.algorithm }

// Digits returns the length of a code; 0 for the zero Key.
func (k Key) Digits() int { return k.digits }

// Period returns the length of a time step in seconds; 0 for a counter-based key.
func (k Key) Period() int { return k.period }

// Step returns the time step that now lies in (RFC 6238 section 4.2); 0 before 1970 and
// for a counter-based key.
func (k Key) Step(now time.Time) uint64 {
	if k.period == 0 || now.Unix() < 0 {
		return 0
	}
	return uint64(now.Unix()) / uint64(k.period)
}
