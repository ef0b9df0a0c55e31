package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/settlement"
)

// Names of sealed blobs.
const (
	blobReport = "parking/" // of the cluster behind it: how far its copies are read
	blobParked = "parked/"  // of the change with the id behind it
)

// takeover is how long a server that reads a copy of a cluster may be silent before another
// one that has a copy of it starts over.
const takeover = 2 * time.Minute

// rejoinBatch is how many records one commit takes over.
const rejoinBatch = 32

// ForkOf returns the last revision that an old copy of an epoch has in common with this
// database; 0: they are not known to have any.
func (s *Store) ForkOf(ctx context.Context, old OldCopy, epoch uint64) (int64, error) {
	now, err := s.EpochRecord()
	if err != nil {
		return 0, err
	}
	before, err := ancestry(ctx, old)
	if err != nil {
		return 0, err
	}
	rev, _ := parking.Fork(epoch, old.ClusterID(), before, now.Ancestors())
	return rev, nil
}

// Rejoin says what a parked copy is.
type Rejoin struct {
	Epoch uint64                        // of the copy
	Fork  int64                         // last revision that it has in common with the group's database; 0: not known
	Since time.Time                     // when the group's epoch began, or zero
	Acts  func(object string) []mfa.Act // what this server's trail tells of an object since the fork; may be nil
	// Told is called with an act for each thing that was applied by itself, and each code
	// that was used on both sides, after it was written.
	Told func(mfa.Act)
}

// reportRecord is the plain part of x/parking/CLUSTER.
type reportRecord struct {
	V int `json:"v"`
	parking.Report
	Done   int64     `json:"done_revision,omitempty"` // up to which a copy of that cluster was read to the end
	Cursor string    `json:"cursor,omitempty"`        // the key up to which this one is read
	Acted  time.Time `json:"acted,omitzero"`          // when somebody last went on with it
}

// finished reports whether nothing is to be done up to revision rev.
func (r reportRecord) finished(rev int64) bool {
	return !r.Finished.IsZero() && r.Done >= rev && r.Error == ""
}

// Rejoin takes over what an old copy has and this database never saw. Settlements are merged and
// restrictions applied, each exactly once; the rest is listed for an administrator. It is
// done in the same commits that move its cursor, so it goes on where it stopped, whatever
// stopped it; done once, it does nothing, also for another server's copy of the same epoch
// that reaches no further. It needs a master.
func (s *Store) Rejoin(ctx context.Context, old OldCopy, o Rejoin) (parking.Report, error) {
	r := &rejoining{s: s, o: o, name: blobReport + old.ClusterID()}
	var err error
	if r.reader, err = s.readOld(ctx, old); err != nil {
		return parking.Report{}, err
	}
	if err := r.begin(ctx); err != nil || r.at.finished(old.Revision()) {
		return r.at.Report, err
	}
	for _, step := range []func(context.Context) error{r.settlements, r.seeds, r.given, r.clients, r.changed, r.removed, r.end} {
		if err := step(ctx); err != nil {
			return r.at.Report, fmt.Errorf("take over the parked copy of epoch %d: %w", o.Epoch, err)
		}
	}
	return r.at.Report, nil
}

// rejoining is one run of Rejoin.
type rejoining struct {
	s      *Store
	o      Rejoin
	name   string // of the blob
	reader *oldReader
	at     reportRecord // as it was written last
	from   int64        // what is newer is to be taken over
}

// begin finds out how far the copy is taken over, and claims the rest.
func (r *rejoining) begin(ctx context.Context) error {
	old := r.reader.old
	var claimed reportRecord
	err := r.s.write(ctx, func(ctx context.Context, t *tx) error {
		at, err := t.report(ctx, r.name)
		if err != nil {
			return err
		}
		claimed = at
		now := r.s.now()
		switch {
		case at.finished(old.Revision()):
			return nil
		case at.Finished.IsZero() && at.V != 0 && at.Server != r.s.o.Server && now.Sub(at.Acted) < takeover:
			return fmt.Errorf("server %s reads its copy of epoch %d at the moment: %w", at.Server, r.o.Epoch, mfa.ErrExists)
		case at.V == 0:
			claimed = reportRecord{V: schema, Report: parking.Report{Epoch: r.o.Epoch, ClusterID: old.ClusterID(), Fork: r.o.Fork, Began: now}}
		case at.Server != r.s.o.Server || at.Last != old.Revision() || !at.Finished.IsZero():
			claimed.Cursor = ""
		}
		claimed.Server, claimed.Last, claimed.Finished, claimed.Error, claimed.Acted = r.s.o.Server, old.Revision(), time.Time{}, "", now
		return t.putReport(r.name, claimed)
	})
	r.at, r.from = claimed, max(claimed.Done, r.o.Fork)
	return err
}

