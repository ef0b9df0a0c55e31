package oath

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// maxTyped bounds what ParseSecret looks at, in bytes: 128 bytes in hexadecimal with
// separators.
const maxTyped = 512

var unpadded = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret reads a new shared secret of the algorithm's size from random
// (crypto/rand.Reader if nil).
func NewSecret(random io.Reader, a Algorithm) (secret.Text, error) {
	if random == nil {
		random = rand.Reader
	}
	b := make([]byte, a.SecretSize())
	if len(b) == 0 {
		return secret.Text{}, fmt.Errorf("%w algorithm %.20q: must be SHA1, SHA256 or SHA512", mfa.ErrInvalid, string(a))
	}
	if _, err := io.ReadFull(random, b); err != nil {
		return secret.Text{}, fmt.Errorf("read randomness for a new secret: %w", err)
	}
	return secret.New(b), nil
}

// FormatSecret returns s in Base32 (RFC 4648) without padding, as apps want it typed.
func FormatSecret(s secret.Text) secret.Text {
	return secret.FromString(unpadded.EncodeToString(s.Expose()))
}

// ParseSecret reads a shared secret as people and CSV files have it: Base32 in either
// case with or without padding, or hexadecimal after "hex:"; spaces and dashes anywhere,
// in hexadecimal also colons. Surplus bits of the last Base32 character are dropped, as
// apps do. The error wraps mfa.ErrInvalid and holds nothing of the secret.
func ParseSecret(typed secret.Text) (secret.Text, error) {
	if typed.Len() > maxTyped {
		return secret.Text{}, fmt.Errorf("%w secret: it is typed in %d characters, at most %d", mfa.ErrInvalid, typed.Len(), maxTyped)
	}
	in := bytes.TrimSpace(typed.Expose())
	isHex := len(in) >= 4 && strings.EqualFold(string(in[:4]), "hex:")
	if isHex {
		in = in[4:]
	}
	clean := make([]byte, 0, len(in))
	for _, c := range in {
		if c == ' ' || c == '-' || isHex && c == ':' {
			continue
		}
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		clean = append(clean, c)
	}
	key, err := decode(clean, isHex)
	if err != nil {
		return secret.Text{}, err
	}
	if len(key) < MinSecret || len(key) > MaxSecret {
		return secret.Text{}, fmt.Errorf("%w secret: it has %d bytes, must have %d to %d", mfa.ErrInvalid, len(key), MinSecret, MaxSecret)
	}
	return secret.New(key), nil
}

// decode does not pass on the decoders' errors: they would be about characters of the
// secret after its separators were dropped, which helps nobody to find the place.
func decode(clean []byte, isHex bool) ([]byte, error) {
	if isHex {
		key, err := hex.DecodeString(string(clean))
		if err != nil {
			return nil, fmt.Errorf("%w secret: after hex: it must have pairs of 0-9 and a-f", mfa.ErrInvalid)
		}
		return key, nil
	}
	bare := bytes.TrimRight(clean, "=")
	pad := len(clean) - len(bare)
	if pad > 0 && (pad > 6 || len(clean)%8 != 0) {
		return nil, fmt.Errorf("%w secret: its Base32 padding does not fit its length", mfa.ErrInvalid)
	}
	for _, c := range bare { // the decoder would skip line breaks
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return nil, fmt.Errorf("%w secret: Base32 has only A-Z and 2-7 (write hex: before hexadecimal)", mfa.ErrInvalid)
		}
	}
	key, err := unpadded.DecodeString(string(bare))
	if surplus := len(bare) % 8; err != nil || surplus == 1 || surplus == 3 || surplus == 6 {
		return nil, fmt.Errorf("%w secret: %d characters of Base32 make no whole number of bytes", mfa.ErrInvalid, len(bare))
	}
	return key, nil
}
