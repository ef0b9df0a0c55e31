package radiusd

import (
	"sync/atomic"
	"time"
)

// defaultRate is the limit in packets/s of one client address whose application names
// none: far above what one NAS sends, and below what a server decides, so that one client that runs away
// leaves room for the others.
const defaultRate = 5_000

// bucket limits a rate by GCRA. It holds the theoretical arrival time of the next packet
// in Unix nanoseconds; the zero bucket is full.
type bucket struct{ next atomic.Int64 }

// allow takes one packet at now out of a bucket that refills with rate packets/s and
// holds one second's worth, at least 10. Rate 0 or below is the default.
func (b *bucket) allow(now time.Time, rate int) bool {
	if rate <= 0 {
		rate = defaultRate
	}
	step := int64(time.Second) / int64(rate)
	depth := max(int64(time.Second), 10*step)
	t := now.UnixNano()
	for {
		old := b.next.Load()
		next := old
		if next < t || next > t+2*depth { // idle, or the clock was set back
			next = t
		}
		if next += step; next-t > depth {
			return false
		}
		if b.next.CompareAndSwap(old, next) {
			return true
		}
	}
}
