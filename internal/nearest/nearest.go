// Package nearest finds what somebody meant who mistyped a name.
package nearest

import "strings"

// To returns the name that is closest to the one typed, in any case, or "" if none is near.
func To(typed string, names []string) string {
	if len(typed) > 64 {
		return ""
	}
	best, dist := "", 4
	for _, n := range names {
		if len(n) > 64 {
			continue
		}
		if d := distance(strings.ToLower(typed), strings.ToLower(n)); d < dist && d < len(n) {
			best, dist = n, d
		}
	}
	return best
}

// distance is the number of characters to insert, delete, replace or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			d := last[j]
			if a[i] != b[j] {
				d++
			}
			d = min(d, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = d
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
