package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"countersign/internal/mfa"
)

// view is the local copy in memory that answers reads. Three sources feed it: the watch,
// which tells every change in order; what this server has just committed, so that it reads
// its own writes; and what was read through at the master. The latter two can arrive
// before or after the watch has told the same, so each key goes only from a revision to a
// higher one:
//
//   - seen is the revision up to which the watch has told everything. What another source
//     says of a revision up to seen is old news.
//   - Beyond seen, a key is changed only by a higher revision than the one it has.
//   - A deletion beyond seen leaves a tombstone with its revision, so that a change from
//     before it cannot bring the key back; seen passing it takes the tombstone away.
//
// The watch's changes of one revision are applied together. When the watch starts over, a
// second state is filled while the first one goes on answering.
type view struct {
	mu   sync.RWMutex
	cur  *state           // answers; nil until the first complete copy
	next *state           // being filled; nil when the watch is in step
	seen int64            // cur holds everything up to here
	high int64            // highest revision that another source told
	from int64            // next may answer once it holds everything up to here
	told int64            // next holds everything up to here; 0: the copy is still coming
	late []change         // from another source, for next, while the copy is coming
	gone map[string]int64 // tombstones: deleted beyond seen
	step chan struct{}    // closed and replaced whenever seen rises
	cat  atomic.Pointer[catalog]

	decode func(c *catalog, key string, value []byte) error // of the small records, by kind
	keyset func(value []byte)                               // told of this server's wrapped keyset
	ksKey  string                                           // its key
}

// state is one copy of the records. What there are many of is kept packed.
type state struct {
	users map[rawID]*entry
	forms map[rawDigest]form
	small map[string]item // applications, directories, tokens, RADIUS clients, settings, keysets
	count int             // users with a profile
	order []rawID         // ids of these in order; nil: not sorted since the last change
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

// change is one key's change; a nil value deletes.
type change struct {
	key   string
	value []byte
	rev   int64
}

func newView() *view {
	return &view{gone: map[string]int64{}, step: make(chan struct{})}
}

func newState() *state {
	return &state{users: map[rawID]*entry{}, forms: map[rawDigest]form{}, small: map[string]item{}}
}

// follow returns the function that KV.Watch feeds. It owns no lock between calls.
func (v *view) follow() func(key string, value []byte, rev int64) bool {
	var batch []change
	return func(key string, value []byte, rev int64) bool {
		switch {
		case key == "" && rev == 0:
			batch = batch[:0]
			v.startOver()
		case key == "":
			v.complete(batch, rev)
			clear(batch)
			batch = batch[:0]
		default:
			batch = append(batch, change{key, value, rev})
			if len(batch) == 64 && v.fill(batch) { // the copy at the start is large; readers wait meanwhile
				clear(batch)
				batch = batch[:0]
			}
		}
		return true
	}
}

func (v *view) startOver() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next, v.from, v.told, v.late = newState(), max(v.seen, v.high), 0, nil
}

// fill puts part of a copy into the state that nobody reads yet. It reports false if there
// is none.
func (v *view) fill(batch []change) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next == nil {
		return false
	}
	v.tell(v.next, batch)
	return true
}

// complete applies what the watch told since the last time: now everything up to rev is
// here.
func (v *view) complete(batch []change, rev int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.next == nil {
		v.tell(v.cur, batch)
		v.publish(v.cur, batch)
	} else {
		v.tell(v.next, batch)
		v.told = rev
		for _, c := range v.late {
			v.nextLearns(c)
		}
		v.late = nil
		if rev < v.from {
			return // the copy is from before what we have answered: wait until it has come up to that
		}
		v.cur, v.next = v.next, nil
		v.republish()
	}
	v.seen = max(v.seen, rev)
	for key, at := range v.gone {
		if at <= v.seen {
			delete(v.gone, key)
		}
	}
	close(v.step)
	v.step = make(chan struct{})
}

// tell applies the watch's changes to one state.
func (v *view) tell(s *state, batch []change) {
	for _, c := range batch {
		if v.gone[c.key] < c.rev {
			s.set(c)
		}
	}
}

// learn applies what another source says: own commits and reads through at the master.
func (v *view) learn(changes ...change) {
	v.mu.Lock()
	defer v.mu.Unlock()
	news := changes[:0:0]
	for _, c := range changes {
		if c.rev > v.seen && v.gone[c.key] < c.rev {
			news = append(news, c)
			v.high = max(v.high, c.rev)
		}
	}
	for _, c := range news {
		if v.cur != nil {
			v.cur.set(c)
		}
		if v.next != nil {
			v.nextLearns(c)
		}
	}
	for _, c := range news {
		if c.value == nil {
			v.gone[c.key] = c.rev
		}
	}
	if v.cur != nil {
		v.publish(v.cur, news)
	}
}

// nextLearns is learn for the state that is being filled: its copy is of another revision
// than seen, and what that revision lacks was deleted before it.
func (v *view) nextLearns(c change) {
	switch {
	case v.told == 0:
		v.late = append(v.late, c)
	case c.rev > v.told:
		v.next.set(c)
	}
}

// publish takes changes of small records into the catalog.
func (v *view) publish(s *state, changes []change) {
	var keys []string
	for _, ch := range changes {
		switch {
		case ch.key == v.ksKey && s.small[ch.key].rev != 0:
			v.keyset(s.small[ch.key].value)
			for key := range v.cat.Load().broken { // what could not be opened may be now
				keys = append(keys, key)
			}
		case catalogued(ch.key):
			keys = append(keys, ch.key)
		}
	}
	if len(keys) == 0 {
		return
	}
	c := v.cat.Load().clone()
	for _, key := range keys {
		c.put(key, s.small[key], v.decode)
	}
	v.cat.Store(c)
}

// republish makes the catalog anew from cur.
func (v *view) republish() {
	if it, ok := v.cur.small[v.ksKey]; ok {
		v.keyset(it.value)
	}
	c := newCatalog()
	if old := v.cat.Load(); old != nil {
		c.appsGen = old.appsGen + 1
	}
	for key, it := range v.cur.small {
		if catalogued(key) {
			c.put(key, it, v.decode)
		}
	}
	v.cat.Store(c)
}

// wait returns when the view is complete up to rev at least.
func (v *view) wait(ctx context.Context, rev int64) error {
	for {
		v.mu.RLock()
		ready, seen, step := v.cur != nil && v.seen >= rev, v.seen, v.step
		v.mu.RUnlock()
		if ready {
			return nil
		}
		select {
		case <-step:
		case <-ctx.Done():
			return fmt.Errorf("wait for revision %d of the database (here is %d): %w", rev, seen, context.Cause(ctx))
		}
	}
}

var errNotLoaded = fmt.Errorf("the database is being loaded: %w", mfa.ErrUnavailable)

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
			s.sweep(user, e)
		}
	case "l":
		if d, ok := parseDigest(rest); ok {
			s.setForm(d, c)
		}
	case "a", "d", "t", "n", "m", "p", "k":
		switch {
		case c.rev <= s.small[c.key].rev:
		case c.value == nil:
			delete(s.small, c.key)
		default:
			s.small[c.key] = item{bytes.Clone(c.value), c.rev}
		}
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

// sweep drops an entry without anything in it.
func (s *state) sweep(id rawID, e *entry) {
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
