package store

import (
	"context"

	"countersign/internal/mfa"
)

// given raises the floors of tokens that were given to somebody in this epoch with a key that
// was used in the other one: the floors of keys have just been taken over, and who was given
// the key before that has none of it.
func (r *rejoining) given(ctx context.Context) error {
	floors, err := r.s.seedFloors(ctx)
	if err != nil || len(floors) == 0 {
		return err
	}
	if err := r.s.Sync(ctx); err != nil { // whoever is given a key from now on gets its floor
		return err
	}
	ids, err := r.s.view.userIDs()
	if err != nil {
		return err
	}
	var batch []mfa.UserID
	raise := func() error {
		if len(batch) == 0 {
			return nil
		}
		users := batch
		batch = nil
		return r.commit(ctx, stepGiven+string(users[len(users)-1]), func(ctx context.Context, m *merging, rep *reportRecord) ([]mfa.Act, error) {
			for _, id := range users {
				if err := m.raise(ctx, id, floors, rep); err != nil {
					return nil, err
				}
			}
			return nil, nil
		})
	}
	for _, raw := range ids {
		id := mfa.UserID(raw.String())
		if stepGiven+string(id) <= r.at.Cursor || !r.s.below(id, floors) {
			continue
		}
		if batch = append(batch, id); len(batch) == rejoinBatch {
			if err := raise(); err != nil {
				return err
			}
		}
	}
	return raise()
}

// seedFloors reads the floors of keys that were taken away, by the key of their record.
func (s *Store) seedFloors(ctx context.Context) (floors map[string]uint64, err error) {
	floors = map[string]uint64{}
	_, err = s.kv.Scan(ctx, prefixSeed, func(key string, value []byte, _ int64) bool {
		var r seedRecord
		if parse(key, value, &r, &r.V) == nil && r.Next > 0 {
			floors[key] = r.Next
		}
		return ctx.Err() == nil
	})
	return floors, err
}

// below reports whether a token of the user, as the view has it, is below the floor of its
// key. One that does not open serves nobody.
func (s *Store) below(id mfa.UserID, floors map[string]uint64) bool {
	raw, _ := parseID(id)
	e, err := s.view.entryOf(raw)
	if err != nil || len(e.creds) == 0 {
		return false
	}
	a, err := s.account(id, e, (*Store).plainUser)
	if err != nil {
		return false
	}
	for _, c := range a.Credentials {
		if key, ok := s.seedKey(c); ok && floors[key] > a.Record.Floors.Of(c.ID).Next {
			return true
		}
	}
	return false
}

// raise raises the floors of the user's tokens to those of their keys.
func (m *merging) raise(ctx context.Context, id mfa.UserID, floors map[string]uint64, rep *reportRecord) error {
	mr, err := m.record(ctx, id)
	if err != nil || mr.gone {
		return err
	}
	for _, c := range mr.account.Credentials {
		if key, ok := m.s.seedKey(c); ok && floors[key] > mr.next.Floors.Of(c.ID).Next {
			mr.next, mr.changed = mr.next.Raise(c.ID, mfa.Floor{Next: floors[key]}), true
			rep.Records++
		}
	}
	return nil
}
