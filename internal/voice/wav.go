package voice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// LongestRecording is how long an administrator's own recording may be.
const LongestRecording = 20 * time.Second

// formats of a WAV file.
const (
	formatPCM  = 1
	formatALaw = 6
	formatULaw = 7
)

// ParseWAV reads an uploaded recording: 8000 samples a second, one channel, as 16 bit PCM,
// A-law or µ-law, at most LongestRecording.
func ParseWAV(b []byte) (Sound, error) {
	const want = "want a WAV file with 8000 samples a second and one channel, as in: sox IN -r 8000 -c 1 -b 16 OUT.wav"
	if len(b) < 12 || !bytes.Equal(b[:4], []byte("RIFF")) || !bytes.Equal(b[8:12], []byte("WAVE")) {
		return nil, errors.New("that is no WAV file; " + want)
	}
	var format uint16
	var known bool
	for rest := b[12:]; len(rest) >= 8; {
		size := int64(binary.LittleEndian.Uint32(rest[4:]))
		body := rest[8:]
		if size > int64(len(body)) {
			size = int64(len(body)) // programs that write to a pipe leave it open
		}
		chunk := body[:size]
		switch string(rest[:4]) {
		case "fmt ":
			if len(chunk) < 16 {
				return nil, errors.New("its format is cut off; " + want)
			}
			format = binary.LittleEndian.Uint16(chunk)
			channels, rate, bits := binary.LittleEndian.Uint16(chunk[2:]), binary.LittleEndian.Uint32(chunk[4:]), binary.LittleEndian.Uint16(chunk[14:])
			depth := uint16(8)
			if format == formatPCM {
				depth = 16
			}
			if channels != 1 || rate != Rate || bits != depth || format != formatPCM && format != formatALaw && format != formatULaw {
				return nil, fmt.Errorf("it has %d channels of %d samples a second, format %d with %d bits; %s", channels, rate, format, bits, want)
			}
			known = true
		case "data":
			if !known {
				return nil, errors.New("its format is missing; " + want)
			}
			return fromSamples(format, chunk)
		}
		rest = body[min(size+size&1, int64(len(body))):]
	}
	return nil, errors.New("it holds no audio; " + want)
}

func fromSamples(format uint16, data []byte) (Sound, error) {
	n := len(data)
	if format == formatPCM {
		n /= 2
	}
	if n < Rate/10 {
		return nil, errors.New("it is shorter than 0.1 s")
	}
	if length := time.Duration(n) * time.Second / Rate; length > LongestRecording {
		return nil, fmt.Errorf("it is %s long; at most %s are said", length.Round(time.Second), LongestRecording)
	}
	s := make(Sound, n)
	for i := range s {
		switch format {
		case formatPCM:
			s[i] = Encode(int16(binary.LittleEndian.Uint16(data[2*i:]))) //nolint:gosec // the same bits
		case formatALaw:
			s[i] = Encode(DecodeA(data[i]))
		default:
			s[i] = data[i]
		}
	}
	return s, nil
}
