package web

import "time"

// MinutesLeft is how many minutes there are until then, a begun one counted whole.
func MinutesLeft(until, now time.Time) int {
	return int((max(until.Sub(now), 0) + time.Minute - 1) / time.Minute)
}
