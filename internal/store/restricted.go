package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Restricted yields, as Outlines does, those who are blocked or locked at now. What says so stands
// first in what is kept of a user: of all others nothing else is read.
func (s *Store) Restricted(ctx context.Context, now time.Time, yield func(settlement.Account) bool) error {
	takes := func(a settlement.Account) bool {
		return a.User.BlockedAt(now) || a.Record.Fails.LockedAt(now) || a.Record.First.LockedAt(now)
	}
	if s.overlay.some.Load() { // what this server has restricted alone is over its copy
		return s.Outlines(ctx, func(a settlement.Account) bool { return !takes(a) || yield(a) })
	}
	ids, err := s.view.userIDs()
	if err != nil {
		return err
	}
	var bad error
	for i, id := range ids {
		if err := ctx.Err(); i%256 == 0 && err != nil {
			return err
		}
		e, err := s.view.entryOf(id)
		if err != nil {
			return err
		}
		may, err := e.mayBeRestricted(now)
		if err != nil {
			bad = firstOf(bad, fmt.Errorf("record %s: %w", recordKey(mfa.UserID(id.String())), err))
			continue
		}
		if !may {
			continue
		}
		a, ok, err := s.outline(id)
		if bad = firstOf(bad, err); ok && err == nil && takes(a) && !yield(a) {
			break
		}
	}
	return bad
}

// mayBeRestricted reports whether it is worth while to read the account.
func (e entry) mayBeRestricted(now time.Time) (bool, error) {
	if e.profile.rev == 0 {
		return false, nil
	}
	if strings.HasPrefix(e.profile.data, "{") || packedBlock(e.profile.data) {
		return true, nil
	}
	if e.record.rev == 0 {
		return false, nil
	}
	fails, first, err := settlement.Counts(e.record.data)
	return fails.LockedAt(now) || first.LockedAt(now), err
}
