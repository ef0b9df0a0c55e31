package mfatest

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf16"
)

// SMSC is an SMPP server with phones behind it. It shares no code with our client: it reads
// the standard's tables by itself and fails the test when it is told what they do not allow.
type SMSC struct {
	Address string
	CA      *CA // of its certificate; nil: it speaks without TLS

	t        testing.TB
	listener net.Listener
	running  sync.WaitGroup

	mu       sync.Mutex
	manner   Manner
	sessions []*smscSession // bound, oldest first
	stopped  bool
	open     map[net.Conn]bool
	binds    int
	unbinds  int
	enquires int
	refused  int // messages
	under    int // way: not yet answered
	most     int // of these at once
	texts    []Text
	parts    map[string]map[int]string // of messages in parts, by where they go and their reference
	changed  chan struct{}             // closed and made anew whenever something happens
	lastID   int
}

// Manner is how an SMSC behaves. The zero value takes everything and tells nothing.
type Manner struct {
	Login, Password string        // that a bind must have; "": any
	Version         byte          // that it speaks and asks for: 0x34, 0x50; 0: any
	BindStatus      uint32        // what every bind is answered
	Deaf            bool          // reads, and answers nothing
	Delay           time.Duration // before the answer to a message
	Status          uint32        // what messages are answered
	Times           int           // how often, before they are taken; 0: always
	Receipt         string        // DELIVRD, UNDELIV and so on; "": none
	Err             string        // in the receipt; 000
	Early           bool          // the receipt comes before the answer
	Decimal         bool          // ids are hexadecimal in answers and decimal in receipts
	TLVs            bool          // the receipt is told by optional parameters alone
	Elsewhere       bool          // receipts go to the other bind
}

// Text is a text message that has arrived.
type Text struct {
	To, From string
	Text     string
	Parts    int
	Coding   byte
	Validity string
	Receipt  bool // it was asked for
	System   string
}

type smscSession struct {
	conn    net.Conn
	version byte
	system  string
	mu      sync.Mutex // of writing
	seq     uint32
}

// NewSMSC starts one, with TLS if ca is not nil.
func NewSMSC(t testing.TB, ca *CA, m Manner) *SMSC {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &SMSC{Address: l.Addr().String(), CA: ca, t: t, manner: m, open: map[net.Conn]bool{}, parts: map[string]map[int]string{}, changed: make(chan struct{}), lastID: 0xA0}
	if ca != nil {
		cert, key := ca.Server(t, time.Time{}, "127.0.0.1", "localhost")
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12})
	}
	s.listener = l
	s.running.Go(s.accept)
	t.Cleanup(s.Stop)
	return s
}

// Stop ends it, as a machine that is switched off.
func (s *SMSC) Stop() {
	s.mu.Lock()
	s.stopped = true
	s.mu.Unlock()
	_ = s.listener.Close()
	s.Drop()
	s.running.Wait()
}

// Set changes how it behaves.
func (s *SMSC) Set(change func(*Manner)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.manner)
}

// Drop closes all connections without a word.
func (s *SMSC) Drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		_ = c.Close()
	}
}

// Unbind sends unbind to all.
func (s *SMSC) Unbind() {
	s.mu.Lock()
	all := slices.Clone(s.sessions)
	s.mu.Unlock()
	for _, b := range all {
		_ = b.ask(0x00000006, nil)
	}
}

// Seen is what has happened so far.
type Seen struct {
	Binds, Bound, Unbinds, Enquires, Refused int
	Most                                     int // messages under way at once
	Texts                                    []Text
}

// Seen returns it.
func (s *SMSC) Seen() Seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Seen{s.binds, len(s.sessions), s.unbinds, s.enquires, s.refused, s.most, slices.Clone(s.texts)}
}

// Await waits until enough has happened, and returns what has.
func (s *SMSC) Await(t testing.TB, what string, enough func(Seen) bool) Seen {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		seen := s.Seen()
		if enough(seen) {
			return seen
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("rig: the SMSC still waits for %s: %+v", what, seen)
		}
	}
}

// happened wakes those that wait. s.mu is held.
func (s *SMSC) happened() {
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *SMSC) accept() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		if s.open[c] = true; s.stopped {
			_ = c.Close()
		}
		s.mu.Unlock()
		s.running.Go(func() {
			b := &smscSession{conn: c}
			s.serve(b)
			_ = c.Close()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.open, c)
			s.sessions = slices.DeleteFunc(s.sessions, func(o *smscSession) bool { return o == b })
			s.happened()
		})
	}
}

