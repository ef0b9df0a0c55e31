package store

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// overlay is what this server has settled and restricted alone, without a master, and not
// merged yet. The trail has the same; after a start it is read back from there.
type overlay struct {
	some atomic.Bool // there is anything at all

	mu     sync.Mutex
	number uint64 // given last
	queue  []owed // to be merged, in the order of their numbers
	users  map[mfa.UserID]*localUser
	tokens map[string]bool // revoked

	merging chan struct{} // holds one token while nobody merges
}

// owed is one entry of the overlay, due to the database. Exactly one field is set.
type owed struct {
	settled *mfa.Settled
	change  *mfa.Change
}

func (i owed) number() uint64 {
	if i.settled != nil {
		return i.settled.Number
	}
	return i.change.Number
}

// localUser is what the overlay has of one user.
type localUser struct {
	items   []owed        // in order
	shadows []mfa.Settled // acknowledged by the database; the copy here may lack them
	// The record after the last of items, made from the view's at revision base. It knows
	// what merging does not: that a success clears failures.
	record settlement.Record
	base   int64
	whole  bool // record and base are set
}

func newOverlay() *overlay {
	o := &overlay{users: map[mfa.UserID]*localUser{}, tokens: map[string]bool{}, merging: make(chan struct{}, 1)}
	o.merging <- struct{}{}
	return o
}

// limits are those by which failures lock.
type limits func() (second, first settlement.Limits)

func (s *Store) settingsOf() (second, first settlement.Limits) {
	set := s.Settings()
	return set.Second(), set.First()
}

// show adds to a, which is as the database has it, what only this server has.
func (o *overlay) show(a settlement.Account, l limits, now time.Time) settlement.Account {
	if !o.some.Load() {
		return a
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.users[a.User.ID]
	if u == nil {
		return a
	}
	second, first := l()
	record := a.Record
	for _, s := range u.shadows {
		record, _ = record.Merge(known(s, a.Credentials), second, first, now)
	}
	for _, it := range u.items {
		a.LocalRev = it.number()
		if it.settled != nil {
			record, _ = record.Merge(known(*it.settled, a.Credentials), second, first, now)
		} else {
			restrict(&a, *it.change)
		}
	}
	if a.Record = record; u.whole && u.base == a.RecordRev {
		a.Record = u.record.Clone()
	}
	return a
}

// known is s without the floor of a credential that is no more.
func known(s mfa.Settled, creds []mfa.Credential) mfa.Settled {
	if !slices.ContainsFunc(creds, func(c mfa.Credential) bool { return c.ID == s.Credential }) {
		s.Credential, s.Floor = "", mfa.Floor{}
	}
	return s
}

// restrict does to a what c says.
func restrict(a *settlement.Account, c mfa.Change) {
	switch c.What {
	case mfa.ChangeBlock:
		if c.Block.Stricter(a.User.Block) {
			b := *c.Block
			a.User.Block = &b
		}
	case mfa.ChangeDisable:
		for i := range a.Credentials {
			if a.Credentials[i].ID == c.Credential {
				a.Credentials[i].Disabled = true
			}
		}
	}
}

// showUser is show for a user alone.
func (o *overlay) showUser(u mfa.User) mfa.User {
	if !o.some.Load() {
		return u
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	a := settlement.Account{User: u}
	if l := o.users[u.ID]; l != nil {
		for _, it := range l.items {
			if it.change != nil {
				restrict(&a, *it.change)
			}
		}
	}
	return a.User
}

// revoked reports whether this server has revoked the API token alone.
func (o *overlay) revoked(token string) bool {
	if !o.some.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.tokens[token]
}

// pending reports whether something of the user is to be merged.
func (o *overlay) pending(id mfa.UserID) bool {
	if !o.some.Load() {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	u := o.users[id]
	return u != nil && len(u.items) > 0
}

// next returns a number above all before it, on this server, also before its last start:
// it goes with the clock, so that a copy of the database that is a moment behind, which may
// be all that a start without a master has to go by, does not bring one back. Hold o.mu.
func (o *overlay) next(now time.Time) uint64 {
	o.number = max(o.number+1, uint64(max(now.UnixMicro(), 0)))
	return o.number
}

// add takes it in; its number is the highest. Hold o.mu.
func (o *overlay) add(it owed) *localUser {
	o.some.Store(true)
	o.queue = append(o.queue, it)
	if it.change != nil && it.change.What == mfa.ChangeRevoke {
		o.tokens[it.change.Token] = true
		return nil
	}
	var id mfa.UserID
	if it.settled != nil {
		id = it.settled.User
	} else {
		id = it.change.User
	}
	u := o.user(id)
	if it.settled != nil && it.settled.Reason.Accepts() {
		o.cleared(u)
	}
	u.items = append(u.items, it)
	u.whole = false
	return u
}

func (o *overlay) user(id mfa.UserID) *localUser {
	u := o.users[id]
	if u == nil {
		u = &localUser{}
		o.users[id] = u
	}
	return u
}

// cleared takes the failures before a success out of what is to be merged: it has cleared
// them. A lock that they led to was over by then.
func (o *overlay) cleared(u *localUser) {
	for i, it := range u.items {
		if it.settled == nil || it.settled.Failures+it.settled.FirstFails == 0 {
			continue
		}
		s := *it.settled
		s.Failures, s.FirstFails = 0, 0
		u.items[i].settled = &s
		for j := range o.queue {
			if o.queue[j].number() == s.Number {
				o.queue[j].settled = &s
			}
		}
	}
}

// head returns the first items that are to be merged together: settlements, or one change.
func (o *overlay) head(most int) []owed {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for n < len(o.queue) && n < most && o.queue[n].settled != nil {
		n++
	}
	if n == 0 && len(o.queue) > 0 {
		n = 1
	}
	return slices.Clone(o.queue[:n])
}

// merged forgets the items up to a number: the view has them.
func (o *overlay) merged(number uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	old := func(it owed) bool { return it.number() <= number }
	for _, it := range o.queue {
		if !old(it) {
			break
		}
		switch {
		case it.settled != nil:
			o.forget(it.settled.User, old)
		case it.change.What == mfa.ChangeRevoke:
			delete(o.tokens, it.change.Token)
		default:
			o.forget(it.change.User, old)
		}
	}
	o.queue = slices.DeleteFunc(o.queue, old)
	o.some.Store(len(o.users)+len(o.tokens) > 0)
}

func (o *overlay) forget(id mfa.UserID, old func(owed) bool) {
	u := o.users[id]
	if u == nil {
		return
	}
	if u.items = slices.DeleteFunc(u.items, old); len(u.items)+len(u.shadows) == 0 {
		delete(o.users, id)
	}
}

// dropShadows forgets what the view has since it was in contact with the master.
func (o *overlay) dropShadows() {
	if !o.some.Load() {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, u := range o.users {
		if u.shadows = nil; len(u.items) == 0 {
			delete(o.users, id)
		}
	}
	o.some.Store(len(o.users)+len(o.tokens) > 0)
}
