package smpp

import (
	"fmt"
	"strings"
	"time"
)

// Bind is the body of bind_transceiver.
type Bind struct {
	SystemID   string // at most 15 bytes
	Password   string // at most 8 bytes; some take more
	SystemType string // at most 12 bytes
	Version    byte
}

// Body returns it as it is sent. A byte 0 in a text would end it early, so it is refused.
func (b Bind) Body() ([]byte, error) {
	for _, s := range []string{b.SystemID, b.Password, b.SystemType} {
		if strings.ContainsRune(s, 0) {
			return nil, malformed("a byte 0 in login, password or system type")
		}
	}
	out := appendString(nil, b.SystemID)
	out = appendString(out, b.Password)
	out = appendString(out, b.SystemType)
	return append(out, b.Version, 0, 0, 0), nil // no address range: ton, npi, and the empty range
}

// BindAnswer is the body of its answer.
type BindAnswer struct {
	SystemID string
	Version  byte // of the other side; 0: it has told none
}

// ParseBindAnswer reads it. A refusal may come without a body.
func ParseBindAnswer(body []byte) (BindAnswer, error) {
	if len(body) == 0 {
		return BindAnswer{}, nil
	}
	f := fields{rest: body}
	a := BindAnswer{SystemID: f.text("system_id", 16)}
	if v := find(f.tlvs(), TagVersion); len(v) == 1 {
		a.Version = v[0]
	}
	return a, f.err
}

// ParseSubmitAnswer reads the message_id of an answer to submit_sm. A refusal may come without.
func ParseSubmitAnswer(body []byte) (id string, err error) {
	if len(body) == 0 {
		return "", nil
	}
	f := fields{rest: body}
	id = f.text("message_id", 65)
	f.tlvs() // SMPP 5.0 has some here
	return id, f.err
}

// Address is a number or name with its type and plan.
type Address struct {
	TON, NPI byte
	Addr     string // at most 20 bytes
}

// To returns the address of a number in E.164 form.
func To(number string) Address { return Address{TON: 1, NPI: 1, Addr: strings.TrimPrefix(number, "+")} }

// From returns the address of a sender: a number (with + or without), a short code of up to
// six digits, a name of up to eleven characters, or none, which leaves it to the other side.
func From(sender string) Address {
	digits := strings.TrimPrefix(sender, "+")
	switch number := strings.Trim(digits, "0123456789") == ""; {
	case sender == "":
		return Address{}
	case number && digits == sender && len(digits) <= 6:
		return Address{TON: 3, Addr: sender} // network specific
	case number:
		return Address{TON: 1, NPI: 1, Addr: digits}
	}
	return Address{TON: 5, Addr: sender}
}

// The bits and values of fields.
const (
	esmUDH       = 0x40 // the text begins with a user data header
	esmType      = 0x3C // the kind of what is delivered
	esmReceipt   = 0x04
	CodingGSM    = 0x00 // the other side's default alphabet
	CodingUCS2   = 0x08
	wantsReceipt = 0x01 // of success and of failure
)

// Message is the body of submit_sm and of deliver_sm, which have the same fields.
type Message struct {
	ServiceType string
	From, To    Address
	Class       byte // esm_class
	Protocol    byte
	Priority    byte
	Schedule    string // "" or 16 bytes
	Validity    string // "" or 16 bytes
	Registered  byte   // registered_delivery
	Replace     byte
	Coding      byte // data_coding
	Default     byte
	Text        []byte // short_message, at most 254 bytes
	TLVs        []TLV
}

// ParseMessage reads the body of deliver_sm or submit_sm.
func ParseMessage(body []byte) (Message, error) {
	f := fields{rest: body}
	m := Message{ServiceType: f.text("service_type", 6)}
	m.From = f.address("source_addr")
	m.To = f.address("destination_addr")
	m.Class, m.Protocol, m.Priority = f.byte("esm_class"), f.byte("protocol_id"), f.byte("priority_flag")
	m.Schedule, m.Validity = f.text("schedule_delivery_time", 17), f.text("validity_period", 17)
	m.Registered, m.Replace, m.Coding, m.Default = f.byte("registered_delivery"), f.byte("replace_if_present_flag"), f.byte("data_coding"), f.byte("sm_default_msg_id")
	m.Text = f.bytes("short_message", int(f.byte("sm_length")))
	m.TLVs = f.tlvs()
	return m, f.err
}

func (f *fields) address(name string) Address {
	return Address{TON: f.byte(name + "_ton"), NPI: f.byte(name + "_npi"), Addr: f.text(name, 21)}
}

// Body returns m as it is sent.
func (m Message) Body() ([]byte, error) {
	if len(m.Text) > 254 || len(m.From.Addr) > 20 || len(m.To.Addr) > 20 || strings.ContainsRune(m.From.Addr+m.To.Addr, 0) {
		return nil, malformed("a text of %d bytes, a sender of %d and a number of %d; at most 254, 20 and 20", len(m.Text), len(m.From.Addr), len(m.To.Addr))
	}
	b := appendString(nil, m.ServiceType)
	for _, a := range []Address{m.From, m.To} {
		b = appendString(append(b, a.TON, a.NPI), a.Addr)
	}
	b = append(b, m.Class, m.Protocol, m.Priority)
	b = appendString(appendString(b, m.Schedule), m.Validity)
	b = append(b, m.Registered, m.Replace, m.Coding, m.Default, byte(len(m.Text)))
	b = append(b, m.Text...)
	return appendTLVs(b, m.TLVs), nil
}

// How the parts of a long message tell that they belong together.
const (
	ByUDH = "udh" // a header in the text (3GPP TS 23.040, 9.2.3.24.1)
	BySAR = "sar" // optional parameters
)

// Part makes m the part number (from 1) of total of a message that the sender calls ref; one
// part alone needs nothing of it.
func (m *Message) Part(way string, ref byte, number, total int) {
	if total < 2 {
		return
	}
	if way == BySAR {
		m.TLVs = append(m.TLVs, TLV{TagSARRef, []byte{0, ref}}, TLV{TagSARTotal, []byte{byte(total)}}, TLV{TagSARNumber, []byte{byte(number)}}) //nolint:gosec // of at most four
		return
	}
	m.Class |= esmUDH
	m.Text = append([]byte{5, 0, 3, ref, byte(total), byte(number)}, m.Text...) //nolint:gosec // of at most four
}

// WithReceipt asks for a receipt, and has the other side give up after life.
func (m *Message) WithReceipt(life time.Duration) {
	m.Registered = wantsReceipt
	if s := int(life / time.Second); s > 0 {
		m.Validity = fmt.Sprintf("%02d%02d%02d%02d%02d%02d000R", 0, 0, min(s/86400, 31), s/3600%24, s/60%60, s%60)
	}
}

// ParseData reads the body of data_sm as far as a receipt needs it.
func ParseData(body []byte) (Message, error) {
	f := fields{rest: body}
	m := Message{ServiceType: f.text("service_type", 6)}
	for _, a := range []struct {
		name string
		to   *Address
	}{{"source_addr", &m.From}, {"destination_addr", &m.To}} {
		*a.to = Address{TON: f.byte(a.name + "_ton"), NPI: f.byte(a.name + "_npi"), Addr: f.text(a.name, 65)}
	}
	m.Class, m.Registered, m.Coding = f.byte("esm_class"), f.byte("registered_delivery"), f.byte("data_coding")
	m.TLVs = f.tlvs()
	return m, f.err
}