// serve answers one connection until it ends.
func (s *SMSC) serve(b *smscSession) {
	last := uint32(0)
	for {
		var head [16]byte
		if _, err := io.ReadFull(b.conn, head[:]); err != nil {
			return
		}
		if head[0] == 0x16 { // TLS, which is not spoken here
			return
		}
		length, command, status, seq := be(head[0:]), be(head[4:]), be(head[8:]), be(head[12:])
		if length < 16 || length > 1<<16 {
			s.t.Errorf("SMSC: a PDU of %d bytes", length)
			return
		}
		body := make([]byte, length-16)
		if _, err := io.ReadFull(b.conn, body); err != nil {
			return
		}
		if command&0x80000000 != 0 {
			if status != 0 {
				s.t.Errorf("SMSC: a receipt was answered with the status %#x", status)
			}
			continue
		}
		if seq != last+1 || status != 0 { // 3.4, 2.7.2: they should rise by one
			s.t.Errorf("SMSC: sequence number %d after %d, status %#x", seq, last, status)
		}
		last = seq
		s.mu.Lock()
		m := s.manner
		s.mu.Unlock()
		if m.Deaf {
			continue
		}
		if !s.answer(b, m, command, seq, body) {
			return
		}
	}
}

func be(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

func (s *SMSC) answer(b *smscSession, m Manner, command, seq uint32, body []byte) bool {
	switch command {
	case 0x00000009:
		return s.bind(b, m, seq, body)
	case 0x00000006:
		_ = b.send(0x80000006, 0, seq, nil)
		s.mu.Lock()
		s.unbinds++
		s.mu.Unlock()
		return false
	case 0x00000015:
		s.mu.Lock()
		s.enquires++
		s.happened()
		s.mu.Unlock()
		return b.send(0x80000015, 0, seq, nil) == nil
	case 0x00000004:
		if b.system == "" {
			s.t.Errorf("SMSC: a message before the bind")
			return false
		}
		s.mu.Lock()
		s.under++
		s.most = max(s.most, s.under)
		s.mu.Unlock()
		s.running.Go(func() { s.submitted(b, m, seq, body) })
		return true
	}
	s.t.Errorf("SMSC: command %#x", command)
	return b.send(0x80000000, 3, seq, nil) == nil
}

func (s *SMSC) bind(b *smscSession, m Manner, seq uint32, body []byte) bool {
	r := cursor{b: body}
	system, password := r.cstring(16), r.cstring(65) // 9 by the book; providers give out longer ones
	r.cstring(13)
	version := r.octet()
	r.octet()
	r.octet()
	r.cstring(41)
	if r.bad || len(r.b) != 0 {
		s.t.Errorf("SMSC: bind: %x", body)
		return false
	}
	status := m.BindStatus
	switch {
	case m.Login != "" && system != m.Login:
		status = 0x0F
	case m.Login != "" && password != m.Password:
		status = 0x0E
	case m.Version != 0 && version != m.Version:
		status = 0x0D
	}
	if status != 0 {
		_ = b.send(0x80000009, status, seq, nil)
		return false
	}
	b.system, b.version = system, version
	answer := append([]byte("SMSC\x00"), 0x02, 0x10, 0, 1, max(m.Version, 0x34))
	s.mu.Lock()
	s.binds++
	s.sessions = append(s.sessions, b)
	s.happened()
	s.mu.Unlock()
	return b.send(0x80000009, 0, seq, answer) == nil
}

// submitted takes one submit_sm, or does not.
func (s *SMSC) submitted(b *smscSession, m Manner, seq uint32, body []byte) {
	if m.Delay > 0 {
		time.Sleep(m.Delay) // the network, which nothing can be awaited of
	}
	s.mu.Lock()
	refuse := s.manner.Status
	if refuse != 0 {
		s.refused++
		if s.manner.Times > 0 {
			if s.manner.Times--; s.manner.Times == 0 {
				s.manner.Status = 0
			}
		}
		s.happened()
	}
	s.lastID++
	id := s.lastID
	s.under--
	s.mu.Unlock()
	if refuse != 0 {
		_ = b.send(0x80000004, refuse, seq, nil)
		return
	}
	part, err := readSubmit(body)
	if err != nil {
		s.t.Errorf("SMSC: submit_sm %x: %v", body, err)
		return
	}
	named := strconv.FormatInt(int64(id), 16)
	answer := append([]byte(strings.ToUpper(named)), 0)
	if b.version == 0x50 {
		answer = append(answer, 0x04, 0x28, 0, 1, 20) // congestion_state: low load
	}
	if m.Receipt == "" || m.Receipt == "DELIVRD" { // before anybody is told that it has
		part.System = b.system
		s.arrive(part)
	}
	if !m.Early {
		_ = b.send(0x80000004, 0, seq, answer)
	}
	if m.Decimal {
		named = strconv.Itoa(id)
	}
	if m.Receipt != "" && part.Receipt {
		s.receipt(b, m, named, part.Text.Text)
	}
	if m.Early {
		_ = b.send(0x80000004, 0, seq, answer)
	}
}

// receipt tells what has become of a message.
func (s *SMSC) receipt(b *smscSession, m Manner, id, text string) {
	if m.Elsewhere {
		s.mu.Lock()
		if i := slices.IndexFunc(s.sessions, func(o *smscSession) bool { return o != b }); i >= 0 {
			b = s.sessions[i]
		}
		s.mu.Unlock()
	}
	errText := m.Err
	if errText == "" {
		errText = "000"
	}
	body := []byte("\x00\x01\x01491701234567\x00\x05\x00Corp\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00")
	said := fmt.Sprintf("id:%s sub:001 dlvrd:001 submit date:2611292105 done date:2611292106 stat:%s err:%s text:%.10s", id, m.Receipt, errText, text)
	if m.TLVs {
		state := byte(slices.Index([]string{"", "ENROUTE", "DELIVRD", "EXPIRED", "DELETED", "UNDELIV", "ACCEPTD", "UNKNOWN", "REJECTD"}, m.Receipt)) //nolint:gosec // of nine
		body = append(body, 0, 0x00, 0x1E, 0, byte(len(id)+1))                                                                                       //nolint:gosec // short
		body = append(append(body, id...), 0, 0x04, 0x27, 0, 1, state)
	} else {
		body = append(append(body, byte(len(said))), said...) //nolint:gosec // short
	}
	_ = b.ask(0x00000005, body)
}

// arrive puts the parts of a message together.
func (s *SMSC) arrive(p part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p.total > 1 {
		key := p.To + " " + p.ref
		if s.parts[key] == nil {
			s.parts[key] = map[int]string{}
		}
		s.parts[key][p.number] = p.Text.Text
		if len(s.parts[key]) < p.total {
			return
		}
		whole := ""
		for i := range p.total {
			whole += s.parts[key][i+1]
		}
		delete(s.parts, key)
		p.Text.Text = whole
	}
	p.Parts = p.total
	s.texts = append(s.texts, p.Text)
	s.happened()
}

func (b *smscSession) ask(command uint32, body []byte) error {
	b.mu.Lock()
	b.seq++
	seq := b.seq
	b.mu.Unlock()
	return b.send(command, 0, seq, body)
}

func (b *smscSession) send(command, status, seq uint32, body []byte) error {
	out := binary.BigEndian.AppendUint32(nil, uint32(16+len(body))) //nolint:gosec // short
	for _, v := range []uint32{command, status, seq} {
		out = binary.BigEndian.AppendUint32(out, v)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	_, err := b.conn.Write(append(out, body...))
	return err
}

// cursor reads a body; bad says that something was not there.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) cstring(most int) string {
	i := bytes.IndexByte(c.b, 0)
	if i < 0 || i >= most {
		c.bad = true
		return ""
	}
	s := string(c.b[:i])
	c.b = c.b[i+1:]
	return s
}

func (c *cursor) octet() byte {
	if len(c.b) == 0 {
		c.bad = true
		return 0
	}
	o := c.b[0]
	c.b = c.b[1:]
	return o
}

type part struct {
	Text
	ref           string
	number, total int
}

// readSubmit reads submit_sm by the table of 4.4.1.
func readSubmit(body []byte) (p part, err error) {
	c := cursor{b: body}
	c.cstring(6)
	fromTON, fromNPI, from := c.octet(), c.octet(), c.cstring(21)
	toTON, toNPI, to := c.octet(), c.octet(), c.cstring(21)
	class := c.octet()
	protocol, priority := c.octet(), c.octet()
	schedule, validity := c.cstring(17), c.cstring(17)
	registered, replace, coding, preset, length := c.octet(), c.octet(), c.octet(), c.octet(), int(c.octet())
	if c.bad || len(c.b) < length {
		return p, errors.New("cut short")
	}
	text, rest := c.b[:length], c.b[length:]
	switch {
	case toTON != 1 || toNPI != 1 || strings.Trim(to, "0123456789") != "" || len(to) < 8:
		return p, fmt.Errorf("destination %d %d %q", toTON, toNPI, to)
	case fromTON == 5 && (fromNPI != 0 || len(from) > 11), fromTON == 1 && strings.Trim(from, "0123456789") != "", fromTON != 1 && fromTON != 5 && fromTON != 3 && from != "":
		return p, fmt.Errorf("source %d %d %q", fromTON, fromNPI, from)
	case protocol != 0 || priority != 0 || schedule != "" || replace != 0 || preset != 0:
		return p, errors.New("what nobody needs")
	case validity != "" && (len(validity) != 16 || validity[15] != 'R'):
		return p, fmt.Errorf("validity period %q", validity)
	case class&^0x40 != 0:
		return p, fmt.Errorf("esm_class %#x", class)
	}
	p = part{Text: Text{To: "+" + to, From: from, Coding: coding, Validity: validity, Receipt: registered&1 == 1}, number: 1, total: 1}
	if class&0x40 != 0 {
		if len(text) < 6 || text[0] != 5 || text[1] != 0 || text[2] != 3 {
			return p, fmt.Errorf("user data header %x", text)
		}
		p.ref, p.total, p.number = strconv.Itoa(int(text[3])), int(text[4]), int(text[5])
		text = text[6:]
	}
	for len(rest) >= 4 {
		tag, n := binary.BigEndian.Uint16(rest), int(binary.BigEndian.Uint16(rest[2:]))
		if len(rest) < 4+n {
			return p, errors.New("an optional parameter is cut short")
		}
		v := rest[4 : 4+n]
		rest = rest[4+n:]
		switch {
		case tag == 0x020C && n == 2:
			p.ref = "sar" + strconv.Itoa(int(v[0])<<8|int(v[1]))
		case tag == 0x020E && n == 1:
			p.total = int(v[0])
		case tag == 0x020F && n == 1:
			p.number = int(v[0])
		default:
			return p, fmt.Errorf("optional parameter %#x of %d bytes", tag, n)
		}
	}
	if len(rest) != 0 || p.number < 1 || p.number > p.total {
		return p, fmt.Errorf("part %d of %d, %d bytes left", p.number, p.total, len(rest))
	}
	p.Text.Text, err = decodeText(coding, text, p.total)
	return p, err
}

// decodeText reads 3GPP TS 23.038, 6.2.1, and UTF-16 with the limits of one short message.
func decodeText(coding byte, b []byte, total int) (string, error) {
	switch coding {
	case 0:
		limit := 160
		if total > 1 {
			limit = 153
		}
		if len(b) > limit {
			return "", fmt.Errorf("%d characters in one part", len(b))
		}
		return decodeGSM(b)
	case 8:
		limit := 140
		if total > 1 {
			limit = 134
		}
		if len(b) > limit || len(b)%2 != 0 {
			return "", fmt.Errorf("%d bytes of UCS-2 in one part", len(b))
		}
		var units []uint16
		for i := 0; i < len(b); i += 2 {
			units = append(units, binary.BigEndian.Uint16(b[i:]))
		}
		s := string(utf16.Decode(units))
		if strings.ContainsRune(s, 0xFFFD) {
			return "", errors.New("a torn surrogate pair")
		}
		return s, nil
	}
	return "", fmt.Errorf("data coding %d", coding)
}

// gsmRows is the default alphabet in columns of sixteen, as the standard prints it.
var gsmRows = [8]string{"@£$¥èéùìòÇ\nØø\rÅå", "Δ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ", " !\"#¤%&'()*+,-./", "0123456789:;<=>?", "¡ABCDEFGHIJKLMNO", "PQRSTUVWXYZÄÖÑÜ§", "¿abcdefghijklmno", "pqrstuvwxyzäöñüà"}

var gsmEscaped = map[byte]rune{0x0A: '\f', 0x14: '^', 0x28: '{', 0x29: '}', 0x2F: '\\', 0x3C: '[', 0x3D: '~', 0x3E: ']', 0x40: '|', 0x65: '€'}

func decodeGSM(b []byte) (string, error) {
	var out strings.Builder
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c > 0x7F:
			return "", fmt.Errorf("octet %#x is no code of the alphabet", c)
		case c == 0x1B:
			i++
			if i == len(b) || gsmEscaped[b[i]] == 0 {
				return "", errors.New("a torn escape")
			}
			out.WriteRune(gsmEscaped[b[i]])
		default:
			out.WriteRune([]rune(gsmRows[c>>4])[c&0xF])
		}
	}
	return out.String(), nil
}
