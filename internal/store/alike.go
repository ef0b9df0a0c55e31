package store

import "countersign/internal/settlement"

// alike returns what reports whether like takes a user, by what the users of a kind have in common:
// asked of each kind once, it costs a search among a hundred thousand users some milliseconds, where
// reading their accounts costs a second. Users who are not counted are read: those whose accounts
// cannot be, and all of them right after a start, or while this server has restricted some alone.
// nil: like is nil, and takes everybody. nobody says that it takes nobody, which needs no walk.
func (s *Store) alike(like func(settlement.Account) bool) (takes func(rawID) (bool, error), nobody bool, err error) {
	if like == nil {
		return nil, false, nil
	}
	read := func(id rawID) (bool, error) {
		a, ok, err := s.outline(id)
		return ok && err == nil && like(a), err
	}
	c := &s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	more, err := c.count(s, 8*censusChunk)
	if err != nil {
		return nil, false, err
	}
	if more || s.overlay.some.Load() {
		return read, false, nil
	}
	taken, nobody := make(map[*kind]bool, len(c.kinds)), len(c.bad) == 0
	for _, k := range c.kinds {
		taken[k] = like(k.like)
		nobody = nobody && !taken[k]
	}
	return func(id rawID) (bool, error) {
		c.mu.Lock()
		k := c.known[id]
		c.mu.Unlock()
		if k == nil {
			return read(id)
		}
		takes, asked := taken[k]
		if !asked { // it came up since
			takes = like(k.like)
			taken[k] = takes
		}
		return takes, nil
	}, nobody, nil
}
