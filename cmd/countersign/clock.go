//go:build !clockshift

package main

import "time"

// clock is the time of this machine.
func clock() func() time.Time { return time.Now }
