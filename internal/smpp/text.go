package smpp

import (
	"unicode/utf16"
	"unicode/utf8"
)

// Text messages are sent in parts (3GPP TS 23.040): of 160 characters of the GSM alphabet, 153
// if there are several, or of 70 and 67 UTF-16 units if one character is not in it. A
// provider charges for each part.

// MaxParts is the most that a message may be sent in.
const MaxParts = 4

// gsm is the default alphabet (3GPP TS 23.038) in the order of its codes; the one at 0x1B, the
// escape, is no character.
const gsm = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"

// gsmExtended are the characters behind an escape, and their codes.
const (
	gsmExtended      = "\f^{}\\[~]|€"
	gsmExtendedCodes = "\x0a\x14\x28\x29\x2f\x3c\x3d\x3e\x40\x65"
)

var gsmCodes = gsmTable()

func gsmTable() map[rune][]byte {
	t := map[rune][]byte{}
	code := byte(0)
	for _, r := range gsm {
		if code != 0x1b {
			t[r] = []byte{code}
		}
		code++
	}
	i := 0
	for _, r := range gsmExtended {
		t[r] = []byte{0x1b, gsmExtendedCodes[i]}
		i++
	}
	return t
}

// Body is a text as it is sent: each part's bytes, one for a GSM character (two with its
// escape), two for a UTF-16 unit.
type Body struct {
	UCS2  bool
	Parts [][]byte
}

// Encode cuts a text into parts; no escape and no surrogate pair is torn apart. ucs2 has it take
// UCS-2 for every text.
func Encode(text string, ucs2 bool) Body {
	var units [][]byte // that stay together
	size := 0
	for _, r := range text {
		u, ok := gsmCodes[r]
		if !ok || ucs2 {
			ucs2 = true
			break
		}
		units, size = append(units, u), size+len(u)
	}
	single, several := 160, 153
	if ucs2 {
		units, size, single, several = nil, 0, 140, 134
		for _, r := range text {
			if r == utf8.RuneError {
				r = '?'
			}
			var u []byte
			for _, w := range utf16.Encode([]rune{r}) {
				u = append(u, byte(w>>8), byte(w)) //nolint:gosec // the two halves of it
			}
			units, size = append(units, u), size+len(u)
		}
	}
	b := Body{UCS2: ucs2}
	limit := several
	if size <= single {
		limit = single
	}
	var part []byte
	for _, u := range units {
		if len(part)+len(u) > limit {
			b.Parts = append(b.Parts, part)
			part = nil
		}
		part = append(part, u...)
	}
	b.Parts = append(b.Parts, part)
	return b
}

// Parts returns how many parts a text message is sent in.
func Parts(text string) int { return len(Encode(text, false).Parts) }
