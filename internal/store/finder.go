package store

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"sync"

	"countersign/internal/mfa"
)

// finder keeps what searches look at: opening the sealed parts of a hundred thousand
// profiles takes a second, sweeping through them in memory some milliseconds. It is made by
// the first search, or when somebody looks at the list of users, and holds nothing on a
// server where nobody does.
type finder struct {
	wanted chan struct{} // capacity 1: make it ready

	mu   sync.Mutex
	of   *state // that said what has changed since
	now  *searchable
	news map[rawID]newer // what has changed since now.base was made
}

// newer is a user who was changed, or removed: rev 0.
type newer struct {
	rev  int64
	text string
}

// searchable is everybody who can be found, at one time. It is never changed.
type searchable struct {
	base, news *texts
	stale      map[rawID]newer // of base they say nothing any more; those of news are among these
}

// maxNews is how many changed users are kept aside before they go in with the others.
const maxNews = 1024

func (f *finder) want() {
	select {
	case f.wanted <- struct{}{}:
	default:
	}
}

// keepFindable makes searches ready when somebody may search soon, until ctx is done.
func (s *Store) keepFindable(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.find.wanted:
			_, _ = s.searchable(ctx) // a search says what is wrong
		}
	}
}

// searchable returns everybody who can be found now. A user who cannot be opened is left
// out, and is the error; without any there is nothing to search in.
func (s *Store) searchable(ctx context.Context) (*searchable, error) {
	f := &s.find
	f.mu.Lock()
	defer f.mu.Unlock()
	changed, all, err := s.changedProfiles()
	if err != nil {
		return nil, err
	}
	if all {
		changed = f.outdated(changed, s.view)
	}
	if len(changed) == 0 && f.now != nil {
		return f.now, nil
	}
	opened, failed, bad := s.openAll(ctx, changed)
	s.touch(failed) // again next time
	if ctx.Err() != nil {
		s.touch(changed)
		return nil, ctx.Err()
	}
	if f.news == nil {
		f.news = map[rawID]newer{}
	}
	for i, id := range changed {
		f.news[id] = opened[i]
	}
	f.publish()
	return f.now, bad
}

// changedProfiles returns the ids of users who were changed since it was last asked; all says
// that these are all there are, because nobody kept account.
func (s *Store) changedProfiles() (ids []rawID, all bool, err error) {
	v := s.view
	v.mu.Lock()
	defer v.mu.Unlock()
	cur := v.cur
	if cur == nil {
		return nil, false, errNotLoaded
	}
	if all = s.find.of != cur || cur.touched == nil; !all && len(cur.touched) == 0 {
		return nil, false, nil
	}
	if all {
		for id, e := range cur.users {
			if e.profile.rev != 0 {
				ids = append(ids, id)
			}
		}
	} else {
		for id := range cur.touched {
			ids = append(ids, id)
		}
	}
	s.find.of, cur.touched = cur, map[rawID]struct{}{}
	return ids, all, nil
}

// touch has users looked at again.
func (s *Store) touch(ids []rawID) {
	s.view.mu.Lock()
	defer s.view.mu.Unlock()
	if s.find.of != s.view.cur {
		return // everybody will be
	}
	for _, id := range ids {
		s.view.cur.touched[id] = struct{}{}
	}
}

