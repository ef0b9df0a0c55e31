package oath

import (
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"hash"
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
	n := newCoder(k).code(counter)
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

// coder computes codes of one key. It is for one goroutine.
type coder struct {
	mac hash.Hash
	mod uint32
	buf [64]byte
}

func newCoder(k Key) *coder {
	c := &coder{mac: hmac.New(k.algorithm.hash(), k.secret.Expose()), mod: 1}
	for range k.digits {
		c.mod *= 10
	}
	return c
}

// code is the dynamic truncation of RFC 4226 section 5.3.
func (c *coder) code(counter uint64) uint32 {
	c.mac.Reset()
	c.mac.Write(binary.BigEndian.AppendUint64(c.buf[:0], counter))
	sum := c.mac.Sum(c.buf[:0])
	offset := sum[len(sum)-1] & 0xf
	return binary.BigEndian.Uint32(sum[offset:]) & 0x7fffffff % c.mod
}
