package voice

import "math"

// What an Ear goes by. A person who picks up says a word or two and waits; a mailbox talks for
// a while without a pause and then gives one steady tone. Tones below 500 Hz are those of the network (busy, ringing).
const (
	loud       = 800.0 // root mean square of a frame with somebody's voice in it, about 32 dB below full scale
	breath     = 30    // frames of silence that end what is said: 0.6 s
	speech     = 200   // frames of talk without a pause that no person does on picking up: 4 s
	tone       = 12    // frames of one steady tone: 0.24 s
	toneLow    = 500.0 // Hz
	toneHigh   = 2300.0
	tonePurity = 0.01 // share of the energy that is not that tone's
	toneSpread = 30.0 // Hz by which it may wander
)

// FrameSize is how many samples a frame has: 20 ms.
const FrameSize = Rate / 50

// Ear listens for a machine that answers in a person's place. The zero value is ready.
type Ear struct {
	talk, quiet int // frames
	longest     int
	steady      int
	pitch       float64
	beep        bool
}

// Hear takes the next frame: linear samples, FrameSize of them or a few less.
func (e *Ear) Hear(frame []int16) {
	if len(frame) < FrameSize/2 {
		return
	}
	pitch, pure, level := analyse(frame)
	if level < loud {
		e.steady = 0
		if e.quiet++; e.quiet > breath {
			e.talk = 0
		}
		return
	}
	switch {
	case !pure || pitch < toneLow || pitch > toneHigh:
		e.steady = 0
	case e.steady > 0 && math.Abs(pitch-e.pitch) <= toneSpread:
		e.steady++
	default:
		e.steady, e.pitch = 1, pitch
	}
	e.beep = e.beep || e.steady >= tone
	if e.talk > 0 {
		e.talk += min(e.quiet, breath)
	}
	e.talk++
	e.quiet = 0
	e.longest = max(e.longest, e.talk)
}

// Beep reports whether a steady tone was heard as a mailbox gives it before it records.
func (e *Ear) Beep() bool { return e.beep }

// Machine reports whether what was heard is a machine rather than a person: it talked for long
// without a pause, or gave a tone. It is a guess: somebody in a loud place may sound the same.
func (e *Ear) Machine() bool { return e.beep || e.longest >= speech }

// analyse returns the frequency (Hz) of a frame that is one tone, whether it is, and its level.
// A sine obeys x[n] + x[n-2] = 2 cos(w) x[n-1]: what does not is the rest.
func analyse(x []int16) (pitch float64, pure bool, level float64) {
	var energy, cross, square float64
	for n, s := range x {
		v := float64(s)
		energy += v * v
		if n >= 2 {
			m := float64(x[n-1])
			cross += m * (v + float64(x[n-2]))
			square += m * m
		}
	}
	level = math.Sqrt(energy / float64(len(x)))
	if square == 0 {
		return 0, false, level
	}
	c := cross / square
	var rest float64
	for n := 2; n < len(x); n++ {
		d := float64(x[n]) + float64(x[n-2]) - c*float64(x[n-1])
		rest += d * d
	}
	if c <= -2 || c >= 2 || rest > tonePurity*energy {
		return 0, false, level
	}
	return math.Acos(c/2) * Rate / (2 * math.Pi), true, level
}
