package store

import "countersign/internal/settlement"

// alike returns what reports whether like takes a user, by what the users of a kind have in common:
// asked of each kind once, it costs a search among a hundred thousand users some milliseconds, where
// reading their accounts costs a second. Users who are not counted are read: those whose accounts
// cannot be, and all of them right after a start, or while this server has restricted some alone.
// nil: like is nil, and takes everybody.
func (s *Store) alike(like func(settlement.Account) bool) (func(rawID) (bool, error), error) {
	if like == nil {
		return nil, nil
	}
	read := func(id rawID) (bool, error) {
		a, ok, err := s.outline(id)
		return ok && err == nil && like(a), err
	}
	c := &s.census
	c.mu.Lock()
	more, err := c.count(s, 8*censusChunk)
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if more || s.overlay.some.Load() {
		return read, nil
	}
	taken := map[*kind]bool{}
	return func(id rawID) (bool, error) {
		c.mu.Lock()
		k := c.known[id]
		c.mu.Unlock()
		if k == nil {
			return read(id)
		}
		takes, asked := taken[k]
		if !asked {
			takes = like(k.like)
			taken[k] = takes
		}
		return takes, nil
	}, nil
}
