package policy

import (
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Split is one way to read what a first leg carried.
type Split struct {
	Password secret.Text
	Code     secret.Text // empty: none was sent
}

// Splits returns the ways to read what was typed into the password field, the likeliest
// first; the last one has no code and is absent in append mode. lengths are those of the codes that the
// user may have, in bytes. A tail can be a code only if it looks like one: digits, or
// the grouped letters of recovery codes and passes.
func Splits(mode mfa.Passcode, firstFactor bool, typed secret.Text, lengths []int) []Split {
	if !firstFactor {
		if typed.Empty() {
			return []Split{{}}
		}
		return []Split{{Code: typed}}
	}
	whole := Split{Password: typed}
	if mode != mfa.PasscodeAppend && mode != mfa.PasscodeEither {
		return []Split{whole}
	}
	var ways []Split
	b := typed.Expose()
	for _, n := range longestFirst(lengths) {
		if n < len(b) && codeLike(b[len(b)-n:]) {
			ways = append(ways, Split{Password: secret.New(b[:len(b)-n]), Code: secret.New(b[len(b)-n:])})
		}
	}
	if mode == mfa.PasscodeAppend {
		return ways
	}
	return append(ways, whole)
}

// longestFirst returns the lengths without doubles. A recovery code ends in letters and
// holds a dash, so a longer reading that fits is never a shorter code by accident.
func longestFirst(lengths []int) []int {
	l := slices.Clone(lengths)
	slices.Sort(l)
	l = slices.Compact(l)
	slices.Reverse(l)
	return slices.DeleteFunc(l, func(n int) bool { return n <= 0 })
}

// codeLike reports whether b looks like a code: up to eight digits, more with a PIN in front, or
// longer groups of letters and digits with a dash between.
func codeLike(b []byte) bool {
	digits, dashes := 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9':
			digits++
		case c == '-':
			dashes++
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		default:
			return false
		}
	}
	if len(b) <= 8 || digits == len(b) && len(b) <= 8+MaxPIN { // a PIN in front of the code
		return digits == len(b)
	}
	return dashes == 1 && b[0] != '-' && b[len(b)-1] != '-'
}
