package store

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"countersign/internal/settlement"
)

// Restricted yields, as Outlines does, those who are blocked or locked at now. Nobody else is read:
// the view marks as it changes who has a block or a lock.
func (s *Store) Restricted(ctx context.Context, now time.Time, yield func(settlement.Account) bool) error {
	takes := func(a settlement.Account) bool {
		return a.User.BlockedAt(now) || a.Record.Fails.LockedAt(now) || a.Record.First.LockedAt(now)
	}
	if s.overlay.some.Load() { // what this server has restricted alone is over its copy
		return s.Outlines(ctx, func(a settlement.Account) bool { return !takes(a) || yield(a) })
	}
	ids, err := s.view.markedIDs()
	if err != nil {
		return err
	}
	var bad error
	for i, id := range ids {
		if err := ctx.Err(); i%256 == 0 && err != nil {
			return err
		}
		a, ok, err := s.outline(id)
		if bad = firstOf(bad, err); ok && err == nil && takes(a) && !yield(a) {
			break
		}
	}
	return bad
}

// markedIDs returns in order who may be restricted.
func (v *view) markedIDs() ([]rawID, error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cur == nil {
		return nil, errNotLoaded
	}
	return slices.SortedFunc(maps.Keys(v.cur.marked), compareIDs), nil
}

// mayBeRestricted reports whether a user has a block or a lock, if only one that is over, or cannot be
// read without more ado.
func (e *entry) mayBeRestricted() bool {
	switch {
	case e.profile.rev == 0:
		return false
	case strings.HasPrefix(e.profile.data, "{"), packedBlock(e.profile.data):
		return true
	case e.record.rev == 0:
		return false
	}
	fails, first, err := settlement.Counts(e.record.data)
	return err != nil || !fails.Until.IsZero() || !first.Until.IsZero()
}
