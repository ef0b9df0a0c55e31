package mfa

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// UserID names one person for ever, whatever they type as login. 16 characters.
type UserID string

// CredentialID names one credential; unique within the group. 16 characters.
type CredentialID string

// ApplicationID names one application; unique within the group. 16 characters.
type ApplicationID string

// MethodID names one kind of second factor, as in the CLI: "totp".
type MethodID string

// The methods. MethodPassword is the local first factor and never counts as a second.
const (
	MethodTOTP     MethodID = "totp"
	MethodHOTP     MethodID = "hotp"
	MethodRecovery MethodID = "recovery"
	MethodTAP      MethodID = "tap"
	MethodSMS      MethodID = "sms"
	MethodEmail    MethodID = "email"
	MethodPasskey  MethodID = "passkey"
	MethodPush     MethodID = "push"
	MethodCall     MethodID = "call"
	MethodPassword MethodID = "password"
	MethodPIN      MethodID = "pin"
)

// FirstFactor reports whether m is none of the second factors: a local password, or the PIN that
// goes with a code.
func (m MethodID) FirstFactor() bool { return m == MethodPassword || m == MethodPIN }

// TakesPIN reports whether a PIN goes with m where one is wanted: in front of its codes, or typed
// on the device or phone that answers. It goes with everything but what is a way around a factor.
func (m MethodID) TakesPIN() bool {
	switch m {
	case MethodTOTP, MethodHOTP, MethodSMS, MethodEmail, MethodPush, MethodCall:
		return true
	}
	return false
}

// Prompts reports whether m reaches out to the user for each attempt: those are counted against
// the limit of prompts. A method that is not known here does.
func (m MethodID) Prompts() bool {
	switch m {
	case MethodTOTP, MethodHOTP, MethodRecovery, MethodTAP, MethodPassword, MethodPIN, MethodPasskey:
		return false
	}
	return true
}

// Reaches reports whether a credential of m is a number or an address, which a code proves.
func (m MethodID) Reaches() bool { return m.Sends() || m == MethodCall }

// Sends reports whether a code of m is sent to the user for each attempt.
func (m MethodID) Sends() bool { return m == MethodSMS || m == MethodEmail }

// Waits reports whether m is answered by another way than what is typed: on a device, by a call.
func (m MethodID) Waits() bool { return m == MethodPush || m == MethodCall }

// Once reports whether an attempt asks by m only once, whatever comes of it: a telephone rings.
func (m MethodID) Once() bool { return m == MethodCall }

// Bound reports whether an answer of m belongs to one challenge and is good for no other, so that
// nobody can have used it elsewhere before that was asked.
func (m MethodID) Bound() bool { return m.Sends() || m == MethodPasskey || m.Waits() }

var idEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// NewID returns 16 random characters of a-z and 2-7 (80 bits), read from random
// (crypto/rand.Reader if nil).
func NewID(random io.Reader) string {
	var b [10]byte
	fill(random, b[:])
	return idEncoding.EncodeToString(b[:])
}

// AttemptID names one authentication from its first packet to its verdict. The user
// sees it and finds it in the trail. The zero value names none.
type AttemptID [10]byte

// NewAttemptID returns a random id, read from random (crypto/rand.Reader if nil).
func NewAttemptID(random io.Reader) AttemptID {
	var a AttemptID
	fill(random, a[:])
	return a
}

func fill(random io.Reader, b []byte) {
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, b); err != nil {
		panic("mfa: no randomness: " + err.Error()) // crypto/rand never fails; a test's reader that ends is a mistake
	}
}

// String returns 16 characters of a-z and 2-7, or "" for the zero id.
func (a AttemptID) String() string {
	if a == (AttemptID{}) {
		return ""
	}
	return idEncoding.EncodeToString(a[:])
}

// MarshalText implements encoding.TextMarshaler.
func (a AttemptID) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *AttemptID) UnmarshalText(b []byte) error {
	*a = AttemptID{}
	if len(b) == 0 {
		return nil
	}
	raw, err := idEncoding.DecodeString(strings.ToLower(string(b)))
	if err != nil || len(raw) != len(a) {
		return fmt.Errorf("attempt id %q: want 16 characters of a-z and 2-7", b)
	}
	copy(a[:], raw)
	return nil
}

// LegID names one leg of an attempt as the client sent it, so that a retransmit of it
// is known (DESIGN law 3). It is a digest; the zero value names none.
type LegID [16]byte

// String returns 32 hexadecimal digits, or "" for the zero id.
func (l LegID) String() string {
	if l == (LegID{}) {
		return ""
	}
	return hex.EncodeToString(l[:])
}

// MarshalText implements encoding.TextMarshaler.
func (l LegID) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *LegID) UnmarshalText(b []byte) error {
	*l = LegID{}
	if len(b) == 0 {
		return nil
	}
	if hex.DecodedLen(len(b)) != len(l) {
		return fmt.Errorf("leg id %q: want 32 hexadecimal digits", b)
	}
	_, err := hex.Decode(l[:], b)
	return err
}
