package voice_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"countersign/internal/voice"
)

// The values are those of ITU-T G.711, tables 1 and 2, in 16 bits.
func TestG711(t *testing.T) {
	for u, want := range map[byte]int16{0xff: 0, 0x80: 32124, 0x00: -32124, 0xfe: 8, 0x7e: -8, 0xef: 132, 0x8f: 16764} {
		if got := voice.Decode(u); got != want {
			t.Errorf("µ-law %#02x: got %d, want %d", u, got, want)
		}
	}
	for a, want := range map[byte]int16{0xd5: 8, 0x55: -8, 0xaa: 32256, 0x2a: -32256, 0xd4: 24, 0x80: 5504} {
		if got := voice.DecodeA(a); got != want {
			t.Errorf("A-law %#02x: got %d, want %d", a, got, want)
		}
	}
	for i := range 256 {
		b := byte(i)
		if got := voice.Encode(voice.Decode(b)); got != b && b != 0x7f { // two zeros
			t.Errorf("µ-law %#02x comes back as %#02x", b, got)
		}
		if got := voice.EncodeA(voice.DecodeA(b)); got != b {
			t.Errorf("A-law %#02x comes back as %#02x", b, got)
		}
	}
	for s := math.MinInt16; s <= math.MaxInt16; s++ {
		for name, got := range map[string]int16{"µ-law": voice.Decode(voice.Encode(int16(s))), "A-law": voice.DecodeA(voice.EncodeA(int16(s)))} {
			if off := math.Abs(float64(got) - float64(s)); off > 16+math.Abs(float64(s))/16 && s > -32000 && s < 32000 {
				t.Fatalf("%s: %d comes back as %d", name, s, got)
			}
		}
	}
}

// listen has an ear hear sounds, one after the other.
func listen(sounds ...voice.Sound) *voice.Ear {
	var e voice.Ear
	for _, s := range sounds {
		frame := make([]int16, voice.FrameSize)
		for ; len(s) >= voice.FrameSize; s = s[voice.FrameSize:] {
			for i, u := range s[:voice.FrameSize] {
				frame[i] = voice.Decode(u)
			}
			e.Hear(frame)
		}
	}
	return &e
}

func tone(hz float64, ms int) voice.Sound {
	s := make(voice.Sound, voice.Rate/1000*ms)
	for i := range s {
		s[i] = voice.Encode(int16(8000 * math.Sin(2*math.Pi*hz*float64(i)/voice.Rate)))
	}
	return s
}

func TestEar(t *testing.T) {
	en := func(name string) voice.Sound { return voice.Prompt(nil, name, "en") }
	hello, long := en(voice.Application)[:voice.Rate], append(append(voice.Sound{}, en(voice.Proof)...), en(voice.TypeNumber)...)
	for _, tt := range []struct {
		name          string
		said          []voice.Sound
		beep, machine bool
	}{
		{"nothing", []voice.Sound{voice.Pause(8000)}, false, false},
		{"hello", []voice.Sound{voice.Pause(300), hello, voice.Pause(3000), hello, voice.Pause(2000)}, false, false},
		{"a mailbox", []voice.Sound{voice.Pause(500), long, voice.Pause(300), tone(1000, 400), voice.Pause(1000)}, true, true},
		{"a mailbox without a tone", []voice.Sound{long}, false, true},
		{"a tone alone", []voice.Sound{voice.Pause(200), tone(880, 300)}, true, true},
		{"a click", []voice.Sound{tone(1000, 100), voice.Pause(1000)}, false, false},
		{"ringing in Europe", []voice.Sound{tone(425, 1000), voice.Pause(4000), tone(425, 1000), voice.Pause(4000)}, false, false},
		{"keys", []voice.Sound{voice.Tone('1'), voice.Tone('1'), voice.Tone('1'), voice.Tone('1'), voice.Pause(1000)}, false, false},
	} {
		e := listen(tt.said...)
		if e.Beep() != tt.beep || e.Machine() != tt.machine {
			t.Errorf("%s: beep %v, machine %v; want %v, %v", tt.name, e.Beep(), e.Machine(), tt.beep, tt.machine)
		}
	}
}

