package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// mergeBatch is how many entries one commit merges.
const mergeBatch = 64

// ledgerRecord is the plain part of x/ledger/SERVER: up to which number what that server
// settled alone is merged. It moves in the commit that merges, so that nothing is counted
// twice.
type ledgerRecord struct {
	V      int    `json:"v"`
	Number uint64 `json:"number"`
}

func ledgerOf(server string) string { return "ledger/" + server }

func (s *Store) ledgerName() string { return ledgerOf(s.o.Server) }

// Merge brings what this server settled and restricted alone into the database, in order,
// and returns when nothing is left. Floors take the higher, spent codes and handles are
// united, unexpired failures are summed and a lock stands. A code that was used here and
// elsewhere is told to Options.BothSides, and to the user by a notice. It needs a master;
// what was merged before an error stays so.
func (s *Store) Merge(ctx context.Context) error {
	if !s.overlay.some.Load() {
		return nil
	}
	select {
	case <-s.overlay.merging:
		defer func() { s.overlay.merging <- struct{}{} }()
	case <-ctx.Done():
		return fmt.Errorf("merge: %w (%w)", mfa.ErrUnavailable, context.Cause(ctx))
	}
	total := 0
	for {
		batch := s.overlay.head(mergeBatch)
		if len(batch) == 0 {
			break
		}
		if err := s.mergeBatch(ctx, batch); err != nil {
			s.noticed(ctx, err)
			return fmt.Errorf("merge what this server settled alone: %w", err)
		}
		s.overlay.merged(batch[len(batch)-1].number())
		s.voidBlocked(ctx, batch)
		total += len(batch)
	}
	if total > 0 {
		s.o.Log.Info("what this server settled without a master is merged", "entries", total)
	}
	return nil
}

// used is an entry whose code was used on another server too.
type used struct {
	entry  mfa.Settled
	detail string
}

func (s *Store) mergeBatch(ctx context.Context, batch []owed) error {
	var both []used
	again := false
	err := s.write(ctx, func(ctx context.Context, t *tx) error {
		both = nil
		at, err := t.mergedUpTo(ctx)
		if err != nil {
			return err
		}
		t.restricts = true
		m := merging{tx: t, fresh: again, records: map[mfa.UserID]*mergedRecord{}}
		again = true // a second round means that the view was behind
		last := batch[len(batch)-1].number()
		if last <= at {
			return nil // it was committed, and the answer lost
		}
		for _, it := range batch {
			switch {
			case it.number() <= at:
			case it.settled != nil:
				err = m.settled(ctx, *it.settled)
			default:
				err = m.change(ctx, *it.change)
			}
			if err != nil {
				return err
			}
		}
		m.put()
		both = m.both
		return t.putSealed(s.ledgerName(), format(ledgerRecord{schema, last}))
	})
	if err != nil {
		return err
	}
	for _, b := range both {
		s.o.Log.Error("a code was used here and on another server while there was no contact", "reason", "used_on_both_sides", "user", b.entry.User, "credential", b.entry.Credential,
			"attempt", b.entry.Attempt, "time", b.entry.Time, "detail", b.detail)
		if s.o.BothSides != nil {
			s.o.BothSides(b.entry, b.detail)
		}
	}
	return nil
}

// mergedUpTo reads, at the master, up to which number this server's entries are merged.
func (t *tx) mergedUpTo(ctx context.Context) (uint64, error) { return t.mergedOf(ctx, t.s.o.Server) }

// mergedOf is the same of another server.
func (t *tx) mergedOf(ctx context.Context, server string) (uint64, error) {
	name := ledgerOf(server)
	b, err := t.get(ctx, prefixSealed+name)
	if err != nil || b == nil {
		return 0, err
	}
	return t.s.parseLedger(name, b)
}

func (s *Store) parseLedger(name string, b []byte) (uint64, error) {
	plain, err := s.openBlob(name, b)
	if err != nil {
		return 0, err
	}
	var r ledgerRecord
	err = parse(prefixSealed+name, plain.Expose(), &r, &r.V)
	return r.Number, err
}

// mergedHere reads the same from the local copy, which may be behind.
func (s *Store) mergedHere(ctx context.Context) (uint64, error) {
	name := s.ledgerName()
	b, err := readLocal(ctx, s.kv, prefixSealed+name)
	if err != nil || b == nil {
		return 0, err
	}
	return s.parseLedger(name, b)
}

// merging is one commit that merges.
type merging struct {
	*tx
	fresh   bool // read through at the master what is merged with
	records map[mfa.UserID]*mergedRecord
	both    []used
}

// mergedRecord is one user's record on its way.
type mergedRecord struct {
	account settlement.Account // as the database has it
	next    settlement.Record
	changed bool
	gone    bool // the user was removed, or cannot be read
}

func (m *merging) record(ctx context.Context, id mfa.UserID) (*mergedRecord, error) {
	if r := m.records[id]; r != nil {
		return r, nil
	}
	a, err := m.s.readDatabase(ctx, id, m.fresh, (*Store).openUser)
	r := &mergedRecord{account: a, next: a.Record, gone: err != nil}
	switch {
	case errors.Is(err, mfa.ErrNotFound):
	case errors.Is(err, mfa.ErrUnavailable), errors.Is(err, mfa.ErrUnknownOutcome):
		return nil, err
	case err != nil:
		m.s.o.Log.Error("what was settled alone for a user cannot be merged: the record cannot be read; it stays in the trail", "user", id, "error", err)
	default:
		m.ifRev[userKey(id)], m.ifRev[recordKey(id)] = a.UserRev, a.RecordRev
	}
	m.records[id] = r
	return r, nil
}

