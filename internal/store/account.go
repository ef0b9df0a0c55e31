package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// UserByForm resolves a normalised login form to a user, from the view. It returns
// mfa.ErrNotFound for a form that is nobody's. A form belongs to one user at most, since
// it is claimed in the write that gives it.
func (s *Store) UserByForm(_ context.Context, form string) (mfa.UserID, error) {
	d := rawDigest(s.ring.RawDigest(form))
	v := s.view
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cur == nil {
		return "", errNotLoaded
	}
	f, known := v.cur.forms[d]
	if !known {
		return "", fmt.Errorf("login form: %w", mfa.ErrNotFound)
	}
	return mfa.UserID(f.user.String()), nil
}

// Account returns what a decision about the user is made from, with the revisions that
// Settle is conditional on, or mfa.ErrNotFound. With fresh it reads through at the master.
// A user that is not here yet is read through as well.
func (s *Store) Account(ctx context.Context, id mfa.UserID, fresh bool) (a settlement.Account, err error) {
	err = s.withKeys(ctx, func() error {
		a, err = s.readAccount(ctx, id, fresh, (*Store).openUser)
		return err
	})
	return a, err
}

// Standing is Account without what is sealed of the profile: names, mail address, phone
// number and the reason of a block. To open that is dear, and few sign-ins need it.
func (s *Store) Standing(ctx context.Context, id mfa.UserID, fresh bool) (a settlement.Account, err error) {
	err = s.withKeys(ctx, func() error {
		a, err = s.readAccount(ctx, id, fresh, (*Store).plainUser)
		return err
	})
	return a, err
}

// profileReader makes a user of a profile as the view keeps it.
type profileReader func(s *Store, id mfa.UserID, data string) (mfa.User, error)

// readAccount reads what the database has of the user, and adds what only this server has.
func (s *Store) readAccount(ctx context.Context, id mfa.UserID, fresh bool, profile profileReader) (settlement.Account, error) {
	a, err := s.readDatabase(ctx, id, fresh, profile)
	if err != nil {
		return settlement.Account{}, err
	}
	return s.overlay.show(a, s.settingsOf, s.now()), nil
}

func (s *Store) readDatabase(ctx context.Context, id mfa.UserID, fresh bool, profile profileReader) (settlement.Account, error) {
	raw, ok := parseID(id)
	if !ok {
		return settlement.Account{}, fmt.Errorf("user %q: %w", id, mfa.ErrNotFound)
	}
	if !fresh {
		e, whole, err := s.view.wholeEntryOf(raw)
		if err != nil {
			return settlement.Account{}, err
		}
		if e.profile.rev != 0 {
			a, err := s.account(id, e, profile)
			a.Whole = whole
			return a, err
		}
	}
	e, err := s.readThrough(ctx, id)
	if err != nil {
		s.noticed(ctx, err)
		if !fresh && !errors.Is(err, context.Canceled) {
			return settlement.Account{}, fmt.Errorf("user %s: %w", id, mfa.ErrNotFound) // as far as can be told here
		}
		return settlement.Account{}, fmt.Errorf("read user %s: %w", id, err)
	}
	return s.account(id, e, profile)
}

// entryOf returns a copy of what the view has of a user; nothing of it is changed later.
func (v *view) entryOf(id rawID) (entry, error) {
	e, _, err := v.wholeEntryOf(id)
	return e, err
}

// wholeEntryOf also reports whether the entry holds every change of the user up to the
// revision of the settlement record. It may not if this server has learnt of the record by
// itself, from a write of its own, and the watch has not come up to that.
func (v *view) wholeEntryOf(id rawID) (e entry, whole bool, err error) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.cur == nil {
		return entry{}, false, errNotLoaded
	}
	if e := v.cur.users[id]; e != nil {
		return *e, e.record.rev != 0 && e.record.rev <= v.seen, nil
	}
	return entry{}, false, nil
}

// readThrough reads a user at the master, linearizably, and tells the view.
func (s *Store) readThrough(ctx context.Context, id mfa.UserID) (entry, error) {
	read := *newState()
	raw, _ := parseID(id)
	for _, prefix := range []string{userKey(id), prefixCred + string(id) + "/", recordKey(id)} {
		changes, err := s.readPrefix(ctx, prefix, s.view.keysOf(raw, prefix))
		if err != nil {
			return entry{}, err
		}
		for _, c := range changes {
			read.set(c)
		}
		s.view.learn(changes...)
	}
	if e := read.users[raw]; e != nil {
		return *e, nil
	}
	return entry{}, nil
}

