package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
	"countersign/internal/trail"
)

const (
	// markInterval is how often the ledger's mark moves. It is far below the time that a
	// settlement record remembers a leg, so that every leg behind the mark is in one of both.
	markInterval = 10 * time.Second
	// interruptedMax bounds how old a settled leg without a record may be to be recorded.
	interruptedMax = time.Hour
)

// ledgerStore is what the ledger needs of package store.
type ledgerStore interface {
	Account(ctx context.Context, id mfa.UserID, fresh bool) (settlement.Account, error)
	UpdateRecord(ctx context.Context, id mfa.UserID, change func(*settlement.Record) error) error
	Contact() (last time.Time, now bool)
	Restore(ctx context.Context, records []mfa.Record) error
	Merge(ctx context.Context) error
	RecentLegs(since time.Time, yield func(mfa.UserID, settlement.Leg) bool) error
	Epoch() uint64
}

// lineage says where the database of an earlier epoch that has acknowledged a settlement is now.
type lineage int

const (
	lineLost   lineage = iota // gone: the trail alone knows it
	lineHeld                  // this database was made from it, with the settlement in it
	lineParked                // on this server, to be taken over as a whole
)

// ledgerTrail is what it needs of package trail.
type ledgerTrail interface {
	Replay(after trail.Position, yield func(trail.Position, mfa.Record) error) error
	Append(ctx context.Context, records ...mfa.Record) error
	Head() trail.Position
	SetMerged(p trail.Position) error
	Merged() trail.Position
}

// ledger keeps trail and database together. Settled first, recorded second: after a crash
// the database may hold legs that the trail lacks, and the trail entries whose write to
// the database was never acknowledged. What this server settled alone, without a master, is
// the store's to merge (those entries have numbers); the ledger gives it back after a start,
// and moves its mark only over what is merged. All fields must be set.
type ledger struct {
	server   string
	trail    ledgerTrail
	store    ledgerStore
	settings func() policy.Settings
	load     func(ctx context.Context) (mark, error) // the mark saved last; zero: none
	save     func(ctx context.Context, m mark) error
	check    func(ctx context.Context) error // compares the trail with what the database knows of it
	lineage  func(s mfa.Settled) lineage     // of an entry that an earlier epoch has acknowledged; nil: gone
	now      func() time.Time
	log      *slog.Logger

	inStep  atomic.Bool // trail and database were compared
	pending atomic.Bool // an entry was appended whose write was not acknowledged
	last    mark        // taken at the previous pass; touched by run alone
	behind  bool        // recover is still to be done: there was no master at the start; touched by run alone
	began   time.Time   // when this run began to settle, if behind
	asked   asked
	open    []mfa.Asked // challenges that an earlier run asked and nobody has answered, found by the start
}

// mark is a place in the trail up to which it and the database agree. Legs settled at or
// after Time have their record behind Position or nowhere.
type mark struct {
	Position trail.Position `json:"position"`
	Time     time.Time      `json:"time"`
	Open     trail.Position `json:"open,omitzero"` // where challenges begin that may have no verdict yet; zero: behind Position
}

func (m mark) marshal() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("node: " + err.Error()) // plain fields
	}
	return b
}

// Append passes records on to the trail and notes entries that have to be merged.
func (l *ledger) Append(ctx context.Context, records ...mfa.Record) error {
	for _, r := range records {
		l.asked.see(r)
		if r.Settled != nil && r.Settled.State != mfa.Committed && r.Settled.Number == 0 {
			l.pending.Store(true) // first, so that no mark passes the entry unseen
		}
	}
	return l.trail.Append(ctx, records...)
}

// recovered is what one start had to mend.
type recovered struct {
	read        int       // records read back
	raised      int       // settlement records that the database lacked something of
	interrupted int       // settled legs that had no record
	last        time.Time // of the newest record in the trail; zero: none read
}

