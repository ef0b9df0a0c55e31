package radius

import (
	"crypto/hmac"
	"crypto/md5"
	"errors"
	"fmt"
	"hash"
	"sync"

	"countersign/internal/secret"
)

// Key is a shared secret made ready for work on many packets. It is safe for concurrent
// use and keeps its hashes, so that a packet costs no allocation. A Key must not be
// copied.
type Key struct {
	secret secret.Text
	work   sync.Pool // of *work
}

// work is what one computation needs. MD5 is what the protocol is made of.
type work struct {
	mac  hash.Hash // HMAC-MD5 under the shared secret
	md5  hash.Hash
	auth [16]byte // the authenticator that goes in
	sum  [md5.Size]byte
}

var zeros [md5.Size]byte

// NewKey returns the key of a shared secret.
func NewKey(s secret.Text) *Key {
	k := &Key{secret: s}
	k.work.New = func() any { return &work{mac: hmac.New(md5.New, s.Expose()), md5: md5.New()} }
	return k
}

// What the authenticators and passwords are refused for.
var (
	// ErrManyMA: more than one Message-Authenticator.
	ErrManyMA = errors.New("more than one Message-Authenticator")
	// ErrMALength: a Message-Authenticator that is not 16 bytes long.
	ErrMALength = errors.New("Message-Authenticator is not 16 bytes long")
	// ErrMA: a Message-Authenticator that does not verify.
	ErrMA = errors.New("Message-Authenticator does not verify")
	// ErrAuthenticator: a Request or Response Authenticator that does not verify.
	ErrAuthenticator = errors.New("authenticator does not verify")
	// ErrPassword: a hidden password whose length is no multiple of 16 up to 128, or
	// that has a NUL before its end.
	ErrPassword = errors.New("User-Password is not decodable")
	// ErrPasswordNUL is the ErrPassword of one that holds a NUL, as what was hidden with another secret may.
	ErrPasswordNUL = fmt.Errorf("%w: it holds a NUL", ErrPassword)
)

// authenticator computes MD5(code, identifier, length, auth, attributes, secret) of raw
// into w.sum (RFC 2865 section 3, RFC 2866 section 3).
func (k *Key) authenticator(w *work, raw []byte, auth [16]byte) {
	w.auth = auth
	w.md5.Reset()
	w.md5.Write(raw[:4])
	w.md5.Write(w.auth[:])
	w.md5.Write(raw[HeaderLen:])
	w.md5.Write(k.secret.Expose())
	w.md5.Sum(w.sum[:0])
}

// messageAuthenticator computes the HMAC of raw, with auth in place of its authenticator
// and zeros in place of the Message-Authenticator whose value is at ma, into w.sum
// (RFC 3579 section 3.2).
func (k *Key) messageAuthenticator(w *work, raw []byte, auth [16]byte, ma int) {
	w.auth = auth
	w.mac.Reset()
	w.mac.Write(raw[:4])
	w.mac.Write(w.auth[:])
	w.mac.Write(raw[HeaderLen:ma])
	w.mac.Write(zeros[:])
	w.mac.Write(raw[ma+md5.Size:])
	w.mac.Sum(w.sum[:0])
}

// VerifyRequest verifies the Message-Authenticator of a request, wherever it stands.
// signed tells whether there is one: with signed false and a nil error the packet proves
// nothing about its sender. The Request Authenticator counts as it stands, but for an
// Accounting-Request, where it is computed last and counts as zeros. The error is
// ErrManyMA, ErrMALength or ErrMA.
func (k *Key) VerifyRequest(p Packet) (signed bool, err error) {
	if p.Code() == AccountingRequest {
		return k.verifyMA(p, zeros)
	}
	return k.verifyMA(p, p.Authenticator())
}

func (k *Key) verifyMA(p Packet, auth [16]byte) (signed bool, err error) {
	switch {
	case p.ma == 0:
		return false, nil
	case p.many:
		return true, ErrManyMA
	case p.raw[p.ma-1] != 2+md5.Size:
		return true, ErrMALength
	}
	w := k.work.Get().(*work)
	defer k.work.Put(w)
	k.messageAuthenticator(w, p.raw, auth, int(p.ma))
	if !hmac.Equal(w.sum[:], p.raw[p.ma:int(p.ma)+md5.Size]) {
		return true, ErrMA
	}
	return true, nil
}

// VerifyAccounting verifies the Request Authenticator of an Accounting-Request (RFC 2866
// section 3). The error is ErrAuthenticator.
func (k *Key) VerifyAccounting(p Packet) error { return k.verify(p, zeros) }

// VerifyReply verifies the Response Authenticator of the reply p to a request that had
// the authenticator auth, and its Message-Authenticator if it has one; signed tells
// whether. The error is ErrAuthenticator, ErrManyMA, ErrMALength or ErrMA.
func (k *Key) VerifyReply(p Packet, auth [16]byte) (signed bool, err error) {
	if err := k.verify(p, auth); err != nil {
		return false, err
	}
	return k.verifyMA(p, auth)
}

func (k *Key) verify(p Packet, auth [16]byte) error {
	if len(p.raw) < HeaderLen {
		return ErrAuthenticator
	}
	w := k.work.Get().(*work)
	defer k.work.Put(w)
	k.authenticator(w, p.raw, auth)
	if !hmac.Equal(w.sum[:], p.raw[4:HeaderLen]) {
		return ErrAuthenticator
	}
	return nil
}
