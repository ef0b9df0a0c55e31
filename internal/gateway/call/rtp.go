package call

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"countersign/internal/voice"
)

const (
	frameTime  = 20 * time.Millisecond
	headerSize = 12              // bytes of RTP (RFC 3550) without contributing sources
	eventUnit  = voice.FrameSize // of a key's duration in one packet: timestamp units
)

// stream is the audio of one call. Sound is queued by play and dial and leaves a frame at a
// time; keys and sound that come in are handed on. play, dial, idle and tick belong to one goroutine.
type stream struct {
	conn *net.UDPConn
	peer atomic.Pointer[peer]
	keys func(key byte)      // called for each key that is pressed
	hear func(frame []int16) // called for each frame that is heard

	queue    []item
	began    time.Time // of the first frame
	frames   int       // that were due since then
	sequence uint16
	stamp    uint32 // of the next frame
	source   uint32
	buffer   []byte
}

// peer is the other side as it described itself.
type peer struct{ description }

// item is one thing that is to be sent: a sound, or a key.
type item struct {
	sound voice.Sound
	key   int // event; -1: none
	sent  int // packets of the key
}

// openStream opens a socket on the address from where the trunk is reached, at a port of
// ports (both 0: any).
func openStream(local netip.Addr, ports [2]int) (*stream, error) {
	s := &stream{buffer: make([]byte, headerSize+voice.FrameSize)}
	var start [10]byte
	if _, err := rand.Read(start[:]); err != nil {
		return nil, err
	}
	s.source, s.stamp, s.sequence = binary.BigEndian.Uint32(start[:]), binary.BigEndian.Uint32(start[4:]), binary.BigEndian.Uint16(start[8:])
	if ports == [2]int{} {
		var err error
		s.conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
		return s, err
	}
	span := ports[1] - ports[0] + 1
	for i := range span {
		port := ports[0] + (int(start[9])<<8|int(start[8])+i)%span
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, uint16(port)))) //nolint:gosec // ports are checked when set
		if err == nil {
			s.conn = conn
			return s, nil
		}
	}
	return nil, fmt.Errorf("no free UDP port for audio from %d to %d on %s", ports[0], ports[1], local)
}