// readPrefix reads the keys under prefix at the master and returns them as changes; of the
// known keys those that are no more come as deletions.
func (s *Store) readPrefix(ctx context.Context, prefix string, known []string) ([]change, error) {
	var changes []change
	found := map[string]bool{}
	at, err := s.kv.Scan(ctx, prefix, func(key string, value []byte, rev int64) bool {
		found[key] = true
		changes = append(changes, change{key, value, rev})
		return true
	})
	if err != nil {
		return nil, err
	}
	for _, key := range known {
		if !found[key] {
			changes = append(changes, change{key, nil, at})
		}
	}
	return changes, nil
}

// keysOf returns the user's keys under prefix that the view has.
func (v *view) keysOf(id rawID, prefix string) []string {
	e, err := v.entryOf(id)
	if err != nil {
		return nil
	}
	user := mfa.UserID(id.String())
	var keys []string
	add := func(key string, rev int64) {
		if rev != 0 && strings.HasPrefix(key, prefix) {
			keys = append(keys, key)
		}
	}
	add(userKey(user), e.profile.rev)
	add(recordKey(user), e.record.rev)
	for _, c := range e.creds {
		add(credKey(user, mfa.CredentialID(c.id.String())), c.rev)
	}
	return keys
}

// account decodes and opens what e holds, the profile as far as profile does.
func (s *Store) account(id mfa.UserID, e entry, profile profileReader) (settlement.Account, error) {
	if e.profile.rev == 0 {
		return settlement.Account{}, fmt.Errorf("user %s: %w", id, mfa.ErrNotFound)
	}
	a := settlement.Account{UserRev: e.profile.rev, RecordRev: e.record.rev}
	var err error
	if a.User, err = profile(s, id, e.profile.data); err != nil {
		return settlement.Account{}, err
	}
	if e.record.rev != 0 {
		if err := a.Record.UnmarshalBinary([]byte(e.record.data)); err != nil {
			return settlement.Account{}, fmt.Errorf("record %s: %w", recordKey(id), err)
		}
	}
	if len(e.creds) > 0 {
		a.Credentials = make([]mfa.Credential, len(e.creds))
		a.CredRevs = make(settlement.CredRevs, len(e.creds))
	}
	for i, c := range e.creds {
		cid := mfa.CredentialID(c.id.String())
		if a.Credentials[i], err = s.openCred(id, cid, c.data); err != nil {
			return settlement.Account{}, err
		}
		a.CredRevs[i] = settlement.CredRev{ID: cid, Rev: c.rev}
	}
	return a, nil
}

// readUser decodes a profile as the view keeps it.
func readUser(id mfa.UserID, data string) (userRecord, error) {
	r, err := unpackUser(data)
	if strings.HasPrefix(data, "{") {
		r, err = parseUser(userKey(id), []byte(data))
	}
	if err != nil {
		return userRecord{}, fmt.Errorf("user %s: %w", id, err)
	}
	return r, nil
}

func (s *Store) openUser(id mfa.UserID, data string) (mfa.User, error) {
	r, err := readUser(id, data)
	if err != nil {
		return mfa.User{}, err
	}
	return r.open(s.ring, id)
}

func (s *Store) plainUser(id mfa.UserID, data string) (mfa.User, error) {
	r, err := readUser(id, data)
	return r.plain(id), err
}

// openCred decodes a credential as the view keeps it.
func (s *Store) openCred(user mfa.UserID, id mfa.CredentialID, data string) (mfa.Credential, error) {
	r, err := unpackCred(data)
	if strings.HasPrefix(data, "{") {
		r, err = parseCred(credKey(user, id), []byte(data))
	}
	if err != nil {
		return mfa.Credential{}, fmt.Errorf("user %s, credential %s: %w", user, id, err)
	}
	return r.open(s.ring, user, id)
}

