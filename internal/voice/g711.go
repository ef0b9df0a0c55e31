// Package voice knows what is said and heard in a telephone call: G.711 audio, the prompts in
// every language, and what a machine sounds like that answers in a person's place. It is pure.
package voice

// Rate is how many samples a second has.
const Rate = 8000

// Sound is audio as G.711 µ-law: one byte for each sample, Rate of them a second.
type Sound []byte

// Silence is the µ-law byte of no sound.
const Silence = 0xff

// Decode returns the linear sample of a µ-law byte (ITU-T G.711).
func Decode(u byte) int16 {
	u = ^u
	t := (int16(u&0x0f)<<3 + bias) << (u & 0x70 >> 4)
	if u&0x80 != 0 {
		return bias - t
	}
	return t - bias
}

const bias = 0x84

// Encode returns the µ-law byte of a linear sample.
func Encode(sample int16) byte {
	v, sign := int(sample), byte(0)
	if v < 0 {
		v, sign = -v, 0x80
	}
	v = min(v, 32635) + bias
	exponent := 7
	for mask := 0x4000; v&mask == 0 && exponent > 0; mask >>= 1 {
		exponent--
	}
	return ^(sign | byte(exponent)<<4 | byte(v>>(exponent+3))&0x0f)
}

// DecodeA returns the linear sample of an A-law byte.
func DecodeA(a byte) int16 {
	a ^= 0x55
	t := int16(a&0x0f)<<4 + 8
	if segment := a & 0x70 >> 4; segment > 0 {
		t = (t + 0x100) << (segment - 1)
	}
	if a&0x80 != 0 {
		return t
	}
	return -t
}

// EncodeA returns the A-law byte of a linear sample.
func EncodeA(sample int16) byte {
	v, mask := int(sample)>>3, byte(0xd5)
	if v < 0 {
		v, mask = -v-1, 0x55
	}
	segment := 0
	for top := 0x1f; v > top && segment < 8; top = top<<1 | 1 {
		segment++
	}
	if segment >= 8 {
		return 0x7f ^ mask
	}
	shift := max(segment, 1)
	return (byte(segment)<<4 | byte(v>>shift)&0x0f) ^ mask
}

// ALaw returns s in A-law.
func (s Sound) ALaw() []byte {
	out := make([]byte, len(s))
	for i, u := range s {
		out[i] = EncodeA(Decode(u))
	}
	return out
}

// FromALaw returns the Sound of A-law bytes.
func FromALaw(a []byte) Sound {
	out := make(Sound, len(a))
	for i, b := range a {
		out[i] = Encode(DecodeA(b))
	}
	return out
}
