package radius

import (
	"crypto/md5"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// ErrFull: the attribute does not fit into what is left of 4096 bytes, or its value is
// longer than 253.
var ErrFull = errors.New("attribute does not fit into the packet")

// Writer builds one packet in a buffer of the caller's. Nothing is valid before a Sign
// method has been called.
type Writer struct {
	buf    []byte
	auth   [16]byte // of the request
	signed bool     // the first attribute is the Message-Authenticator
}

// NewReply starts a reply to the request to in buf, whose content is overwritten; with a
// capacity of 4096 nothing is allocated. Its first attribute is a Message-Authenticator
// (CVE-2024-3596), but for the answer to an Accounting-Request, which has none: RFC 2869
// section 5.14 names none for it, and clients that know one (FreeRADIUS) compute it in
// another way than in every other reply.
func NewReply(buf []byte, code Code, to Packet) Writer {
	w := Writer{auth: to.Authenticator(), signed: to.Code() != AccountingRequest}
	w.begin(buf, code, to.Identifier())
	return w
}

// NewRequest starts a request. auth must be random and is ignored for an
// Accounting-Request. The first attribute is a Message-Authenticator.
func NewRequest(buf []byte, code Code, identifier byte, auth [16]byte) Writer {
	w := Writer{auth: auth, signed: true}
	if code == AccountingRequest {
		w.auth = [16]byte{}
	}
	w.begin(buf, code, identifier)
	return w
}

func (w *Writer) begin(buf []byte, code Code, identifier byte) {
	w.buf = append(buf[:0], byte(code), identifier, 0, 0)
	w.buf = append(w.buf, w.auth[:]...)
	if w.signed {
		w.buf = append(w.buf, byte(MessageAuthenticator), 2+md5.Size)
		w.buf = append(w.buf, zeros[:]...)
	}
}

// Add appends an attribute. It refuses with ErrFull and then leaves the packet as it was.
func (w *Writer) Add(t Type, value []byte) error {
	if len(value) > MaxValue || len(w.buf)+2+len(value) > MaxLen {
		return ErrFull
	}
	w.buf = append(w.buf, byte(t), byte(2+len(value)))
	w.buf = append(w.buf, value...)
	return nil
}

// AddUint32 appends an attribute of type integer.
func (w *Writer) AddUint32(t Type, v uint32) error {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], v)
	return w.Add(t, b[:])
}

// AddText appends text, split over as many attributes of 253 bytes as it needs, never
// within a UTF-8 character. Empty text adds nothing.
func (w *Writer) AddText(t Type, text string) error {
	for len(text) > 0 {
		n := min(len(text), MaxValue)
		for n < len(text) && n > MaxValue-utf8.UTFMax && !utf8.RuneStart(text[n]) {
			n--
		}
		if len(w.buf)+2+n > MaxLen {
			return ErrFull
		}
		w.buf = append(w.buf, byte(t), byte(2+n))
		w.buf = append(w.buf, text[:n]...)
		text = text[n:]
	}
	return nil
}

// Len returns the packet's length so far in bytes.
func (w *Writer) Len() int { return len(w.buf) }

// SignReply completes a reply: length, Message-Authenticator and Response Authenticator.
// The bytes belong to the buffer that the Writer was given.
func (w *Writer) SignReply(k *Key) []byte {
	h := k.seal(w)
	k.authenticator(h, w.buf, w.auth)
	copy(w.buf[4:], h.sum[:])
	k.work.Put(h)
	return w.buf
}

// SignRequest completes a request: length, Message-Authenticator, and the Request
// Authenticator of an Accounting-Request.
func (w *Writer) SignRequest(k *Key) []byte {
	h := k.seal(w)
	if Code(w.buf[0]) == AccountingRequest {
		k.authenticator(h, w.buf, w.auth)
		copy(w.buf[4:], h.sum[:])
	}
	k.work.Put(h)
	return w.buf
}

// seal writes length and Message-Authenticator.
func (k *Key) seal(w *Writer) *work {
	binary.BigEndian.PutUint16(w.buf[2:], uint16(len(w.buf)))
	h := k.work.Get().(*work)
	if w.signed {
		k.messageAuthenticator(h, w.buf, w.auth, HeaderLen+2)
		copy(w.buf[HeaderLen+2:], h.sum[:])
	}
	return h
}
