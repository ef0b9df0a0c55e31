package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// census counts users by what they are alike in: to decode the accounts of a hundred thousand takes
// a second and a half. It is made in the background after a start, and follows what changes.
type census struct {
	mu    sync.Mutex
	of    *state // that says what has changed since
	due   []rawID
	kinds map[string]*kind
	known map[rawID]*kind // users as they were counted
	bad   map[rawID]error // who cannot be read, and is not counted
}

// kind are users who are alike.
type kind struct {
	key  string
	like settlement.Account
	n    int
}

const (
	censusChunk = 256                   // accounts that are counted in one go, a few milliseconds
	censusPause = 50 * time.Millisecond // between two of them
	censusRest  = time.Second           // until it is looked again at what has changed
)

// Kinds yields one account for all users who are alike in directory, state, tags and what methods
// their credentials have, whether these are disabled and when they expire; and how many these are. It
// has nothing else: not even an id. A user who cannot be read is left out, and one such error
// returned at the end.
func (s *Store) Kinds(ctx context.Context, yield func(like settlement.Account, n int) bool) error {
	if s.overlay.some.Load() { // what this server has restricted alone is over its copy
		return s.Outlines(ctx, func(a settlement.Account) bool { return yield(a, 1) })
	}
	all, bad, err := s.counted(ctx)
	if err != nil {
		return err
	}
	for _, k := range all {
		if !yield(k.like, k.n) {
			break
		}
	}
	return bad
}

// counted returns the kinds there are now, after everything that is due was counted.
func (s *Store) counted(ctx context.Context) (all []kind, bad, err error) {
	c := &s.census
	c.mu.Lock()
	defer c.mu.Unlock()
	for more := true; more; {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		if more, err = c.count(s, censusChunk); err != nil {
			return nil, nil, err
		}
	}
	all = make([]kind, 0, len(c.kinds))
	for _, k := range c.kinds {
		all = append(all, *k)
	}
	for _, e := range c.bad {
		bad = e
		break
	}
	return all, bad, nil
}

// keepCounted counts in small pieces until ctx is done.
func (s *Store) keepCounted(ctx context.Context) {
	tick := time.NewTimer(censusRest)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.census.mu.Lock()
		more, err := s.census.count(s, censusChunk)
		s.census.mu.Unlock()
		if more && err == nil {
			tick.Reset(censusPause)
		} else {
			tick.Reset(censusRest)
		}
	}
}

// count counts up to some of the accounts that are due, and reports whether there are more.
func (c *census) count(s *Store, some int) (more bool, err error) {
	if err := c.take(s.view); err != nil {
		return false, err
	}
	for ; some > 0 && len(c.due) > 0; some-- {
		id := c.due[len(c.due)-1]
		c.due = c.due[:len(c.due)-1]
		a, ok, err := s.bareOutline(id)
		c.put(id, a, ok, err)
	}
	return len(c.due) > 0, nil
}

// take adds those to what is due whose accounts were changed; all if nobody kept account.
func (c *census) take(v *view) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	cur := v.cur
	switch {
	case cur == nil:
		return errNotLoaded
	case c.of == cur:
		for id := range cur.recount {
			c.due = append(c.due, id)
		}
		if len(cur.recount) > 0 {
			cur.recount = map[rawID]struct{}{}
		}
		return nil
	}
	c.of, cur.recount = cur, map[rawID]struct{}{}
	c.kinds, c.known, c.bad, c.due = map[string]*kind{}, make(map[rawID]*kind, len(cur.users)), map[rawID]error{}, make([]rawID, 0, len(cur.users))
	for id := range cur.users {
		c.due = append(c.due, id)
	}
	return nil
}

// put counts one user as a, or no more if there is none, instead of as before.
func (c *census) put(id rawID, a settlement.Account, ok bool, err error) {
	if old := c.known[id]; old != nil {
		if old.n--; old.n == 0 {
			delete(c.kinds, old.key)
		}
		delete(c.known, id)
	}
	delete(c.bad, id)
	switch {
	case err != nil:
		c.bad[id] = err
	case ok:
		like := likeness(a)
		key := keyOf(like)
		k := c.kinds[key]
		if k == nil {
			k = &kind{key: key, like: like}
			c.kinds[key] = k
		}
		k.n++
		c.known[id] = k
	}
}

// likeness is of an account what a kind is made of.
func likeness(a settlement.Account) (like settlement.Account) {
	like.User = mfa.User{Directory: a.User.Directory, State: a.User.State, Tags: a.User.Tags}
	for _, c := range a.Credentials {
		like.Credentials = append(like.Credentials, mfa.Credential{Method: c.Method, Disabled: c.Disabled, Expires: c.Expires})
	}
	return like
}

func keyOf(a settlement.Account) string {
	creds := make([]string, len(a.Credentials))
	for i, c := range a.Credentials {
		creds[i] = fmt.Sprintf("%q %t %d", c.Method, c.Disabled, c.Expires.UnixNano())
	}
	slices.Sort(creds)
	return fmt.Sprintf("%q %d %q %s", a.User.Directory, a.User.State, a.User.Tags, strings.Join(creds, ","))
}
