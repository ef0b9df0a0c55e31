package node

import (
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/trail"
)

// asked knows where in the trail the challenges begin that may still be open, so that the
// next start finds those that nobody has answered: they lie before the ledger's mark.
type asked struct {
	newest atomic.Int64 // Unix seconds of the newest challenge in the trail; 0: none
	places []mark       // where the trail ended at past passes, oldest first; touched by run alone
}

func (a *asked) see(r mfa.Record) {
	if r.Asked == nil {
		return
	}
	at := max(r.Asked.Attempt.Time.Unix(), 1)
	for old := a.newest.Load(); at > old && !a.newest.CompareAndSwap(old, at); old = a.newest.Load() {
	}
}

// pass remembers that the trail ended at p at now.
func (a *asked) pass(p trail.Position, now time.Time) {
	a.places = append(a.places, mark{Position: p, Time: now})
}

// from returns where a start has to begin to read for challenges that are open at now, if
// each lasts so long; the zero Position: there are none before the mark.
func (a *asked) from(now time.Time, lasts time.Duration) trail.Position {
	over := now.Add(-lasts - 2*markInterval) // and are recorded by then
	for len(a.places) > 1 && !a.places[1].Time.After(over) {
		a.places = a.places[1:]
	}
	if n := a.newest.Load(); n == 0 || time.Unix(n, 0).Before(over) || len(a.places) == 0 {
		return trail.Position{}
	}
	return a.places[0].Position
}

// open collects challenges without a verdict while a trail is read back.
type open map[mfa.AttemptID]mfa.Asked

func (o open) see(r mfa.Record) {
	switch {
	case r.Asked != nil:
		o[r.Asked.Attempt.ID] = *r.Asked
	case r.Attempt != nil:
		delete(o, r.Attempt.ID)
	}
}

// list returns them, soonest over first.
func (o open) list() []mfa.Asked {
	return slices.SortedFunc(maps.Values(o), func(a, b mfa.Asked) int { return a.Until.Compare(b.Until) })
}
