// Package phone knows telephone numbers as far as sending to them needs it: their normal form
// (ITU-T E.164), the country that they belong to, and how much of one a screen may show.
package phone

import (
	"fmt"
	"strings"
)

const (
	shortest = 8 // digits, country code included; whatever is shorter is a service and no person
	longest  = 15
)

// Parse returns the E.164 form of a number that was typed with its country code: "+49 (0)170
// 123-4567" and "0049170/1234567" are "+491701234567". A number without one is refused: to
// guess the country would be to text a stranger.
func Parse(typed string) (string, error) {
	s := strings.TrimSpace(typed)
	s = strings.Replace(s, "(0)", "", 1)
	if rest, ok := strings.CutPrefix(s, "00"); ok {
		s = "+" + rest
	}
	plus, digits := strings.HasPrefix(s, "+"), make([]byte, 0, longest+1)
	for i, c := range strings.TrimPrefix(s, "+") {
		switch {
		case c >= '0' && c <= '9':
			digits = append(digits, byte(c))
		case strings.ContainsRune(" -./()\u00a0\u2011\u2013", c) && i > 0:
		default:
			return "", fmt.Errorf("a telephone number has digits and a + in front, as in +491701234567")
		}
	}
	switch {
	case !plus:
		return "", fmt.Errorf("the number has no country code: write it as +491701234567")
	case len(digits) < shortest || len(digits) > longest || digits[0] == '0':
		return "", fmt.Errorf("a number in E.164 form has %d to %d digits, the country code first", shortest, longest)
	}
	return "+" + string(digits), nil
}

// Mask returns what of a number may be shown to whoever is about to answer: its owner knows
// it, nobody else learns it.
func Mask(number string) string {
	if len(number) < 6 {
		return "***"
	}
	return number[:3] + strings.Repeat("*", len(number)-5) + number[len(number)-2:]
}

// Country returns the country (ISO 3166, two letters) of a number in E.164 form, or "" for one
// of none: satellites, and ranges of no person's telephone (toll-free, premium, shared cost,
// personal numbers), also those within a country.
func Country(number string) string {
	if nobodys(number) {
		return ""
	}
	digits := strings.TrimPrefix(number, "+")
	for n := min(len(digits), deepest); n > 0; n-- {
		if c, ok := countries[digits[:n]]; ok {
			return c
		}
	}
	return ""
}

// IsCountry reports whether code is that of a country with telephone numbers.
func IsCountry(code string) bool { return known[code] }