// outdated returns those of all users whose text is of another revision than their profile,
// and those who are gone.
func (f *finder) outdated(all []rawID, v *view) (ids []rawID) {
	if f.now == nil {
		return all
	}
	there := make(map[rawID]struct{}, len(all))
	for _, id := range all {
		there[id] = struct{}{}
		if e, err := v.entryOf(id); err != nil || f.now.rev(id) != e.profile.rev {
			ids = append(ids, id)
		}
	}
	for _, t := range []*texts{f.now.base, f.now.news} {
		for _, id := range t.ids {
			if _, ok := there[id]; !ok {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// openAll opens users on several processors; of one who is gone, or cannot be opened, there
// is nothing.
func (s *Store) openAll(ctx context.Context, ids []rawID) (all []newer, failed []rawID, bad error) {
	all = make([]newer, len(ids))
	var mu sync.Mutex
	var wg sync.WaitGroup
	size := max(256, (len(ids)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	for from := 0; from < len(ids); from += size {
		wg.Go(func() {
			for i := from; i < min(from+size, len(ids)) && ctx.Err() == nil; i++ {
				one, err := s.openText(ids[i])
				if all[i] = one; err != nil {
					mu.Lock()
					bad, failed = firstOf(bad, err), append(failed, ids[i])
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return all, failed, bad
}

func (s *Store) openText(id rawID) (newer, error) {
	e, err := s.view.entryOf(id)
	if err != nil || e.profile.rev == 0 {
		return newer{}, err
	}
	u, err := s.openUser(mfa.UserID(id.String()), e.profile.data)
	if err != nil {
		return newer{}, err
	}
	return newer{e.profile.rev, findable(u)}, nil
}

// publish makes now of what was there and what is new.
func (f *finder) publish() {
	base := &texts{}
	if f.now != nil {
		base = f.now.base
	}
	if len(f.news) > maxNews || f.now == nil {
		f.now = &searchable{base: merged(base, f.news), news: &texts{}}
		f.news = nil
		return
	}
	stale := make(map[rawID]newer, len(f.news))
	for id, n := range f.news {
		stale[id] = n
	}
	f.now = &searchable{base: base, news: merged(&texts{}, stale), stale: stale}
}

// merged returns base with what is newer.
func merged(base *texts, news map[rawID]newer) *texts {
	ids := make([]rawID, 0, len(news))
	for id := range news {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, compareIDs)
	size := len(base.text)
	for _, n := range news {
		size += len(n.text)
	}
	room := len(base.ids) + len(ids)
	out := &texts{ids: make([]rawID, 0, room), revs: make([]int64, 0, room), at: make([]uint32, 0, room+1), text: make([]byte, 0, size)}
	for i, j := 0, 0; i < len(base.ids) || j < len(ids); {
		switch {
		case j == len(ids) || i < len(base.ids) && compareIDs(base.ids[i], ids[j]) < 0:
			if _, replaced := news[base.ids[i]]; !replaced {
				out.add(base.ids[i], base.revs[i], string(base.of(i)))
			}
			i++
		default:
			if n := news[ids[j]]; n.rev != 0 {
				out.add(ids[j], n.rev, n.text)
			}
			j++
		}
	}
	return out
}

// textOf returns what can be found of a user.
func (a *searchable) textOf(id rawID) (string, bool) {
	if n, ok := a.stale[id]; ok {
		return n.text, n.rev != 0
	}
	i, ok := a.base.find(id)
	if !ok {
		return "", false
	}
	return string(a.base.of(i)), true
}

// rev is that of the profile which a user's text was made from; 0: there is none.
func (a *searchable) rev(id rawID) int64 {
	if n, ok := a.stale[id]; ok {
		return n.rev
	}
	if i, ok := a.base.find(id); ok {
		return a.base.revs[i]
	}
	return 0
}

// search yields those behind after in whose text begin is found or, if that is "", text and
// not text at the beginning of a name. It reports whether yield wants more.
func (a *searchable) search(ctx context.Context, text, begin string, after rawID, later bool, yield func(rawID) bool) (more bool, err error) {
	needle := []byte(text)
	if begin != "" {
		needle = []byte(begin)
	}
	from := func(t *texts) int {
		i, found := t.find(after)
		switch {
		case !later:
			return 0
		case found:
			return i + 1
		}
		return i
	}
	i, j := from(a.base), from(a.news)
	for n := 0; ; n++ {
		if err := ctx.Err(); n%256 == 0 && err != nil {
			return false, err
		}
		i, j = a.base.next(i, needle), a.news.next(j, needle)
		t, k := a.base, i
		switch {
		case i == len(a.base.ids) && j == len(a.news.ids):
			return true, nil
		case i == len(a.base.ids), j < len(a.news.ids) && compareIDs(a.news.ids[j], a.base.ids[i]) < 0:
			t, k = a.news, j
			j++
		default:
			i++
		}
		id := t.ids[k]
		if _, stale := a.stale[id]; t == a.base && stale {
			continue
		}
		if begin == "" && strings.Contains(string(t.of(k)), fieldEnd+text) {
			continue // told before
		}
		if !yield(id) {
			return false, nil
		}
	}
}