// recover mends what a crash left: every ledger entry behind the mark is merged into the
// database, and every leg that the database settled and the trail does not have is
// recorded as interrupted. The store must be complete; nothing may be served yet, but after
// isolated.
func (l *ledger) recover(ctx context.Context) (recovered, error) {
	m, err := l.load(ctx)
	if err != nil {
		return recovered{}, fmt.Errorf("ledger: %w", err)
	}
	var r recovered
	legs := map[mfa.LegID]bool{}
	var own []mfa.Record                     // numbered
	if m.Position.Seq > l.trail.Head().Seq { // its tail was cut off; told by checkHead
		m.Position, m.Open = trail.Position{}, trail.Position{}
	}
	from, unanswered := m.Position, open{}
	if m.Open != (trail.Position{}) && m.Open.Seq < from.Seq {
		from = m.Open
	}
	b := boundary{mark{Position: m.Position, Time: l.now().Truncate(time.Second)}, false}
	err = l.trail.Replay(from, func(p trail.Position, rec mfa.Record) error {
		l.asked.see(rec)
		unanswered.see(rec)
		if p.Seq <= m.Position.Seq {
			return nil
		}
		r.read++
		b.see(p, rec)
		switch {
		case rec.Attempt != nil:
			r.last = latest(r.last, rec.Attempt.Time)
		case rec.Act != nil:
			r.last = latest(r.last, rec.Act.Time)
		case rec.Change != nil:
			r.last = latest(r.last, rec.Change.Time)
			own = append(own, rec)
		case rec.Settled != nil:
			r.last = latest(r.last, rec.Settled.Time)
			if rec.Settled.State != mfa.Unknown || rec.Settled.Number > 0 { // else nobody was answered
				legs[rec.Settled.Leg] = true
			}
			if rec.Settled.Number > 0 {
				own = append(own, rec)
				return nil
			}
			raised, err := l.merge(ctx, *rec.Settled)
			if raised {
				r.raised++
			}
			return err
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("ledger: read the trail back: %w", err)
	}
	l.found(from, unanswered)
	if err := errors.Join(l.store.Restore(ctx, own), l.store.Merge(ctx)); err != nil {
		return r, fmt.Errorf("ledger: %w", err)
	}
	if r.interrupted, err = l.recordInterrupted(ctx, m.Time, legs); err != nil {
		return r, fmt.Errorf("ledger: %w", err)
	}
	l.inStep.Store(true)
	if l.last = b.mark; b.Time.Before(m.Time) { // the clock was set back
		l.last = m
	}
	if err := l.keep(ctx, l.last); err != nil {
		return r, fmt.Errorf("ledger: %w", err)
	}
	return r, nil
}

// isolated is recover without a master: what is behind the mark is given to the store, which
// shows it over its copy and merges it later. The rest waits until run finds a master.
func (l *ledger) isolated(ctx context.Context) (recovered, error) {
	l.behind, l.began = true, l.now().Truncate(time.Second)
	l.last = mark{Position: l.trail.Merged()}
	var r recovered
	var all []mfa.Record
	unanswered := open{}
	err := l.trail.Replay(l.last.Position, func(_ trail.Position, rec mfa.Record) error {
		r.read++
		l.asked.see(rec)
		unanswered.see(rec)
		switch {
		case rec.Attempt != nil:
			r.last = latest(r.last, rec.Attempt.Time)
		case rec.Settled != nil:
			r.last = latest(r.last, rec.Settled.Time)
			all = append(all, rec)
		case rec.Change != nil:
			all = append(all, rec)
		}
		return nil
	})
	if err != nil {
		return r, fmt.Errorf("ledger: read the trail back: %w", err)
	}
	l.found(l.last.Position, unanswered)
	if err := l.store.Restore(ctx, all); err != nil {
		return r, fmt.Errorf("ledger: %w", err)
	}
	return r, nil
}

// found keeps what the start read from a place on. Later, when there is a master again, the
// engine knows more than the trail.
func (l *ledger) found(from trail.Position, unanswered open) {
	if l.asked.places != nil {
		return
	}
	l.asked.pass(from, time.Time{})
	l.open = unanswered.list()
}

// bothSides records that a code was used here and on another server.
func (l *ledger) bothSides(s mfa.Settled, detail string) {
	act := mfa.Act{Time: l.now(), Server: l.server, By: "merge", Verb: "used_on_both_sides", Object: string(s.User),
		Detail: fmt.Sprintf("%s; credential %s, attempt %s of %s on this server", detail, s.Credential, s.Attempt, s.Time.UTC().Format(time.RFC3339))}
	if err := l.trail.Append(context.Background(), mfa.Record{Act: &act}); err != nil {
		l.log.Error("a code that was used on both sides could not be recorded", "user", s.User, "detail", act.Detail, "error", err)
	}
}

// boundary finds the mark for the second that is running. Legs know their time in whole
// seconds only: some of this second are recorded already, others are yet to be settled.
// So the mark's position stands before the first of them.
type boundary struct {
	mark
	over bool // a leg of this second was seen
}

func (b *boundary) see(p trail.Position, r mfa.Record) {
	b.over = b.over || r.Settled != nil && !r.Settled.Time.Before(b.Time)
	if !b.over {
		b.Position = p
	}
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// merge brings one ledger entry into the database, if it is not there. Of an entry that
// this database has acknowledged, failures were counted then; only floors and spent
// handles are looked after.
func (l *ledger) merge(ctx context.Context, s mfa.Settled) (raised bool, err error) {
	acct, err := l.store.Account(ctx, s.User, false)
	if errors.Is(err, mfa.ErrNotFound) {
		return false, nil // removed since
	}
	if err != nil {
		return false, err
	}
	if s.State == mfa.Committed {
		switch l.lineageOf(s) {
		case lineParked:
			return false, nil
		case lineHeld:
			s.Failures, s.FirstFails = 0, 0
		}
	}
	return l.mergeLost(ctx, s, acct)
}

// lineageOf tells where the database is that has acknowledged s.
func (l *ledger) lineageOf(s mfa.Settled) lineage {
	switch {
	case s.Epoch == l.store.Epoch():
		return lineHeld
	case l.lineage == nil:
		return lineLost
	}
	return l.lineage(s)
}

// mergeLost brings an entry into the database that is not known to be there.
func (l *ledger) mergeLost(ctx context.Context, s mfa.Settled, acct settlement.Account) (raised bool, err error) {
	if !holds(acct.Credentials, s.Credential) {
		s.Credential, s.Floor = "", mfa.Floor{}
	}
	set, now := l.settings(), l.now()
	if _, changed := acct.Record.Merge(s, set.Second(), set.First(), now); !changed {
		return false, nil
	}
	err = l.store.UpdateRecord(ctx, s.User, func(r *settlement.Record) error {
		*r, raised = r.Merge(s, set.Second(), set.First(), now)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("merge the settlement of user %s: %w", s.User, err)
	}
	if raised {
		l.log.Warn("the database lacked a settlement that the trail has; it was raised", "user", s.User, "leg", s.Leg.String(),
			"state", s.State, "epoch", s.Epoch, "revision", s.Revision)
	}
	return raised, nil
}

// mergeEpoch brings what this server settled in an epoch that ended, behind a revision,
// into the database, from the trail alone: its own database cannot be read. The whole trail is
// read.
func (l *ledger) mergeEpoch(ctx context.Context, epoch uint64, behind int64) (raised int, err error) {
	err = l.trail.Replay(trail.Position{}, func(_ trail.Position, rec mfa.Record) error {
		s := rec.Settled
		if s == nil || s.State != mfa.Committed || s.Epoch != epoch || s.Revision <= behind {
			return nil
		}
		acct, err := l.store.Account(ctx, s.User, false)
		if errors.Is(err, mfa.ErrNotFound) {
			return nil // removed since
		}
		if err != nil {
			return err
		}
		up, err := l.mergeLost(ctx, *s, acct)
		if up {
			raised++
		}
		return err
	})
	return raised, err
}

func holds(creds []mfa.Credential, id mfa.CredentialID) bool {
	for _, c := range creds {
		if c.ID == id {
			return true
		}
	}
	return false
}

// recordInterrupted writes what this server settled and never recorded: the user got no answer.
func (l *ledger) recordInterrupted(ctx context.Context, since time.Time, recorded map[mfa.LegID]bool) (n int, err error) {
	now := l.now()
	if oldest := now.Add(-interruptedMax); since.Before(oldest) {
		since = oldest
	}
	mine := settlement.TagOf(l.server)
	var records []mfa.Record
	err = l.store.RecentLegs(since.Truncate(time.Second), func(user mfa.UserID, leg settlement.Leg) bool {
		switch {
		case leg.Server != 0 && leg.Server != mine, leg.ID == (mfa.LegID{}), recorded[leg.ID]:
		case l.behind && !leg.Time.Before(l.began): // of this run: it may be on its way to the trail
		default:
			records = append(records, l.interrupted(user, leg, now)...)
		}
		return true
	})
	if err != nil {
		return 0, err
	}
	for i := 0; i < len(records); i += 512 {
		if err := l.trail.Append(ctx, records[i:min(i+512, len(records))]...); err != nil {
			return 0, err
		}
	}
	return len(records) / 2, nil
}

// interrupted are the records of a leg that was settled, and of which nobody was told.
func (l *ledger) interrupted(user mfa.UserID, leg settlement.Leg, now time.Time) []mfa.Record {
	return []mfa.Record{
		{Settled: &mfa.Settled{Leg: leg.ID, Attempt: leg.Attempt, User: user, Time: leg.Time, Server: l.server,
			Reason: leg.Reason, State: mfa.Committed, Epoch: l.store.Epoch()}},
		{Attempt: &mfa.Attempt{ID: leg.Attempt, Time: now, Server: l.server, User: user, Verdict: mfa.Reject, Reason: mfa.Interrupted}},
	}
}

// recordOpen writes, of legs whose settlement had an open outcome, those that the database
// has: they count, and another server may have answered the client from there.
func (l *ledger) recordOpen(ctx context.Context, open map[mfa.AttemptID]mfa.Settled) error {
	for _, s := range open {
		acct, err := l.store.Account(ctx, s.User, false)
		if errors.Is(err, mfa.ErrNotFound) {
			continue // removed since
		}
		if err != nil {
			return err
		}
		if leg, ok := acct.Record.Result(s.Leg); ok && leg.Server == settlement.TagOf(l.server) {
			if err := l.trail.Append(ctx, l.interrupted(s.User, leg, l.now())...); err != nil {
				return err
			}
		}
	}
	return nil
}

// run moves the mark while the server works, and merges what the database had not
// acknowledged, until ctx is done.
func (l *ledger) run(ctx context.Context) error {
	tick := time.NewTicker(markInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, now := l.store.Contact(); !now {
			continue // the store says so, and merges by itself later
		}
		if l.behind {
			err := l.catchUp(ctx)
			if err != nil && ctx.Err() == nil {
				l.log.Warn("there is a master again, but trail and database could not be compared; trying again", "error", err)
			}
			continue
		}
		if err := l.pass(ctx); err != nil && ctx.Err() == nil {
			l.log.Warn("the ledger's mark could not be moved; the next start reads more of the trail back", "error", err)
		}
	}
}

// catchUp does what a start without a master had to leave.
func (l *ledger) catchUp(ctx context.Context) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	r, err := l.recover(ctx)
	if err != nil {
		return err
	}
	l.behind = false
	l.log.Info("there is a master again: trail and database are in step", "records", r.read, "raised", r.raised, "interrupted", r.interrupted)
	return nil
}

// pass moves the mark to where the previous pass stood: whatever was on its way between
// database and trail then has arrived by now.
func (l *ledger) pass(ctx context.Context) error {
	head := l.trail.Head()
	if head == l.last.Position {
		return nil
	}
	l.asked.pass(head, l.now())
	if err := l.store.Merge(ctx); err != nil { // what was settled alone before the previous pass was there for it to see
		return err
	}
	if l.pending.Swap(false) {
		open := map[mfa.AttemptID]mfa.Settled{} // nobody was answered
		err := l.trail.Replay(l.last.Position, func(_ trail.Position, r mfa.Record) error {
			if r.Attempt != nil {
				delete(open, r.Attempt.ID)
			}
			if r.Settled == nil || r.Settled.State == mfa.Committed {
				return nil
			}
			if r.Settled.Number == 0 {
				open[r.Settled.Attempt] = *r.Settled
			}
			_, err := l.merge(ctx, *r.Settled)
			return err
		})
		if err == nil {
			err = l.recordOpen(ctx, open)
		}
		if err != nil {
			l.pending.Store(true)
			return err
		}
	}
	here := mark{Position: head, Time: l.now().Truncate(time.Second).Add(time.Second)}
	if err := l.keep(ctx, l.last); err != nil {
		return err
	}
	l.last = here
	return nil
}

// close moves the mark to the trail's end, as far as a second's boundary allows. Nothing
// may be on its way any more.
func (l *ledger) close(ctx context.Context) error {
	if _, now := l.store.Contact(); !now || l.behind || l.pending.Load() {
		return nil
	}
	if err := l.store.Merge(ctx); err != nil {
		return err
	}
	b := boundary{mark{Position: l.last.Position, Time: l.now().Truncate(time.Second)}, false}
	err := l.trail.Replay(b.Position, func(p trail.Position, r mfa.Record) error {
		b.see(p, r)
		return nil
	})
	if err != nil {
		return err
	}
	return l.keep(ctx, b.mark)
}

func (l *ledger) keep(ctx context.Context, m mark) error {
	m.Open = l.asked.from(l.now(), l.settings().Handle.Duration())
	if err := l.save(ctx, m); err != nil {
		return err
	}
	return l.trail.SetMerged(m.Position)
}
