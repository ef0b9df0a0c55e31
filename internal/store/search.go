package store

import (
	"context"
	"slices"
	"strings"
	"sync"

	"countersign/internal/mfa"
)

// finder remembers what a search looks at of each user: opening the sealed parts of a hundred
// thousand profiles takes a second, looking through them in memory some milliseconds. It is
// filled by searches alone, and holds nothing on a server where nobody searches.
type finder struct {
	mu   sync.RWMutex
	text map[rawID]findable
}

// findable is one user's lower-case names, as of a revision of the profile.
type findable struct {
	rev  int64
	text string
}

// findableOf joins what can be searched for.
func findableOf(u mfa.User) string {
	return strings.ToLower(strings.Join(slices.Concat([]string{u.Login, u.Name, u.Email}, u.Aliases), "\n"))
}

// SearchUsers is ListUsers of those in whose login, aliases, name or mail address text is
// found, whatever the case.
func (s *Store) SearchUsers(ctx context.Context, text string, after mfa.UserID, yield func(mfa.User) bool) error {
	text = strings.ToLower(text)
	ids, err := s.idsAfter(after)
	if err != nil || strings.Contains(text, "\n") { // names are of one line
		return err
	}
	var bad error
	for chunk := range slices.Chunk(ids, 256) {
		if err := ctx.Err(); err != nil {
			return err
		}
		users, err := s.searchSome(chunk, text)
		if bad == nil {
			bad = err
		}
		for _, u := range users {
			if !yield(s.overlay.showUser(u)) {
				return bad
			}
		}
	}
	s.find.sweep(len(ids), after == "")
	return bad
}

// searchSome returns those of some users that are found. One that cannot be opened is an
// error, and does not keep the others from being found.
func (s *Store) searchSome(ids []rawID, text string) (found []mfa.User, bad error) {
	news := map[rawID]findable{}
	s.find.mu.RLock()
	for _, id := range ids {
		e, err := s.view.entryOf(id)
		if err != nil {
			s.find.mu.RUnlock()
			return found, err
		}
		known, ok := s.find.text[id]
		ok = ok && known.rev == e.profile.rev
		if e.profile.rev == 0 || ok && !strings.Contains(known.text, text) {
			continue // removed since, or not it
		}
		u, err := s.openUser(mfa.UserID(id.String()), e.profile.data)
		if err != nil {
			bad = err
			continue
		}
		if !ok {
			known = findable{e.profile.rev, findableOf(u)}
			news[id] = known
		}
		if strings.Contains(known.text, text) {
			found = append(found, u)
		}
	}
	s.find.mu.RUnlock()
	s.find.add(news)
	return found, bad
}

func (f *finder) add(news map[rawID]findable) {
	if len(news) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.text == nil {
		f.text = map[rawID]findable{}
	}
	for id, one := range news {
		f.text[id] = one
	}
}

// sweep forgets everything once most of it is of users who are gone. all says that users are
// as many as there are.
func (f *finder) sweep(users int, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all && len(f.text) > 2*users+1024 {
		f.text = nil
	}
}
