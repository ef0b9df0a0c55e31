package policy

import (
	"errors"
	"fmt"
	"strings"

	"countersign/internal/secret"
)

// MaxPIN is the longest PIN, in digits.
const MaxPIN = 16

// The rules that a new PIN may break, for pages that say it in another language.
var (
	ErrPINDigits   = errors.New("a PIN has digits only")
	ErrPINLength   = errors.New("the PIN is too short or too long")
	ErrPINRepeat   = errors.New("three equal digits in a row are too easy to guess")
	ErrPINSequence = errors.New("three digits that follow each other are too easy to guess")
	ErrPINPhone    = errors.New("four digits of the PIN stand in the phone number")
	ErrPINUsed     = errors.New("this PIN was used before")
)

// CheckPIN reports why a new PIN is refused: its length and, unless weak ones are allowed, what
// is easy to guess. numbers are the user's phone numbers.
func CheckPIN(pin secret.Text, set Settings, numbers ...string) error {
	b := pin.Expose()
	for _, c := range b {
		if c < '0' || c > '9' {
			return ErrPINDigits
		}
	}
	if len(b) < set.PINLength || len(b) > MaxPIN {
		return fmt.Errorf("%w: want %d to %d digits", ErrPINLength, set.PINLength, MaxPIN)
	}
	if set.PINWeak {
		return nil
	}
	for i := 2; i < len(b); i++ {
		switch d, e := int(b[i])-int(b[i-1]), int(b[i-1])-int(b[i-2]); {
		case d == 0 && e == 0:
			return ErrPINRepeat
		case d == e && (d == 1 || d == -1):
			return ErrPINSequence
		}
	}
	for _, n := range numbers {
		for i := 0; i+4 <= len(b); i++ {
			if strings.Contains(n, string(b[i:i+4])) {
				return ErrPINPhone
			}
		}
	}
	return nil
}
