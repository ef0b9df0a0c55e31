package oath

import (
	"crypto/sha1" //nolint:gosec // as in key.go
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/binary"
	"math"
	"math/bits"
	"time"
)

// HOTP returns the code of a counter, or of a time step (RFC 4226 section 5.3); "" for
// the zero Key.
func (k Key) HOTP(counter uint64) string {
	if k.digits == 0 {
		return ""
	}
	c := newCoder(k)
	n := c.code(counter)
	b := make([]byte, k.digits)
	for i := range b {
		b[len(b)-1-i] = byte('0' + n%10)
		n /= 10
	}
	return string(b)
}

// TOTP returns the code of the time step that now lies in; "" for a counter-based key.
func (k Key) TOTP(now time.Time) string {
	if k.period == 0 {
		return ""
	}
	return k.HOTP(k.Step(now))
}

// Match looks for code in the time steps from now-skew to now+skew by the clock of a token
// that is drift steps ahead of ours (RFC 6238 sections 5.2 and 6) and returns the latest
// step it belongs to. It takes the same time whether or not a step matches.
func (k Key) Match(code string, now time.Time, drift, skew int) (step uint64, ok bool) {
	if k.period == 0 || skew < 0 {
		return 0, false
	}
	centre := int64(k.Step(now)) + int64(drift)
	from := max(centre-int64(skew), 0)
	return k.Find(code, uint64(from), int(centre+int64(skew)-from+1))
}

// Find looks for code in the n counters from from on and returns the last one that it
// belongs to: two counters may share a code, and who spends it spends it for both. For a
// code of the right form it takes the same time whether or not a counter matches.
func (k Key) Find(code string, from uint64, n int) (counter uint64, ok bool) {
	want, ok := k.parse(code)
	if !ok {
		return 0, false
	}
	found := 0
	c := newCoder(k)
	for i := range bound(from, n) {
		hit := subtle.ConstantTimeEq(int32(c.code(from+uint64(i))), want)
		counter = counter&^-uint64(hit) | (from+uint64(i))&-uint64(hit)
		found |= hit
	}
	return counter, found == 1
}

// Matches is Find for a caller that wants to know every counter: bit i is set if code
// belongs to counter from+i, for i below n, which is at most 64.
func (k Key) Matches(code string, from uint64, n int) (set uint64) {
	want, ok := k.parse(code)
	if !ok {
		return 0
	}
	c := newCoder(k)
	for i := range bound(from, min(n, bits.UintSize)) {
		set |= uint64(subtle.ConstantTimeEq(int32(c.code(from+uint64(i))), want)) << i
	}
	return set
}

// FindPair looks for two consecutive codes, the first of them in the n counters from from
// on, and returns the counter of the second (RFC 4226 section 7.4). For codes of the
// right form it takes the same time whether or not they are found.
func (k Key) FindPair(first, second string, from uint64, n int) (counter uint64, ok bool) {
	want1, ok1 := k.parse(first)
	want2, ok2 := k.parse(second)
	if !ok1 || !ok2 || n <= 0 {
		return 0, false
	}
	found, before := 0, 0
	c := newCoder(k)
	for i := range bound(from, n+1) {
		code := int32(c.code(from + uint64(i)))
		hit := before & subtle.ConstantTimeEq(code, want2)
		before = subtle.ConstantTimeEq(code, want1)
		counter = counter&^-uint64(hit) | (from+uint64(i))&-uint64(hit)
		found |= hit
	}
	return counter, found == 1
}

// bound cuts n so that no counter reaches the largest uint64: the next one would be 0.
func bound(from uint64, n int) int {
	if n <= 0 {
		return 0
	}
	return int(min(uint64(n), math.MaxUint64-from))
}

// parse reads a code of exactly k's number of digits 0-9.
func (k Key) parse(code string) (n int32, ok bool) {
	if k.digits == 0 || len(code) != k.digits {
		return 0, false
	}
	for _, c := range []byte(code) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int32(c-'0')
	}
	return n, true
}

// coder computes codes of one key: HMAC (RFC 2104) of a counter. It keeps both messages
// that are hashed for it, key included, and allocates nothing. It is for one goroutine.
type coder struct {
	algorithm    Algorithm
	block        int                        // bytes
	mod          uint32                     // 10 to the number of digits
	inner, outer [maxBlock + maxDigest]byte // the key's pad, then the counter or the inner digest
	digest       [maxDigest]byte
}

const (
	maxBlock  = sha512.BlockSize
	maxDigest = sha512.Size
)

func newCoder(k Key) (c coder) {
	c.algorithm, c.block, c.mod = k.algorithm, sha256.BlockSize, 1
	if k.algorithm == SHA512 {
		c.block = sha512.BlockSize
	}
	for range k.digits {
		c.mod *= 10
	}
	key := k.secret.Expose()
	if len(key) > c.block {
		key = c.sum(key)
	}
	copy(c.inner[:], key)
	copy(c.outer[:], key)
	for i := range c.block {
		c.inner[i] ^= 0x36
		c.outer[i] ^= 0x5c
	}
	return c
}

// sum returns the hash of data. It is valid until the next call.
func (c *coder) sum(data []byte) []byte {
	switch c.algorithm {
	case SHA256:
		sum := sha256.Sum256(data)
		return c.digest[:copy(c.digest[:], sum[:])]
	case SHA512:
		sum := sha512.Sum512(data)
		return c.digest[:copy(c.digest[:], sum[:])]
	default:
		sum := sha1.Sum(data) //nolint:gosec // as in key.go
		return c.digest[:copy(c.digest[:], sum[:])]
	}
}

// code is the dynamic truncation of RFC 4226 section 5.3.
func (c *coder) code(counter uint64) uint32 {
	binary.BigEndian.PutUint64(c.inner[c.block:], counter)
	n := copy(c.outer[c.block:], c.sum(c.inner[:c.block+8]))
	sum := c.sum(c.outer[:c.block+n])
	offset := sum[len(sum)-1] & 0xf
	return binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % c.mod
}