// Every language says the same things, and each prompt can be heard in a moderate time.
func TestPrompts(t *testing.T) {
	for _, language := range voice.Languages() {
		texts := voice.Texts(language)
		for _, name := range voice.Names() {
			s := voice.Prompt(nil, name, language)
			switch seconds := float64(len(s)) / voice.Rate; {
			case texts[name] == "":
				t.Errorf("%s: there is no text of %s", language, name)
			case seconds < 0.8 || seconds > 12:
				t.Errorf("%s: %s takes %.1f s", language, name, seconds)
			case seconds < float64(len(texts[name]))/30:
				t.Errorf("%s: %s is too short for its text (%.1f s): run tools/prompts.sh", language, name, seconds)
			}
		}
		if len(texts) != len(voice.Names()) {
			t.Errorf("%s has %d texts, %s has %d", language, len(texts), voice.Fallback, len(voice.Names()))
		}
		for c := range "abcdefghijklmnopqrstuvwxyz0123456789" {
			if s := voice.NameOf(nil, string("abcdefghijklmnopqrstuvwxyz0123456789"[c]), language); len(s) < voice.Rate/10 {
				t.Errorf("%s: letter %d is not spelled", language, c)
			}
		}
	}
	own := func(name string) (voice.Sound, bool) {
		s, ok := map[string]voice.Sound{"press.de": {1}, "application-payroll of the group.en": {2}}[name]
		return s, ok
	}
	if s := voice.Prompt(own, voice.PressKey, "de"); len(s) != 1 {
		t.Error("an own recording is not said")
	}
	if s := voice.NameOf(own, "Payroll of the group", "de"); len(s) != 1 {
		t.Error("an own recording of an application's name is not said")
	}
	if s := voice.NameOf(own, "A name that is long", "de"); s != nil {
		t.Error("a long name is spelled")
	}
	if s := voice.Prompt(nil, voice.PressKey, "fr"); !bytes.Equal(s, voice.Prompt(nil, voice.PressKey, "en")) {
		t.Error("a language that is not there does not fall back")
	}
	if s := voice.Prompt(nil, "../../etc/passwd", "../.."); s != nil {
		t.Error("a name leads elsewhere")
	}
}

func TestCheckRecording(t *testing.T) {
	for name, ok := range map[string]bool{"press.de": true, "application-vpn.en": true, "press": false, "pres.de": false, "press.DE": false,
		"application-.de": false, ".de": false, "press.deu": false} {
		if err := voice.CheckRecording(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func wav(format, channels uint16, rate uint32, bits uint16, data []byte) []byte {
	var b bytes.Buffer
	b.WriteString("RIFF\x00\x00\x00\x00WAVELIST\x03\x00\x00\x00abc\x00fmt ")
	for _, v := range []any{uint32(16), format, channels, rate, rate * uint32(channels) * uint32(bits/8), channels * bits / 8, bits} {
		_ = binary.Write(&b, binary.LittleEndian, v)
	}
	b.WriteString("data")
	_ = binary.Write(&b, binary.LittleEndian, uint32(len(data))) //nolint:gosec // small
	b.Write(data)
	return b.Bytes()
}

func TestParseWAV(t *testing.T) {
	second := make([]byte, 2*voice.Rate)
	for _, tt := range []struct {
		name string
		b    []byte
		want int    // samples
		err  string // part of it
	}{
		{"16 bit", wav(1, 1, 8000, 16, second), voice.Rate, ""},
		{"A-law", wav(6, 1, 8000, 8, second), 2 * voice.Rate, ""},
		{"µ-law", wav(7, 1, 8000, 8, second), 2 * voice.Rate, ""},
		{"of a CD", wav(1, 2, 44100, 16, second), 0, "44100"},
		{"too long", wav(7, 1, 8000, 8, make([]byte, 21*voice.Rate)), 0, "at most 20s"},
		{"empty", wav(7, 1, 8000, 8, nil), 0, "shorter"},
		{"an MP3", []byte("ID3\x03 and much more than that"), 0, "no WAV"},
		{"cut off", wav(1, 1, 8000, 16, second)[:30], 0, "no audio"},
	} {
		s, err := voice.ParseWAV(tt.b)
		if len(s) != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %d samples, %v", tt.name, len(s), err)
		}
	}
}

func FuzzParseWAV(f *testing.F) {
	f.Add(wav(1, 1, 8000, 16, make([]byte, 3200)))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := voice.ParseWAV(b); err == nil && (len(s) > 20*voice.Rate || len(s) < voice.Rate/10) {
			t.Errorf("a recording of %d samples was taken", len(s))
		}
	})
}
