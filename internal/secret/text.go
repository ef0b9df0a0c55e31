// Package secret holds values that must not be printed, marshalled or compared with ==.
package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Text is a secret of any length. The zero Text is empty. A Text holds a closure, so
// that fmt prints "[secret]" or at most an address even for a Text in an unexported
// field, and == does not compile; use Equal.
type Text struct{ open func() []byte }

// New returns a Text that holds a copy of b. The caller may overwrite b afterwards.
func New(b []byte) Text {
	if len(b) == 0 {
		return Text{}
	}
	c := append([]byte(nil), b...)
	return Text{open: func() []byte { return c }}
}

// FromString returns a Text that holds s.
func FromString(s string) Text { return New([]byte(s)) }

// Expose returns the secret. The bytes belong to t and must not be changed. Every call
// is a place for a reviewer to look at.
func (t Text) Expose() []byte {
	if t.open == nil {
		return nil
	}
	return t.open()
}

// Len returns the length in bytes.
func (t Text) Len() int { return len(t.Expose()) }

// Empty reports whether t holds no byte.
func (t Text) Empty() bool { return t.Len() == 0 }

// Equal reports whether t and u hold the same bytes, in a time that depends on their
// lengths only.
func (t Text) Equal(u Text) bool {
	return subtle.ConstantTimeCompare(t.Expose(), u.Expose()) == 1
}

const redacted = "[secret]"

// Format prints "[secret]" for every verb.
func (Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue implements slog.LogValuer.
func (Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText always fails: what stores a secret seals it explicitly.
func (Text) MarshalText() ([]byte, error) {
	return nil, errors.New("secret: a secret.Text cannot be marshalled")
}
