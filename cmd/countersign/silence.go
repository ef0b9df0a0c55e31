//go:build !clockshift

package main

import "time"

// silence is for how long a majority must have been silent to be taken for destroyed; 0: as
// long as documented.
func silence() time.Duration { return 0 }
