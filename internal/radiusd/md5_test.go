package radiusd

import (
	"crypto/hmac"
	"crypto/md5"
	"strconv"

	"countersign/internal/radius"
)

// The checks of these tests are made with the standard library alone.

// hmacMD5 signs b, in which the Message-Authenticator is zero.
func hmacMD5(b []byte) []byte {
	m := hmac.New(md5.New, []byte(shared))
	m.Write(b)
	return m.Sum(nil)
}

func sumMD5(parts ...[]byte) []byte {
	m := md5.New()
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// resum computes the Request Authenticator of an Accounting-Request again.
func resum(b []byte) []byte {
	copy(b[4:], sumMD5(b[:4], make([]byte, 16), b[20:], []byte(shared)))
	return b
}

func breakMA(b []byte) []byte {
	b[22] ^= 1
	return b
}

func itoa(t radius.Type) string { return strconv.Itoa(int(t)) }
