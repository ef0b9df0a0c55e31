package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// tx collects one write: what it was made from and what it changes. Everything read
// through it becomes a condition.
type tx struct {
	s       *Store
	ifRev   map[string]int64
	puts    map[string][]byte
	deletes []string
	// restricts: all that this does to what administrators manage is to take something away
	restricts bool
	same      bool            // what is put says what was there before, in other bytes
	touched   map[string]bool // puts that others make alike; see alike
	rev       int64           // at which it was committed
}

// get reads key at the master; nil if it is absent.
func (t *tx) get(ctx context.Context, key string) ([]byte, error) {
	value, rev, err := t.s.kv.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	t.ifRev[key] = rev
	if rev == 0 {
		return nil, nil
	}
	return value, nil
}

func (t *tx) put(key string, r any) { t.puts[key] = format(r) }
func (t *tx) del(keys ...string)    { t.deletes = append(t.deletes, keys...) }
func (t *tx) absent(keys ...string) {
	for _, k := range keys {
		t.ifRev[k] = 0
	}
}

// attempts bounds how often a write is made again because somebody else was faster.
const attempts = 12

// write makes a write with build and commits it, again with fresh reads while others
// change what it was made from. A write that changes nothing succeeds.
func (s *Store) write(ctx context.Context, build func(ctx context.Context, t *tx) error) error {
	for n := range attempts {
		var t *tx
		err := s.withKeys(ctx, func() error {
			t = s.begin()
			return build(ctx, t)
		})
		if err != nil {
			return s.refused(ctx, err)
		}
		if len(t.puts)+len(t.deletes) == 0 {
			return nil
		}
		ok, err := t.commit(ctx)
		if ok || err != nil {
			return s.refused(ctx, err)
		}
		if !pause(ctx, time.Duration(rand.Int64N(int64(time.Millisecond)<<min(n, 6)))) {
			return fmt.Errorf("%w (%w)", mfa.ErrConflict, context.Cause(ctx))
		}
	}
	return fmt.Errorf("%w (%d times in a row)", mfa.ErrConflict, attempts)
}

func (s *Store) begin() *tx {
	return &tx{s: s, ifRev: map[string]int64{}, puts: map[string][]byte{}}
}

// commit applies t if its conditions hold and reports whether it did. After an open
// outcome it reads back, and if nothing has happened yet sends the same again: the two are
// conditional on the same revisions, so at most one of them takes effect.
func (t *tx) commit(ctx context.Context) (bool, error) {
	if err := t.frozen(); err != nil {
		return false, err
	}
	if err := t.touch(ctx); err != nil {
		return false, err
	}
	var lost error
	for range 4 {
		rev, ok, err := t.s.kv.Commit(ctx, t.ifRev, t.puts, t.deletes)
		switch {
		case err == nil && ok:
			t.learn(rev)
			return true, nil
		case err == nil && lost == nil:
			return false, nil
		case err != nil && !isOpen(err):
			if lost == nil {
				return false, err
			}
		case err != nil:
			lost = open(err)
		}
		if ctx.Err() != nil {
			return false, lost
		}
		switch rev, fate, err := t.readBack(ctx); {
		case err != nil:
			return false, errors.Join(lost, err)
		case fate == applied:
			t.learn(rev)
			return true, nil
		case fate == refused:
			return false, nil
		case fate == undecided:
			return false, lost
		}
	}
	return false, lost
}

// managed are the kinds of records that a freeze keeps as they are.
var managed = []string{prefixUser, prefixForm, prefixCred, prefixApp, prefixAppName, prefixDirectory, prefixGateway, prefixRecording, prefixToken, prefixTokenName, prefixAdministrator, prefixJoin, prefixKeyset, keySettings}

// frozen returns why t must not be committed: the records of administrators are frozen, and
// it does more to them than to take something away.
func (t *tx) frozen() error {
	if t.s.o.Frozen == nil || t.restricts {
		return nil
	}
	touches := func(key string) bool {
		return slices.ContainsFunc(managed, func(prefix string) bool { return strings.HasPrefix(key, prefix) })
	}
	for key := range t.puts {
		if touches(key) {
			return t.s.o.Frozen()
		}
	}
	if slices.ContainsFunc(t.deletes, touches) {
		return t.s.o.Frozen()
	}
	return nil
}

// touch adds, for each user of whom t changes the profile or a credential, a new revision
// of the settlement record, with the content that it has but for what is remembered of
// sign-ins: that was proven with what was there before. So that revision alone tells a
// settlement whether anything has changed that it was decided from. A record that is not
// there yet must not come in between. A user who is created has none.
func (t *tx) touch(ctx context.Context) error {
	if t.same {
		return nil
	}
	for _, id := range t.usersChanged() {
		key := recordKey(id)
		if slices.Contains(t.deletes, key) {
			continue
		}
		if b, put := t.puts[key]; put {
			t.puts[key] = settlement.Forgotten(b)
			continue
		}
		made, known := t.ifRev[key]
		b, err := t.get(ctx, key)
		if err != nil {
			return err
		}
		if known {
			t.ifRev[key] = made // if it has changed since, the commit must fail
		}
		if b != nil {
			t.puts[key] = settlement.Forgotten(b)
			t.alike(key)
		}
	}
	return nil
}

