// Package radius is the RADIUS codec (RFC 2865, 2866, 2869, 3579, 5997): strict parsing
// without copies, encoding, password hiding and the authenticators. It is pure: no
// socket, no clock. Everything that comes from a datagram stays in the caller's buffer.
package radius

import (
	"encoding/binary"
	"errors"
	"iter"
	"strconv"
)

// Sizes in bytes (RFC 2865 section 3 and 5).
const (
	HeaderLen = 20
	MaxLen    = 4096 // of a packet
	MaxValue  = 253  // of an attribute's value
)

// Code says what a packet is.
type Code uint8

// The codes that Countersign reads or writes.
const (
	AccessRequest      Code = 1
	AccessAccept       Code = 2
	AccessReject       Code = 3
	AccountingRequest  Code = 4
	AccountingResponse Code = 5
	AccessChallenge    Code = 11
	StatusServer       Code = 12
)

// String returns the name used in the RFCs.
func (c Code) String() string {
	switch c {
	case AccessRequest:
		return "Access-Request"
	case AccessAccept:
		return "Access-Accept"
	case AccessReject:
		return "Access-Reject"
	case AccountingRequest:
		return "Accounting-Request"
	case AccountingResponse:
		return "Accounting-Response"
	case AccessChallenge:
		return "Access-Challenge"
	case StatusServer:
		return "Status-Server"
	}
	return "code " + strconv.Itoa(int(c))
}

// Type is an attribute's number.
type Type uint8

// The attributes that code refers to. The dictionary knows more.
const (
	UserName             Type = 1
	UserPassword         Type = 2
	CHAPPassword         Type = 3
	NASIPAddress         Type = 4
	ReplyMessage         Type = 18
	State                Type = 24
	VendorSpecific       Type = 26
	SessionTimeout       Type = 27
	CallingStationID     Type = 31
	NASIdentifier        Type = 32
	ProxyState           Type = 33
	AcctStatusType       Type = 40
	AcctSessionID        Type = 44
	ARAPPassword         Type = 70
	EAPMessage           Type = 79
	MessageAuthenticator Type = 80
)

// What Parse refuses.
var (
	// ErrShort: fewer bytes than a header, or fewer than the length field says.
	ErrShort = errors.New("datagram is shorter than the packet it holds")
	// ErrLength: the length field is below 20.
	ErrLength = errors.New("length field is below 20")
	// ErrOversized: the length field is above 4096.
	ErrOversized = errors.New("length field is above 4096")
	// ErrAttribute: an attribute's length is 0 or 1, or leads past the packet's end.
	ErrAttribute = errors.New("attribute length does not fit")
)

// Packet is a parsed packet. It points into the datagram that Parse was given and is
// valid as long as that is not changed. The zero Packet holds nothing.
type Packet struct {
	raw  []byte // exactly as long as the length field says
	ma   uint16 // where the value of the first Message-Authenticator starts; 0: there is none
	many bool   // there is more than one
}

// Parse checks the bounds of datagram and of every attribute in it. Bytes behind the
// packet's length are padding and ignored (RFC 2865 section 3). It knows no attribute's
// meaning. The error is ErrShort, ErrLength, ErrOversized or ErrAttribute.
func Parse(datagram []byte) (Packet, error) {
	if len(datagram) < HeaderLen {
		return Packet{}, ErrShort
	}
	n := int(binary.BigEndian.Uint16(datagram[2:]))
	switch {
	case n < HeaderLen:
		return Packet{}, ErrLength
	case n > MaxLen:
		return Packet{}, ErrOversized
	case n > len(datagram):
		return Packet{}, ErrShort
	}
	p := Packet{raw: datagram[:n:n]}
	for at := HeaderLen; at < n; {
		if n-at < 2 {
			return Packet{}, ErrAttribute
		}
		l := int(datagram[at+1])
		if l < 2 || l > n-at {
			return Packet{}, ErrAttribute
		}
		if Type(datagram[at]) == MessageAuthenticator {
			p.many = p.ma != 0
			if !p.many {
				p.ma = uint16(at + 2)
			}
		}
		at += l
	}
	return p, nil
}

// Bytes returns the packet without padding.
func (p Packet) Bytes() []byte { return p.raw }

// Code returns the packet's code; 0 for the zero Packet.
func (p Packet) Code() Code {
	if len(p.raw) < HeaderLen {
		return 0
	}
	return Code(p.raw[0])
}

// Identifier returns the packet's identifier.
func (p Packet) Identifier() byte {
	if len(p.raw) < HeaderLen {
		return 0
	}
	return p.raw[1]
}

// Authenticator returns the 16 bytes behind the length.
func (p Packet) Authenticator() (a [16]byte) {
	if len(p.raw) >= HeaderLen {
		copy(a[:], p.raw[4:HeaderLen])
	}
	return a
}

// Attributes yields the attributes in their order. The values point into the datagram.
func (p Packet) Attributes() iter.Seq2[Type, []byte] {
	return func(yield func(Type, []byte) bool) {
		for at := HeaderLen; at+2 <= len(p.raw); {
			end := at + int(p.raw[at+1])
			if !yield(Type(p.raw[at]), p.raw[at+2:end:end]) {
				return
			}
			at = end
		}
	}
}

// Lookup returns the value of the first attribute of type t.
func (p Packet) Lookup(t Type) ([]byte, bool) {
	for u, v := range p.Attributes() {
		if u == t {
			return v, true
		}
	}
	return nil, false
}

// VendorTypes yields the vendor and the type of each sub-attribute in the value of a
// Vendor-Specific attribute (RFC 2865 section 5.26), as far as the value has that form.
func VendorTypes(value []byte) iter.Seq2[uint32, Type] {
	return func(yield func(uint32, Type) bool) {
		if len(value) < 4 {
			return
		}
		vendor := binary.BigEndian.Uint32(value)
		for sub := value[4:]; len(sub) >= 2 && int(sub[1]) >= 2 && int(sub[1]) <= len(sub); sub = sub[sub[1]:] {
			if !yield(vendor, Type(sub[0])) {
				return
			}
		}
	}
}
