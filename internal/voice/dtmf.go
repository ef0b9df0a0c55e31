package voice

import "math"

// Keys are those of a telephone, in the order of their events (RFC 4733, section 3.2).
const Keys = "0123456789*#ABCD"

// tones are the two frequencies of each key (ITU-T Q.23), in Hz.
var tones = map[byte][2]float64{
	'1': {697, 1209}, '2': {697, 1336}, '3': {697, 1477}, 'A': {697, 1633},
	'4': {770, 1209}, '5': {770, 1336}, '6': {770, 1477}, 'B': {770, 1633},
	'7': {852, 1209}, '8': {852, 1336}, '9': {852, 1477}, 'C': {852, 1633},
	'*': {941, 1209}, '0': {941, 1336}, '#': {941, 1477}, 'D': {941, 1633},
}

// Tone returns the sound of a key, 100 ms long; silence for what is none.
func Tone(key byte) Sound {
	const length = Rate / 10
	s := make(Sound, length)
	f := tones[key]
	for i := range s {
		t := 2 * math.Pi * float64(i) / Rate
		s[i] = Encode(int16(5000 * (math.Sin(f[0]*t) + math.Sin(f[1]*t))))
	}
	return s
}

// Pause returns so many milliseconds of silence.
func Pause(ms int) Sound {
	s := make(Sound, Rate/1000*ms)
	for i := range s {
		s[i] = Silence
	}
	return s
}
