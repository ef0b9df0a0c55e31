package storetest

import (
	"context"
	"strings"

	"countersign/internal/store"
)

// Watched is a KV that holds everybody who writes through it to what a settlement counts
// on: who changes the profile or a credential of a user raises the revision of the user's
// settlement record in the same commit, or makes sure that there is none.
type Watched struct {
	store.KV
	// Report is told of each commit that does not. It may be called concurrently.
	Report func(key string)
	// Same says that records are sealed anew meanwhile, which changes nothing that is
	// decided from. Set it before use.
	Same bool
}

// Commit implements store.KV.
func (w *Watched) Commit(ctx context.Context, ifRev map[string]int64, puts map[string][]byte, deletes []string) (int64, bool, error) {
	gone := map[string]bool{}
	for _, key := range deletes {
		gone[key] = true
	}
	check := func(key string) {
		kind, rest, _ := strings.Cut(key, "/")
		if kind != "u" && kind != "c" {
			return
		}
		user, _, _ := strings.Cut(rest, "/")
		if rev, known := ifRev["u/"+user]; known && rev == 0 {
			return // the user is created
		}
		record := "s/" + user
		made, known := ifRev[record]
		_, put := puts[record]
		if gone[record] && gone["u/"+user] || known && (made == 0 || put) || w.Same {
			return
		}
		w.Report(key)
	}
	for key := range puts {
		check(key)
	}
	for _, key := range deletes {
		check(key)
	}
	return w.KV.Commit(ctx, ifRev, puts, deletes)
}
