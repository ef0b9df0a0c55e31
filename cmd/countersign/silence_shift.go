//go:build clockshift

package main

import (
	"os"
	"time"
)

// silence is shorter for tests.
func silence() time.Duration {
	d, _ := time.ParseDuration(os.Getenv("COUNTERSIGN_SILENCE"))
	return d
}