func (s *stream) local() netip.AddrPort {
	a := s.conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// connect says where audio goes and how.
func (s *stream) connect(d description) { s.peer.Store(&peer{d}) }

func (s *stream) close() { _ = s.conn.Close() }

// play says sound after what is queued.
func (s *stream) play(sound voice.Sound) {
	if len(sound) > 0 {
		s.queue = append(s.queue, item{sound: sound, key: -1})
	}
}

// hush drops what is still to be said.
func (s *stream) hush() { s.queue = nil }

// idle reports whether everything is said.
func (s *stream) idle() bool { return len(s.queue) == 0 }

// left returns how many samples are still to be said.
func (s *stream) left() (n int) {
	for _, i := range s.queue {
		n += len(i.sound)
	}
	return n
}

// dial presses the keys of an extension: as events if the other side takes them, else as tones.
func (s *stream) dial(extension string) {
	p := s.peer.Load()
	for i := range len(extension) {
		key := extension[i]
		event := -1
		for n := range len(voice.Keys) {
			if voice.Keys[n] == key {
				event = n
			}
		}
		switch {
		case key == ',':
			s.play(voice.Pause(1000))
		case event >= 0 && p != nil && p.keys >= 0:
			s.queue = append(s.queue, item{key: event})
			s.play(voice.Pause(100))
		case event >= 0:
			s.play(voice.Tone(key))
			s.play(voice.Pause(100))
		}
	}
}

// tick sends the frames that are due, silence if there is nothing to say: so the way through
// the other side's firewall stays open.
func (s *stream) tick(now time.Time) error {
	if s.began.IsZero() {
		s.began = now
	}
	due := int(now.Sub(s.began)/frameTime) + 1
	if due-s.frames > 50 { // this machine stood still: what would be said is late
		s.began, s.frames, due = now, 0, 1
	}
	for ; s.frames < due; s.frames++ {
		if err := s.frame(); err != nil {
			return err
		}
	}
	return nil
}

// frame sends the next 20 ms.
func (s *stream) frame() error {
	p := s.peer.Load()
	if p == nil {
		return errors.New("audio: the other side is not known yet")
	}
	if len(s.queue) > 0 && s.queue[0].key >= 0 {
		return s.event(p)
	}
	payload := s.buffer[headerSize:]
	n := 0
	for n < len(payload) && len(s.queue) > 0 && s.queue[0].key < 0 {
		taken := copy(payload[n:], s.queue[0].sound)
		n += taken
		if s.queue[0].sound = s.queue[0].sound[taken:]; len(s.queue[0].sound) == 0 {
			s.queue = s.queue[1:]
		}
	}
	for i := n; i < len(payload); i++ {
		payload[i] = voice.Silence
	}
	kind := byte(typePCMU)
	if p.alaw {
		kind = typePCMA
		for i, u := range payload {
			payload[i] = voice.EncodeA(voice.Decode(u))
		}
	}
	stamp := s.stamp
	s.stamp += voice.FrameSize
	return s.packet(p, kind, stamp, len(payload))
}

const (
	eventFrames = 5 // packets of 20 ms that a key is held
	eventEnds   = 3 // packets that say that it was let go
)

// event sends the next packet of a key (RFC 4733, section 2.5): all have the timestamp of the
// first.
func (s *stream) event(p *peer) error {
	it := &s.queue[0]
	begin := it.sent == 0
	it.sent++
	held := min(it.sent, eventFrames)
	s.buffer[headerSize] = byte(it.key) //nolint:gosec // one of 16
	s.buffer[headerSize+1] = 10         // volume: -10 dBm0
	if it.sent > eventFrames {
		s.buffer[headerSize+1] |= 0x80
	}
	binary.BigEndian.PutUint16(s.buffer[headerSize+2:], uint16(held*eventUnit)) //nolint:gosec // at most 800
	kind := byte(p.keys)                                                        //nolint:gosec // 0 to 127
	if begin {
		kind |= 0x80 // marker
	}
	stamp := s.stamp
	if it.sent == eventFrames+eventEnds {
		s.queue = s.queue[1:]
		s.stamp += (eventFrames + eventEnds) * voice.FrameSize
	}
	return s.packet(p, kind, stamp, 4)
}

func (s *stream) packet(p *peer, kind byte, stamp uint32, size int) error {
	b := s.buffer
	b[0], b[1] = 0x80, kind
	binary.BigEndian.PutUint16(b[2:], s.sequence)
	binary.BigEndian.PutUint32(b[4:], stamp)
	binary.BigEndian.PutUint32(b[8:], s.source)
	s.sequence++
	_, err := s.conn.WriteToUDPAddrPort(b[:headerSize+size], p.at)
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil // the network may be away for a packet or two; a call that stays dead ends by time
}

// receive hands on what comes in until the socket is closed. It listens to the address that the
// other side named, or, if that one sits behind a translating router, to the first other port of the same address.
func (s *stream) receive() {
	b := make([]byte, 2048)
	frame := make([]int16, 0, len(b))
	var from netip.AddrPort
	var reader keyReader
	for {
		n, src, err := s.conn.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // a refused packet of before
			continue
		}
		p := s.peer.Load()
		src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		if p == nil || src.Addr() != p.at.Addr() || from.IsValid() && src != from && src != p.at {
			continue
		}
		kind, stamp, marker, payload, ok := parseRTP(b[:n])
		if !ok {
			continue
		}
		if !from.IsValid() || src == p.at {
			from = src
		}
		switch {
		case int(kind) == p.keys || kind == typeKeys:
			if key, ok := reader.read(stamp, marker, payload); ok {
				s.keys(key)
			}
		case kind == typePCMU || kind == typePCMA:
			frame = frame[:0]
			for _, c := range payload {
				if kind == typePCMA {
					frame = append(frame, voice.DecodeA(c))
				} else {
					frame = append(frame, voice.Decode(c))
				}
			}
			s.hear(frame)
		}
	}
}

// parseRTP reads a packet's header.
func parseRTP(b []byte) (kind byte, stamp uint32, marker bool, payload []byte, ok bool) {
	if len(b) < headerSize || b[0]>>6 != 2 {
		return 0, 0, false, nil, false
	}
	start := headerSize + 4*int(b[0]&0x0f)
	if b[0]&0x10 != 0 { // an extension
		if len(b) < start+4 {
			return 0, 0, false, nil, false
		}
		start += 4 + 4*int(binary.BigEndian.Uint16(b[start+2:]))
	}
	end := len(b)
	if b[0]&0x20 != 0 { // padding
		end -= int(b[len(b)-1])
	}
	if start > end {
		return 0, 0, false, nil, false
	}
	return b[1] & 0x7f, binary.BigEndian.Uint32(b[4:]), b[1]&0x80 != 0, b[start:end], true
}

// keyReader finds each key once among the packets that tell of it, whichever of them are lost,
// repeated or of no duration.
type keyReader struct {
	seen, ended bool
	last        uint32
	event       byte
}

func (r *keyReader) read(stamp uint32, marker bool, payload []byte) (key byte, fresh bool) {
	if len(payload) < 4 || int(payload[0]) >= len(voice.Keys) {
		return 0, false
	}
	fresh = !r.seen || stamp != r.last || payload[0] != r.event || marker && r.ended
	r.seen, r.last, r.event, r.ended = true, stamp, payload[0], payload[1]&0x80 != 0
	return voice.Keys[payload[0]], fresh
}