func (t *tx) report(ctx context.Context, name string) (r reportRecord, err error) {
	b, err := t.get(ctx, prefixSealed+name)
	if err != nil || b == nil {
		return r, err
	}
	return t.s.parseReport(name, b)
}

func (s *Store) parseReport(name string, b []byte) (r reportRecord, err error) {
	plain, err := s.openBlob(name, b)
	if err != nil {
		return r, err
	}
	return r, parse(prefixSealed+name, plain.Expose(), &r, &r.V)
}

func (t *tx) putReport(name string, r reportRecord) error { return t.putSealed(name, format(r)) }

// errTaken: another server has taken the copy over in the meantime.
var errTaken = fmt.Errorf("another server goes on with its copy of the same epoch: %w", mfa.ErrConflict)

// commit makes one commit with build and moves the cursor to key in it. What build tells in
// the report counts only if it is committed.
func (r *rejoining) commit(ctx context.Context, key string, build func(ctx context.Context, m *merging, rep *reportRecord) ([]mfa.Act, error)) error {
	var acts []mfa.Act
	next, again := r.at, false
	err := r.s.write(ctx, func(ctx context.Context, t *tx) error {
		at, err := t.report(ctx, r.name)
		if err != nil {
			return err
		}
		if at.Server != r.at.Server || at.Last != r.at.Last || at.Cursor > r.at.Cursor && at.Cursor != key {
			return errTaken
		}
		if next, acts = at, nil; at.Cursor == key {
			return nil // it was committed, and the answer lost
		}
		t.restricts = true
		m := &merging{tx: t, fresh: again, records: map[mfa.UserID]*mergedRecord{}}
		again = true
		if acts, err = build(ctx, m, &next); err != nil {
			return err
		}
		m.put()
		next.Cursor, next.Acted = key, r.s.now()
		return t.putReport(r.name, next)
	})
	if err != nil {
		return err
	}
	r.at = next
	for _, a := range acts {
		if a.Time, a.Server, a.By = r.s.now(), r.s.o.Server, "merge"; r.o.Told != nil {
			r.o.Told(a)
		}
	}
	return nil
}

// The cursor is the name of a step, in the order of the alphabet, and a key.
const (
	stepSettlements = "1 "
	stepSeeds       = "2 "
	stepGiven       = "2g "
	stepClients     = "3 "
	stepChanged     = "4 "
	stepRemoved     = "5 "
)

// each calls do with the records under prefix that are newer than what was taken over, in
// batches, the first after the cursor.
func (r *rejoining) each(ctx context.Context, step, prefix string, do func(ctx context.Context, batch []record) error) error {
	if r.at.Cursor > step+prefix+"\xff" {
		return nil
	}
	var batch []record
	var bad error
	err := r.reader.old.Scan(ctx, prefix, func(key string, value []byte, rev int64) bool {
		if rev <= r.from || step+key <= r.at.Cursor {
			return ctx.Err() == nil
		}
		batch = append(batch, record{key, append([]byte(nil), value...), rev})
		if len(batch) == rejoinBatch {
			bad, batch = do(ctx, batch), nil
		}
		return bad == nil && ctx.Err() == nil
	})
	if err = errors.Join(err, bad, ctx.Err()); err == nil && len(batch) > 0 {
		err = do(ctx, batch)
	}
	return err
}

// record is one of the old copy.
type record struct {
	key   string
	value []byte
	rev   int64
}

