package coordinator

import (
	"fmt"
	"testing"
)

// One source that floods the port is refused; another is not.
func TestSources(t *testing.T) {
	s := newSources()
	used := func(address string) (n int) {
		for range 2 * burstSource {
			if s.allow(address) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		address string
		fresh   bool
	}{
		{"192.0.2.1:1000", true}, {"192.0.2.1:2000", false}, {"192.0.2.2:1000", true}, {"[::ffff:192.0.2.2]:1", false},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", false}, {"[2001:db8:0:1::1]:1", true}, {"", true}, {"@", false},
	} {
		n := used(c.address)
		if c.fresh && (n < burstSource || n > burstSource+perSource) || !c.fresh && n > perSource {
			t.Errorf("%q: %d of %d requests were looked at", c.address, n, 2*burstSource)
		}
	}
	for i := range 2 * burstAll {
		s.allow(fmt.Sprintf("10.0.%d.%d:1", i/256, i%256))
	}
	if s.allow("198.51.100.1:1") && s.allow("198.51.100.2:1") && s.allow("198.51.100.3:1") && s.allow("198.51.100.4:1") && s.allow("198.51.100.5:1") && s.allow("198.51.100.6:1") {
		t.Error("all sources together have no limit")
	}
	for i := range 2 * maxSources {
		s.of(fmt.Sprintf("10.%d.%d.1:1", i/256, i%256))
	}
	if len(s.each) > maxSources {
		t.Errorf("%d sources are remembered", len(s.each))
	}
}
