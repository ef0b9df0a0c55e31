package oath

import (
	"bytes"
	"crypto/hmac"
	"encoding/binary"
	"testing"

	"countersign/internal/secret"
)

// The coder's HMAC against the standard library's, for every length of a secret: up to
// the hash's block, and beyond, where the secret is hashed first.
func TestCoderIsHMAC(t *testing.T) {
	for _, a := range []Algorithm{SHA1, SHA256, SHA512} {
		for n := MinSecret; n <= MaxSecret; n++ {
			k, err := NewHOTP(secret.New(bytes.Repeat([]byte{byte(n)}, n)), a, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := newCoder(k)
			for _, counter := range []uint64{0, 1, 1<<63 + 5} {
				m := hmac.New(a.hash(), k.secret.Expose())
				m.Write(binary.BigEndian.AppendUint64(nil, counter))
				sum := m.Sum(nil)
				want := binary.BigEndian.Uint32(sum[sum[len(sum)-1]&0xf:]) & 0x7fffffff % 100_000_000
				if got := c.code(counter); got != want {
					t.Fatalf("%s, secret of %d bytes, counter %d: code %08d, want %08d", a, n, counter, got, want)
				}
			}
		}
	}
}