// base returns what key held at the fork. known is false if nobody knows any more.
func (r *rejoining) base(ctx context.Context, key string, now []byte, nowRev, at int64) (value []byte, known bool, err error) {
	if at == r.o.Fork && nowRev != 0 && nowRev <= at {
		return now, true, nil
	}
	if at <= 0 {
		return nil, false, nil
	}
	value, rev, known, err := r.reader.old.At(ctx, key, at)
	if rev == 0 {
		value = nil
	}
	if err == nil && !known { // the history is gone, but a key tells when it came
		var created int64
		created, err = r.reader.old.Created(ctx, key)
		known = created > at
	}
	return value, known, err
}

// unreadable notes a record that cannot be taken over.
func (r *rejoining) unreadable(rep *reportRecord, key string, err error) {
	rep.Unreadable++
	r.s.o.Log.Error("a record of the parked copy cannot be read and is not taken over; the copy is kept", "key", key, "epoch", r.o.Epoch, "error", err)
}

// settlements merges the settlement records.
func (r *rejoining) settlements(ctx context.Context) error {
	return r.each(ctx, stepSettlements, prefixRecord, func(ctx context.Context, batch []record) error {
		last := stepSettlements + batch[len(batch)-1].key
		return r.commit(ctx, last, func(ctx context.Context, m *merging, rep *reportRecord) ([]mfa.Act, error) {
			var acts []mfa.Act
			for _, rec := range batch {
				found, err := r.settlement(ctx, m, rep, rec)
				if err != nil {
					return nil, err
				}
				acts = append(acts, found...)
			}
			return acts, nil
		})
	})
}

// settlement merges one of them, and finds the codes that were used on both sides.
func (r *rejoining) settlement(ctx context.Context, m *merging, rep *reportRecord, rec record) ([]mfa.Act, error) {
	id := mfa.UserID(strings.TrimPrefix(rec.key, prefixRecord))
	var other settlement.Record
	if err := other.UnmarshalBinary(rec.value); err != nil {
		r.unreadable(rep, rec.key, err)
		return nil, nil
	}
	mr, err := m.record(ctx, id)
	if err != nil {
		return nil, err
	}
	if mr.gone {
		return nil, r.retireAll(ctx, m, id, other)
	}
	base, err := r.baseRecord(ctx, rec.key, mr.account)
	if err != nil {
		return nil, err
	}
	var acts []mfa.Act
	for _, c := range mr.account.Credentials {
		e := mfa.Settled{Credential: c.ID, Floor: mr.next.Floors.Of(c.ID), Before: other.Floors.Of(c.ID)}
		if detail := settlement.UsedTwice(base, mr.next, other, c.ID, r.s.window(e, mr.account.Credentials)); detail != "" {
			rep.Twice++
			m.notice(id, "a code was used on two servers while they had no contact", r.s.o.Server)
			acts = append(acts, mfa.Act{Verb: "used_on_both_sides", Object: string(id),
				Detail: fmt.Sprintf("user %q: %s; credential %s, epochs %d and %d", mr.account.User.Login, detail, c.ID, r.o.Epoch, r.s.o.Epoch)})
		}
	}
	for c, f := range other.Floors.All() {
		if !hasCredential(mr.account, c) {
			if err := r.retire(ctx, m, id, c, f); err != nil {
				return nil, err
			}
		}
	}
	other = other.Forget(func(c mfa.CredentialID) bool { return hasCredential(mr.account, c) })
	second, first := r.s.settingsOf()
	next, changed := mr.next.Rejoin(base, other, second, first, r.s.now())
	if changed {
		mr.next, mr.changed = next, true
		rep.Records++
	}
	return acts, nil
}

// baseRecord returns what both sides began with; the zero Record if nobody knows any more.
func (r *rejoining) baseRecord(ctx context.Context, key string, now settlement.Account) (base settlement.Record, err error) {
	if r.from == r.o.Fork && now.RecordRev != 0 && now.RecordRev <= r.from {
		return now.Record, nil
	}
	b, _, err := r.base(ctx, key, nil, 0, r.from)
	if err == nil && b != nil && base.UnmarshalBinary(b) != nil {
		base = settlement.Record{}
	}
	return base, err
}

