package store

import (
	"bytes"
	"slices"
	"strings"

	"countersign/internal/mfa"
)

// state is one copy of the records. What there are many of is kept packed.
type state struct {
	users map[rawID]*entry
	forms map[rawDigest]form
	waits map[mfa.UserID][]waitItem
	small map[string]item // applications, directories, tokens, RADIUS clients, settings, keysets, sessions
	count int             // users with a profile
	order []rawID         // ids of these in order; nil: not sorted since the last change

	marked map[rawID]struct{} // users who have a block or a lock, if only one that is over; see Restricted

	touched map[rawID]struct{} // profiles that changed since somebody searched; nil: nobody has
	recount map[rawID]struct{} // accounts that changed since the census took them; nil: it has taken none
}

type val struct {
	data string // "" with rev 0: absent
	rev  int64
}

type entry struct {
	profile val
	record  val
	creds   []cred // in order of ids; replaced as a whole, never changed
}

type cred struct {
	id rawID
	val
}

type form struct {
	user rawID
	rev  int64
}

type item struct {
	value []byte
	rev   int64
}

func newState() *state {
	return &state{users: map[rawID]*entry{}, forms: map[rawDigest]form{}, waits: map[mfa.UserID][]waitItem{}, small: map[string]item{}, marked: map[rawID]struct{}{}}
}

// set applies c if it is newer than what s has of that key. Keys of kinds that the view
// does not keep are ignored.
func (s *state) set(c change) {
	kind, rest, _ := strings.Cut(c.key, "/")
	switch kind {
	case "u":
		if id, ok := parseID(rest); ok {
			s.setProfile(id, c)
		}
	case "s":
		if id, ok := parseID(rest); ok {
			e := s.entry(id)
			if c.rev > e.record.rev {
				e.record = packed(c, string(c.value))
			}
			s.sweep(id, e)
		}
	case "c":
		if user, id, ok := cutCredKey(rest); ok {
			e := s.entry(user)
			e.setCred(id, c)
			s.changed(user)
			s.sweep(user, e)
		}
	case "q":
		s.setWait(rest, c)
	case "l":
		if d, ok := parseDigest(rest); ok {
			s.setForm(d, c)
		}
	case "g":
		if c.key == keyEpoch || c.key == keySchema {
			s.setSmall(c)
		}
	case "a", "d", "gw", "v", "t", "r", "n", "m", "p", "k", "w", "we":
		s.setSmall(c)
	}
}

// waitItem is one wait of a user.
type waitItem struct {
	id    string
	value []byte
	rev   int64
}

// setWait replaces the user's list as a whole: readers have the one before.
func (s *state) setWait(rest string, c change) {
	user, id, _ := strings.Cut(rest, "/")
	list := s.waits[mfa.UserID(user)]
	i := slices.IndexFunc(list, func(w waitItem) bool { return w.id == id })
	if i >= 0 {
		if c.rev <= list[i].rev {
			return
		}
		list = slices.Concat(list[:i], list[i+1:])
	}
	if c.value != nil {
		list = slices.Concat(list, []waitItem{{id, bytes.Clone(c.value), c.rev}})
	}
	if len(list) == 0 {
		delete(s.waits, mfa.UserID(user))
		return
	}
	s.waits[mfa.UserID(user)] = list
}

func (s *state) setSmall(c change) {
	switch {
	case c.rev <= s.small[c.key].rev:
	case c.value == nil:
		delete(s.small, c.key)
	default:
		s.small[c.key] = item{bytes.Clone(c.value), c.rev}
	}
}

func (s *state) entry(id rawID) *entry {
	e := s.users[id]
	if e == nil {
		e = &entry{}
		s.users[id] = e
	}
	return e
}

// sweep ends a change of an entry: it drops one without anything in it, and marks who is restricted.
func (s *state) sweep(id rawID, e *entry) {
	if e.mayBeRestricted() {
		s.marked[id] = struct{}{}
	} else {
		delete(s.marked, id)
	}
	if e.profile.rev == 0 && e.record.rev == 0 && len(e.creds) == 0 {
		delete(s.users, id)
	}
}

// packed returns data at c's revision, or nothing if c deletes.
func packed(c change, data string) val {
	if c.value == nil {
		return val{}
	}
	return val{data, c.rev}
}

func (s *state) setProfile(id rawID, c change) {
	e := s.entry(id)
	if c.rev > e.profile.rev {
		if s.touched != nil {
			s.touched[id] = struct{}{}
		}
		s.changed(id)
		had := e.profile.rev != 0
		e.profile = packed(c, packProfile(c))
		if has := e.profile.rev != 0; has != had {
			s.order = nil
			if has {
				s.count++
			} else {
				s.count--
			}
		}
	}
	s.sweep(id, e)
}

// changed notes that the census has to look at a user again.
func (s *state) changed(user rawID) {
	if s.recount != nil {
		s.recount[user] = struct{}{}
	}
}

// A record that this server cannot read is kept as it is; what wants it gets the reason
// from reading it again. No packed record begins with "{": flags are smaller.
func packProfile(c change) string {
	if c.value != nil {
		if r, err := parseUser(c.key, c.value); err == nil {
			return packUser(r)
		}
	}
	return string(c.value)
}

func packCredential(c change) string {
	if r, err := parseCred(c.key, c.value); err == nil {
		return packCred(r)
	}
	return string(c.value)
}

func (e *entry) setCred(id rawID, c change) {
	i, found := slices.BinarySearchFunc(e.creds, id, func(c cred, id rawID) int { return bytes.Compare(c.id[:], id[:]) })
	if found && c.rev <= e.creds[i].rev {
		return
	}
	var with []cred
	if c.value != nil {
		with = []cred{{id, val{packCredential(c), c.rev}}}
	}
	rest := e.creds[i:]
	if found {
		rest = rest[1:]
	}
	e.creds = slices.Concat(e.creds[:i], with, rest)
}

func (s *state) setForm(d rawDigest, c change) {
	if c.rev <= s.forms[d].rev {
		return
	}
	if c.value == nil {
		delete(s.forms, d)
		return
	}
	var cl claim
	if parse(c.key, c.value, &cl, &cl.V) != nil {
		return
	}
	if user, ok := parseID(cl.ID); ok {
		s.forms[d] = form{user, c.rev}
	}
}
