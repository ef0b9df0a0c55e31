package radius

import (
	"bytes"
	"crypto/md5"
	"crypto/subtle"
)

// MaxPassword is the longest password in bytes that User-Password carries.
const MaxPassword = 128

// Hide appends password to dst as the value of a User-Password (RFC 2865 section 5.2):
// padded with NULs to a multiple of 16, at least 16. auth is the Request Authenticator.
// A password above 128 bytes or with a NUL in it is refused with ErrPassword.
func (k *Key) Hide(dst, password []byte, auth [16]byte) ([]byte, error) {
	if len(password) > MaxPassword || bytes.IndexByte(password, 0) >= 0 {
		return dst, ErrPassword
	}
	w := k.work.Get().(*work)
	defer k.work.Put(w)
	start := len(dst)
	dst = append(dst, password...)
	for len(dst) == start || (len(dst)-start)%md5.Size != 0 {
		dst = append(dst, 0)
	}
	w.auth = auth
	last := w.auth[:]
	for block := dst[start:]; len(block) > 0; block = block[md5.Size:] {
		k.pad(w, last)
		subtle.XORBytes(block, block[:md5.Size], w.sum[:])
		last = block[:md5.Size]
	}
	return dst, nil
}

// Reveal appends to dst the password that hidden holds; nothing if hidden is empty. It
// refuses with ErrPassword what Hide would not have made: a length that is no multiple
// of 16 or above 128, and a NUL followed by another byte. A wrong shared secret gives
// any bytes: RADIUS has no way to tell, unless the request is signed.
func (k *Key) Reveal(dst, hidden []byte, auth [16]byte) ([]byte, error) {
	if len(hidden)%md5.Size != 0 || len(hidden) > MaxPassword {
		return dst, ErrPassword
	}
	w := k.work.Get().(*work)
	defer k.work.Put(w)
	start := len(dst)
	w.auth = auth
	last := w.auth[:]
	for len(hidden) > 0 {
		k.pad(w, last)
		last = hidden[:md5.Size]
		for i, b := range last {
			dst = append(dst, b^w.sum[i])
		}
		hidden = hidden[md5.Size:]
	}
	dst = dst[:start+len(bytes.TrimRight(dst[start:], "\x00"))]
	if bytes.IndexByte(dst[start:], 0) >= 0 {
		return dst[:start], ErrPasswordNUL
	}
	return dst, nil
}

// pad computes MD5(secret, last) into w.sum.
func (k *Key) pad(w *work, last []byte) {
	w.md5.Reset()
	w.md5.Write(k.secret.Expose())
	w.md5.Write(last)
	w.md5.Sum(w.sum[:0])
}
