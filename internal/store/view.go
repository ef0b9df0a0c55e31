package store

import (
	"context"
	"fmt"
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
	cur  *state            // answers; nil until the first complete copy
	next *state            // being filled; nil when the watch is in step
	seen int64             // cur holds everything up to here
	high int64             // highest revision that another source told
	from int64             // next may answer once it holds everything up to here
	held map[string]change // what other sources told while next was filled, the newest of each key
	gone map[string]int64  // tombstones: deleted beyond seen
	step chan struct{}     // closed and replaced whenever seen rises
	cat  atomic.Pointer[catalog]

	decode func(c *catalog, key string, value []byte) error // of the small records, by kind
	keyset func(value []byte)                               // told of this server's wrapped keyset
	woken  func(key string)                                 // told of a wait that has changed; "": of any; it must not come back here
	ksKey  string                                           // its key
	// delivery is told of what became of messages, as it changes
	delivery func(key string, value []byte)
	only     func(key string) bool // what the view holds; nil: everything
}

// change is one key's change; a nil value deletes.
type change struct {
	key   string
	value []byte
	rev   int64
}

func newView() *view {
	return &view{woken: func(string) {}, gone: map[string]int64{}, step: make(chan struct{})}
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
		case v.only != nil && !v.only(key):
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
	v.next, v.from, v.held = newState(), max(v.seen, v.high), map[string]change{}
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
		v.wake(batch)
	} else {
		v.tell(v.next, batch)
		if rev < v.from {
			return // the copy is from before what we have answered: wait until it has come up to that
		}
		for _, c := range v.held {
			if c.rev > rev { // else the copy has it, or something newer
				v.next.set(c)
			}
		}
		v.cur, v.next, v.held = v.next, nil, nil
		v.republish()
		v.woken("")
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
		if c.value == nil || v.gone[c.key] < c.rev { // a deletion never brings anything back
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
		// Nobody knows yet what next holds of that key: it may have been told of a deletion
		// since, which leaves nothing that a change from before it could be held against.
		if v.next != nil && v.held[c.key].rev < c.rev {
			v.held[c.key] = c
		}
		if c.value == nil {
			v.gone[c.key] = c.rev
		}
	}
	if v.cur != nil {
		v.publish(v.cur, news)
		v.wake(news)
	}
}

// wake tells of the waits among changes.
func (v *view) wake(changes []change) {
	for _, c := range changes {
		if strings.HasPrefix(c.key, prefixWait) {
			v.woken(c.key)
		}
	}
}

// waits returns those of a user; the list must not be changed.
func (v *view) waits(user mfa.UserID) []waitItem {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cur == nil {
		return nil
	}
	return v.cur.waits[user]
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
		case ch.value != nil && v.delivery != nil && strings.HasPrefix(ch.key, prefixDelivery):
			v.delivery(ch.key, ch.value)
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