func (m *merging) settled(ctx context.Context, e mfa.Settled) error {
	r, err := m.record(ctx, e.User)
	if err != nil || r.gone {
		return err
	}
	now := m.s.now()
	second, first := m.s.settingsOf()
	if e = known(e, r.account.Credentials); e.Credential != "" {
		m.ifRev[credKey(e.User, e.Credential)] = r.account.CredRevs.Of(e.Credential)
	}
	if detail := bothSides(r.next, e, m.s.window(e, r.account.Credentials)); detail != "" {
		m.both = append(m.both, used{e, fmt.Sprintf("user %q: %s", r.account.User.Login, detail)})
		m.notice(e.User, "a code was used on two servers while they had no contact", e.Server)
	}
	next, changed := r.next.Merge(e, second, first, now)
	if _, err := next.MarshalBinary(); err != nil {
		m.s.o.Log.Error("a settlement record is full; only the floor is merged", "user", e.User, "leg", e.Leg, "error", err)
		if next, changed = r.next, false; e.Credential != "" {
			next, changed = r.next.Raise(e.Credential, e.Floor), true
		}
	}
	r.next, r.changed = next, r.changed || changed
	return nil
}

// put adds the records that changed to the commit.
func (m *merging) put() {
	for id, r := range m.records {
		if !r.changed {
			continue
		}
		if b, err := r.next.MarshalBinary(); err == nil {
			m.puts[recordKey(id)] = b
		}
	}
}

func (m *merging) change(ctx context.Context, c mfa.Change) (err error) {
	switch c.What {
	case mfa.ChangeBlock:
		err = m.block(ctx, c)
	case mfa.ChangeDisable:
		err = m.disable(ctx, c)
	case mfa.ChangeRevoke:
		err = m.revoke(ctx, c)
	default:
		m.s.o.Log.Error("a restriction of a kind that is not known stays in the trail and is not merged", "what", c.What)
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return nil // removed since
	}
	return err
}

func (m *merging) block(ctx context.Context, c mfa.Change) error {
	r, err := m.user(ctx, c.User)
	if err != nil {
		return err
	}
	u, err := r.open(m.s.ring, c.User)
	if err != nil || !c.Block.Stricter(u.Block) {
		return err
	}
	u.Block, u.Changed = c.Block, m.s.now()
	if r, err = m.s.sealUser(u); err != nil {
		return err
	}
	m.tx.put(userKey(c.User), r)
	return nil
}

func (m *merging) disable(ctx context.Context, c mfa.Change) error {
	cred, err := m.cred(ctx, c.User, c.Credential)
	if err != nil || cred.Disabled {
		return err
	}
	cred.Disabled, cred.By = true, c.By
	r, err := sealCred(m.s.ring, cred)
	if err != nil {
		return err
	}
	m.tx.put(credKey(c.User, c.Credential), r)
	m.notice(c.User, fmt.Sprintf("credential %s disabled", cred.Method), c.By)
	return nil
}

func (m *merging) revoke(ctx context.Context, c mfa.Change) error {
	b, err := m.get(ctx, prefixToken+c.Token)
	if err != nil || b == nil {
		return err
	}
	t, err := parseToken(c.Token, b)
	if err != nil {
		return err
	}
	m.del(prefixToken+c.Token, m.s.nameKey(prefixTokenName, t.Name))
	return nil
}

// window is how far apart two uses of one code of e's can be; 0: any time.
func (s *Store) window(e mfa.Settled, creds []mfa.Credential) time.Duration {
	for _, c := range creds {
		if c.ID == e.Credential && c.Method == mfa.MethodTOTP {
			drift := max(e.Floor.Drift, -e.Floor.Drift, e.Before.Drift, -e.Before.Drift)
			return time.Duration(2*(s.Settings().Skew+drift+1)*c.Period) * time.Second
		}
		if c.ID == e.Credential && c.Method == mfa.MethodPasskey {
			return s.Settings().Handle.Duration() // an answer is one to a challenge
		}
	}
	return 0
}

// bothSides says how the record shows that the code of e, which this server accepted alone,
// was used on another server too; "" if it was not. window is how far apart two uses of one
// code can be; 0: any time.
func bothSides(r settlement.Record, e mfa.Settled, window time.Duration) string {
	if _, same := r.Result(e.Leg); same || !e.Reason.Accepts() {
		return ""
	}
	for _, l := range r.Legs {
		if l.Attempt == e.Attempt && l.Reason.Accepts() && e.Attempt != (mfa.AttemptID{}) {
			return "the same challenge was answered and accepted on two servers"
		}
	}
	if e.Credential == "" {
		return ""
	}
	floor := r.Floors.Of(e.Credential)
	switch {
	case e.Floor.Spent&^e.Before.Spent&floor.Spent != 0:
		return "the same single-use code was accepted on two servers"
	case e.Floor.Next <= e.Before.Next || floor.Next < e.Floor.Next:
		return ""
	case floor.Next == e.Floor.Next:
		return "the same code was accepted on two servers"
	}
	// The other side has gone further. The legs are the last ones without a gap: if they
	// reach back before the window they tell whether anything was accepted in it.
	if window > 0 && len(r.Legs) > 0 && r.Legs[0].Time.Before(e.Time.Add(-window)) {
		near := false
		for _, l := range r.Legs {
			d := l.Time.Sub(e.Time)
			near = near || l.Reason.Accepts() && d.Abs() <= window
		}
		if !near {
			return ""
		}
	}
	return "another server has accepted a later code, and may have accepted this one"
}
