// Package smpp is the wire format of SMPP 3.4 and 5.0 as one who sends text messages needs it
// (an ESME): binding, submitting, and the receipts that come back. It is pure: package gateway
// has the connection.
package smpp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MaxSize is the longest PDU that is read, in bytes: the longest message_payload is 64 KiB, and
// nobody sends us one.
const MaxSize = 16 << 10

const headerSize = 16

// The versions, as interface_version tells them.
const (
	Version34 = 0x34
	Version50 = 0x50
)

// Command is what a PDU asks, or answers.
type Command uint32

// The commands that are sent or understood. An answer is the request's with the top bit.
const (
	GenericNack     Command = 0x80000000
	SubmitSM        Command = 0x00000004
	DeliverSM       Command = 0x00000005
	Unbind          Command = 0x00000006
	BindTransceiver Command = 0x00000009
	EnquireLink     Command = 0x00000015
	AlertNotify     Command = 0x00000102
	DataSM          Command = 0x00000103
	answer          Command = 0x80000000
)

// Answer returns the command of the answer to c.
func (c Command) Answer() Command { return c | answer }

// IsAnswer reports whether c is one.
func (c Command) IsAnswer() bool { return c&answer != 0 }

// PDU is one unit of the protocol.
type PDU struct {
	Command  Command
	Status   Status
	Sequence uint32
	Body     []byte
}

// Append appends p as it is sent.
func (p PDU) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(headerSize+len(p.Body))) //nolint:gosec // bodies are short
	b = binary.BigEndian.AppendUint32(b, uint32(p.Command))
	b = binary.BigEndian.AppendUint32(b, uint32(p.Status))
	b = binary.BigEndian.AppendUint32(b, p.Sequence)
	return append(b, p.Body...)
}

// ErrMalformed is what all errors of parsing hold.
var ErrMalformed = errors.New("malformed PDU")

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
}

// Length reads the length of a PDU from its first four bytes: those included, 16 to MaxSize.
func Length(b [4]byte) (int, error) {
	n := binary.BigEndian.Uint32(b[:])
	if n < headerSize || n > MaxSize {
		return 0, malformed("a length of %d bytes, want %d to %d", n, headerSize, MaxSize)
	}
	return int(n), nil
}

// Parse reads one PDU, which is all of b. Its body is part of b.
func Parse(b []byte) (PDU, error) {
	if len(b) < headerSize {
		return PDU{}, malformed("%d bytes are no header", len(b))
	}
	n, err := Length([4]byte(b))
	if err != nil {
		return PDU{}, err
	}
	if n != len(b) {
		return PDU{}, malformed("%d bytes that say they are %d", len(b), n)
	}
	return PDU{Command: Command(binary.BigEndian.Uint32(b[4:])), Status: Status(binary.BigEndian.Uint32(b[8:])),
		Sequence: binary.BigEndian.Uint32(b[12:]), Body: b[headerSize:]}, nil
}

// appendString appends a C octet string.
func appendString(b []byte, s string) []byte { return append(append(b, s...), 0) }

// fields reads the fields of a body one after the other. After the first that is not there all
// are empty, and err says which.
type fields struct {
	rest []byte
	err  error
}

// text reads a C octet string of at most most bytes with its end.
func (f *fields) text(name string, most int) string {
	if f.err != nil {
		return ""
	}
	for i, c := range f.rest {
		if i >= most {
			break
		}
		if c == 0 {
			s := string(f.rest[:i])
			f.rest = f.rest[i+1:]
			return s
		}
	}
	f.err = malformed("%s has no end within %d bytes", name, most)
	return ""
}

func (f *fields) byte(name string) byte {
	b := f.bytes(name, 1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (f *fields) bytes(name string, n int) []byte {
	if f.err == nil && len(f.rest) < n {
		f.err = malformed("%s is not there", name)
	}
	if f.err != nil {
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

// Tag names an optional parameter.
type Tag uint16

// The optional parameters that are sent or read.
const (
	TagReceiptedID    Tag = 0x001E
	TagSARRef         Tag = 0x020C
	TagSARTotal       Tag = 0x020E
	TagSARNumber      Tag = 0x020F
	TagVersion        Tag = 0x0210 // sc_interface_version
	TagNetworkError   Tag = 0x0423
	TagMessagePayload Tag = 0x0424
	TagMessageState   Tag = 0x0427
)

// TLV is an optional parameter.
type TLV struct {
	Tag   Tag
	Value []byte
}

func appendTLVs(b []byte, all []TLV) []byte {
	for _, t := range all {
		b = binary.BigEndian.AppendUint16(b, uint16(t.Tag))
		b = binary.BigEndian.AppendUint16(b, uint16(len(t.Value))) //nolint:gosec // values are short
		b = append(b, t.Value...)
	}
	return b
}

// tlvs reads all that is left.
func (f *fields) tlvs() (all []TLV) {
	for f.err == nil && len(f.rest) > 0 {
		h := f.bytes("an optional parameter", 4)
		if f.err != nil {
			return nil
		}
		v := f.bytes("the value of an optional parameter", int(binary.BigEndian.Uint16(h[2:])))
		all = append(all, TLV{Tag(binary.BigEndian.Uint16(h)), v})
	}
	return all
}

// find returns the value of the first of that tag, or nil.
func find(all []TLV, tag Tag) []byte {
	for _, t := range all {
		if t.Tag == tag {
			return t.Value
		}
	}
	return nil
}