// alike notes that others put the same at key: to find that there is no receipt.
func (t *tx) alike(key string) {
	if t.touched == nil {
		t.touched = map[string]bool{}
	}
	t.touched[key] = true
}

// usersChanged returns the users that were there before t, and of whom it changes the
// profile or a credential.
func (t *tx) usersChanged() (ids []mfa.UserID) {
	add := func(key string) {
		kind, rest, _ := strings.Cut(key, "/")
		if kind != "u" && kind != "c" {
			return
		}
		user, _, _ := strings.Cut(rest, "/")
		id := mfa.UserID(user)
		if rev, known := t.ifRev[userKey(id)]; known && rev == 0 || slices.Contains(ids, id) {
			return
		}
		ids = append(ids, id)
	}
	for key := range t.puts {
		add(key)
	}
	for _, key := range t.deletes {
		add(key)
	}
	return ids
}

func (t *tx) learn(rev int64) {
	t.rev = rev
	changes := make([]change, 0, len(t.puts)+len(t.deletes))
	for key, value := range t.puts {
		changes = append(changes, change{key, value, rev})
	}
	for _, key := range t.deletes {
		changes = append(changes, change{key, nil, rev})
	}
	t.s.view.learn(changes...)
}

// What became of a commit whose answer was lost.
type fate int

const (
	pending   fate = iota // not applied so far; its conditions still hold
	applied               // applied
	refused               // not applied, and never will be
	undecided             // somebody changed the records since, or it was applied and changed again
)

// readBack finds out at the master what became of t.
func (t *tx) readBack(ctx context.Context) (rev int64, f fate, err error) {
	held, created := true, 0
	for key, want := range t.ifRev {
		value, got, err := t.s.kv.Get(ctx, key)
		if err != nil {
			return 0, undecided, err
		}
		if put, ok := t.puts[key]; ok && !t.touched[key] && got != want && bytes.Equal(put, value) {
			return got, applied, nil
		}
		held = held && got == want
	}
	for key, put := range t.puts {
		if _, ok := t.ifRev[key]; ok {
			continue
		}
		value, got, err := t.s.kv.Get(ctx, key)
		switch {
		case err != nil:
			return 0, undecided, err
		case got != 0 && bytes.Equal(put, value):
			return got, applied, nil
		case got == 0:
			created++ // a key that only t makes, like a notice: absent
		}
	}
	switch {
	case held:
		return 0, pending, nil
	case len(t.puts) == 0:
		return t.readBackDeletes(ctx)
	case created > 0 || t.allNew():
		return 0, refused, nil
	}
	return 0, undecided, nil
}

// readBackDeletes does so for a commit that only deletes. If what it wanted gone is gone,
// that is what was asked for, whoever did it.
func (t *tx) readBackDeletes(ctx context.Context) (rev int64, f fate, err error) {
	for _, key := range t.deletes {
		changes, err := t.s.readPrefix(ctx, key, []string{key})
		if err != nil {
			return 0, undecided, err
		}
		for _, c := range changes {
			if c.key == key && c.value != nil {
				if _, mine := t.ifRev[key]; mine {
					return 0, undecided, nil
				}
			}
			rev = max(rev, c.rev)
		}
		t.s.view.learn(changes...)
	}
	t.deletes = nil // learnt
	return rev, applied, nil
}

// allNew reports whether t creates a record of its own: then somebody else's in its place
// shows that t was refused.
func (t *tx) allNew() bool {
	for key := range t.puts {
		if rev, ok := t.ifRev[key]; !ok || rev != 0 {
			return false
		}
	}
	return len(t.puts) > 0
}

// isOpen reports whether err leaves a commit's outcome open.
func isOpen(err error) bool {
	return !errors.Is(err, mfa.ErrReadOnly) && !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrInvalid)
}

// open marks an error that leaves the outcome open as such.
func open(err error) error {
	if isOpen(err) && !errors.Is(err, mfa.ErrUnknownOutcome) {
		return fmt.Errorf("%w (%w)", mfa.ErrUnknownOutcome, err)
	}
	return err
}

// user reads u/ID, which must exist.
func (t *tx) user(ctx context.Context, id mfa.UserID) (userRecord, error) {
	if _, ok := parseID(id); !ok {
		return userRecord{}, fmt.Errorf("user %q: %w", id, mfa.ErrNotFound)
	}
	b, err := t.get(ctx, userKey(id))
	if err != nil {
		return userRecord{}, err
	}
	if b == nil {
		return userRecord{}, fmt.Errorf("user %s: %w", id, mfa.ErrNotFound)
	}
	return parseUser(userKey(id), b)
}

// record changes s/ID.
func (t *tx) record(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error {
	b, err := t.get(ctx, recordKey(id))
	if err != nil {
		return err
	}
	var r settlement.Record
	if b != nil {
		if err := r.UnmarshalBinary(b); err != nil {
			return fmt.Errorf("record %s: %w", recordKey(id), err)
		}
	}
	if err := change(&r); err != nil {
		return err
	}
	next, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	if !bytes.Equal(b, next) {
		t.puts[recordKey(id)] = next
	}
	return nil
}
