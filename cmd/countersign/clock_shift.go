//go:build clockshift

package main

import (
	"os"
	"strings"
	"sync/atomic"
	"time"
)

// clock is the time of this machine, shifted by what a file says at the moment ("-90s"),
// for tests; $COUNTERSIGN_CLOCK_FILE names it. A jump is harder here than a real one: also
// the time between two readings shows it.
func clock() func() time.Time {
	file := os.Getenv("COUNTERSIGN_CLOCK_FILE")
	if file == "" {
		return time.Now
	}
	var shift atomic.Int64
	read := func() {
		b, _ := os.ReadFile(file) //nolint:gosec // a build for tests
		if d, err := time.ParseDuration(strings.TrimSpace(string(b))); err == nil {
			shift.Store(int64(d))
		}
	}
	read()
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			read()
		}
	}()
	return func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
}