// Settle writes next as a's user's settlement record if the record, the user and the
// credentials in used are still at the revisions in a, and reports whether they were: one
// conditional write (DESIGN law 3). Whoever changes a user or a credential raises the
// revision of the record (tx.touch): of an account that is whole, that one is enough to
// compare. It does not try again. With an error that wraps
// mfa.ErrUnknownOutcome the write may or may not have happened, or happen yet. What this
// server has settled alone for that user is merged first, and then the account must be read
// again.
func (s *Store) Settle(ctx context.Context, a settlement.Account, used []mfa.CredentialID, next settlement.Record) (rev int64, ok bool, err error) {
	if a.UserRev == 0 {
		return 0, false, fmt.Errorf("settle: the account of user %q was not read: %w", a.User.ID, mfa.ErrInvalid)
	}
	if s.overlay.pending(a.User.ID) {
		return 0, false, s.Merge(ctx)
	}
	value, err := next.MarshalBinary()
	if err != nil {
		return 0, false, err
	}
	key := recordKey(a.User.ID)
	w, _ := s.settling.Get().(*settling)
	if w == nil {
		w = &settling{map[string]int64{}, map[string][]byte{}}
	}
	defer w.free(&s.settling)
	ifRev := w.ifRev
	ifRev[key], w.puts[key] = a.RecordRev, value
	if !a.Whole {
		ifRev[userKey(a.User.ID)] = a.UserRev
	}
	for _, id := range used {
		if a.CredRevs.Of(id) == 0 {
			return 0, false, fmt.Errorf("settle: credential %q of user %s was not read: %w", id, a.User.ID, mfa.ErrInvalid)
		}
		if !a.Whole {
			ifRev[credKey(a.User.ID, id)] = a.CredRevs.Of(id)
		}
	}
	rev, ok, err = s.kv.Commit(ctx, ifRev, w.puts, nil)
	if err != nil {
		s.noticed(ctx, err)
		return 0, false, open(err)
	}
	s.contact.found()
	if ok {
		s.view.learn(change{key, value, rev})
	}
	return rev, ok, nil
}

// settling is the room for one settlement's commit: maps are dear to make.
type settling struct {
	ifRev map[string]int64
	puts  map[string][]byte
}

func (w *settling) free(pool *sync.Pool) {
	clear(w.ifRev)
	clear(w.puts)
	pool.Put(w)
}

// UpdateRecord changes the user's settlement record conditionally. change may run more
// than once; its error ends the update and is returned.
func (s *Store) UpdateRecord(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		if _, err := t.user(ctx, id); err != nil {
			return err
		}
		return t.record(ctx, id, change)
	})
}

// UpdateRecordIf is UpdateRecord for a user who, in the write itself, is as holds wants them;
// its error is returned otherwise.
func (s *Store) UpdateRecordIf(ctx context.Context, id mfa.UserID, holds func(mfa.User) error, change func(*settlement.Record) error) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		r, err := t.user(ctx, id)
		if err != nil {
			return err
		}
		u, err := r.open(s.ring, id)
		if err != nil {
			return err
		}
		if err := holds(u); err != nil {
			return err
		}
		return t.record(ctx, id, change)
	})
}

// RecentLegs yields every leg in the view's settlement records that was settled at or after
// since, in no order, until yield returns false. A record that cannot be read is left out,
// and the first such error is returned at the end.
func (s *Store) RecentLegs(since time.Time, yield func(mfa.UserID, settlement.Leg) bool) error {
	type settled struct {
		user rawID
		data string
	}
	var all []settled
	v := s.view
	v.mu.RLock()
	if v.cur == nil {
		v.mu.RUnlock()
		return errNotLoaded
	}
	for id, e := range v.cur.users {
		if e.record.rev != 0 {
			all = append(all, settled{id, e.record.data})
		}
	}
	v.mu.RUnlock()
	var bad error
	for _, a := range all {
		id := mfa.UserID(a.user.String())
		var r settlement.Record
		if err := r.UnmarshalBinary([]byte(a.data)); err != nil {
			if bad == nil {
				bad = fmt.Errorf("record %s: %w", recordKey(id), err)
			}
			continue
		}
		for _, l := range r.Legs {
			if !l.Time.Before(since) && !yield(id, l) {
				return bad
			}
		}
	}
	return bad
}