func hasCredential(a settlement.Account, id mfa.CredentialID) bool {
	return a.CredRevs.Of(id) != 0
}

// retireAll keeps the floors of a user whom this database does not have.
func (r *rejoining) retireAll(ctx context.Context, m *merging, user mfa.UserID, other settlement.Record) error {
	for c, f := range other.Floors.All() {
		if err := r.retire(ctx, m, user, c, f); err != nil {
			return err
		}
	}
	return nil
}

// retire keeps the floor of a credential that this database does not have, by its seed: if
// it is added, its used codes stay used.
func (r *rejoining) retire(ctx context.Context, m *merging, user mfa.UserID, id mfa.CredentialID, f mfa.Floor) error {
	key := credKey(user, id)
	b, rev, _, err := r.reader.old.At(ctx, key, r.reader.old.Revision())
	if err != nil || rev == 0 {
		return err
	}
	o, err := r.reader.object(key, b)
	if err != nil {
		return nil // told when the credential is looked at
	}
	return m.retire(ctx, *o.Credential, f)
}

// seeds takes over the floors of tokens that were taken away.
func (r *rejoining) seeds(ctx context.Context) error {
	return r.each(ctx, stepSeeds, prefixSeed, func(ctx context.Context, batch []record) error {
		return r.commit(ctx, stepSeeds+batch[len(batch)-1].key, func(ctx context.Context, m *merging, rep *reportRecord) ([]mfa.Act, error) {
			for _, rec := range batch {
				var theirs seedRecord
				if err := parse(rec.key, rec.value, &theirs, &theirs.V); err != nil {
					r.unreadable(rep, rec.key, err)
					continue
				}
				ours, err := m.seed(ctx, rec.key)
				if err != nil {
					return nil, err
				}
				if theirs.Next > ours.Next {
					m.tx.put(rec.key, seedRecord{schema, theirs.Next})
				}
			}
			return nil, nil
		})
	})
}

// clients takes over what was learnt of RADIUS clients. It is no change of anybody's, and to
// learn it twice does no harm.
func (r *rejoining) clients(ctx context.Context) error {
	return r.each(ctx, stepClients, prefixNAS, func(ctx context.Context, batch []record) error {
		for _, rec := range batch {
			n, err := parseNAS(rec.key, rec.value)
			if err == nil {
				err = r.s.RecordNAS(ctx, n)
			}
			if errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome) {
				return err
			}
		}
		return nil
	})
}

// end closes the report.
func (r *rejoining) end(ctx context.Context) error {
	return r.commit(ctx, "9", func(_ context.Context, _ *merging, rep *reportRecord) ([]mfa.Act, error) {
		rep.Finished, rep.Done = r.s.now(), rep.Last
		return nil, nil
	})
}

// RejoinFailed notes why a parked copy cannot be taken over, for whoever asks.
func (s *Store) RejoinFailed(ctx context.Context, cluster string, epoch uint64, reason string) error {
	return s.write(ctx, func(ctx context.Context, t *tx) error {
		at, err := t.report(ctx, blobReport+cluster)
		if err != nil || !at.Finished.IsZero() || at.Error == reason {
			return err
		}
		if at.V == 0 {
			at = reportRecord{V: schema, Report: parking.Report{Epoch: epoch, ClusterID: cluster, Began: s.now()}}
		}
		at.Server, at.Error = s.o.Server, reason
		return t.putReport(blobReport+cluster, at)
	})
}

// ParkingReports tells what became of each epoch that ended with changes on a server that
// was away, read at the master.
func (s *Store) ParkingReports(ctx context.Context) (list []parking.Report, err error) {
	err = s.withKeys(ctx, func() error {
		list = nil
		var bad error
		_, err := s.kv.Scan(ctx, prefixSealed+blobReport, func(key string, value []byte, _ int64) bool {
			r, err := s.parseReport(strings.TrimPrefix(key, prefixSealed), value)
			bad = err
			list = append(list, r.Report)
			return bad == nil
		})
		return errors.Join(err, bad)
	})
	return list, err
}
