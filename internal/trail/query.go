package trail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Filter selects records. What is zero selects all.
type Filter struct {
	User        mfa.UserID    // attempts, settlements
	Attempt     mfa.AttemptID // attempts, settlements
	Login       string        // attempts: as typed, in any case
	Application string        // attempts
	Reason      string        // attempts, settlements: its name
	Verdict     string        // attempts: its name
	Method      string        // attempts
	Since       time.Time     // at or after
	Until       time.Time     // before
	Before      uint64        // records older than this seq; the next page begins at the last one's
	Limit       int           // at most 10 000; 0: 100
}

const (
	defaultLimit = 100
	maxLimit     = 10000
)

// Entry is one record and its place in the trail.
type Entry struct {
	Seq    uint64     `json:"seq"`
	Record mfa.Record `json:"record"`
}

// Attempts returns attempts, newest first, and the Before of the next page (0: no more).
// Everything appended before the call is seen: it waits for the index, as long as ctx
// allows.
func (x *Index) Attempts(ctx context.Context, f Filter) ([]Entry, uint64, error) {
	return x.query(ctx, isAttempt, f)
}

// Acts returns administrative acts likewise; of f it heeds Since, Until, Before and Limit.
func (x *Index) Acts(ctx context.Context, f Filter) ([]Entry, uint64, error) {
	return x.query(ctx, isAct, Filter{Since: f.Since, Until: f.Until, Before: f.Before, Limit: f.Limit})
}

// Settlements returns ledger entries likewise.
func (x *Index) Settlements(ctx context.Context, f Filter) ([]Entry, uint64, error) {
	f.Login, f.Application, f.Verdict, f.Method = "", "", "", ""
	return x.query(ctx, isSettled, f)
}

// Story returns every record about one attempt, oldest first.
func (x *Index) Story(ctx context.Context, id mfa.AttemptID) ([]Entry, error) {
	if id == (mfa.AttemptID{}) {
		return nil, nil
	}
	db, err := x.current(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := db.QueryContext(ctx, "SELECT seq, segment, off, len FROM records WHERE attempt = ? ORDER BY seq LIMIT ?", attemptKey(id), maxLimit)
	if err != nil {
		return nil, fmt.Errorf("trail: query: %w", err)
	}
	found, err := locations(rows)
	if err != nil {
		return nil, fmt.Errorf("trail: query: %w", err)
	}
	entries, err := x.t.fetch(found)
	if err != nil {
		return nil, fmt.Errorf("trail: query: %w", err)
	}
	return only(entries, id), nil
}

func (x *Index) query(ctx context.Context, kind int, f Filter) ([]Entry, uint64, error) {
	if f.Limit <= 0 {
		f.Limit = defaultLimit
	}
	f.Limit = min(f.Limit, maxLimit)
	db, err := x.current(ctx)
	if err != nil {
		return nil, 0, err
	}
	where, args, err := conditions(ctx, db, kind, f)
	if err != nil {
		return nil, 0, fmt.Errorf("trail: query: %w", err)
	}
	rows, err := db.QueryContext(ctx, "SELECT seq, segment, off, len FROM records WHERE "+where+" ORDER BY seq DESC LIMIT ?", append(args, f.Limit+1)...)
	if err != nil {
		return nil, 0, fmt.Errorf("trail: query: %w", err)
	}
	found, err := locations(rows)
	if err != nil {
		return nil, 0, fmt.Errorf("trail: query: %w", err)
	}
	var next uint64
	if len(found) > f.Limit {
		found = found[:f.Limit]
		next = found[f.Limit-1].seq
	}
	entries, err := x.t.fetch(found)
	if err != nil {
		return nil, 0, fmt.Errorf("trail: query: %w", err)
	}
	if f.Attempt != (mfa.AttemptID{}) {
		entries = only(entries, f.Attempt)
	}
	return entries, next, nil
}

// conditions returns the WHERE clause of a filter.
func conditions(ctx context.Context, db *sql.DB, kind int, f Filter) (where string, args []any, err error) {
	terms := []string{fmt.Sprintf("kind = %d", kind)} // literal, so that partial indexes fit
	add := func(term string, arg any) { terms, args = append(terms, term), append(args, arg) }
	// The first of these is what selects most: SQLite, which knows no statistics, is kept from
	// the indexes of those behind it by a plus.
	free := ""
	choose := func(column string, arg any) {
		add(free+column+" = ?", arg)
		free = "+"
	}
	if f.Attempt != (mfa.AttemptID{}) {
		choose("attempt", attemptKey(f.Attempt))
	}
	if f.User != "" {
		choose("user", string(f.User))
	}
	if f.Login != "" {
		choose("login", strings.ToLower(f.Login))
	}
	if f.Reason != "" {
		var r mfa.Reason
		if err := r.UnmarshalText([]byte(f.Reason)); err != nil {
			return "", nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		if kind == isAttempt && r == mfa.OK { // of most of them, and in no index
			add("+reason = ?", int64(r))
		} else {
			choose("reason", int64(r))
		}
		if kind == isAttempt && !r.Accepts() {
			terms = append(terms, "verdict <> 1")
		}
		if kind == isAttempt && r.Accepts() && r != mfa.OK {
			terms = append(terms, "verdict = 1 AND reason <> 1")
		}
	}
	if f.Application != "" {
		choose("application", f.Application)
	}
	if f.Method != "" {
		choose("method", f.Method)
	}
	if f.Verdict != "" {
		var v mfa.Verdict
		if err := v.UnmarshalText([]byte(f.Verdict)); err != nil {
			return "", nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		add("verdict = ?", int64(v))
		if kind == isAttempt && v != mfa.Accept {
			terms = append(terms, "verdict <> 1") // literal, for the partial index
		}
	}
	if f.Before > 0 {
		add("seq < ?", int64(min(f.Before, math.MaxInt64)))
	}
	if f.Since.IsZero() && f.Until.IsZero() {
		return strings.Join(terms, " AND "), args, nil
	}
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !f.Since.IsZero() {
		since = stamp(f.Since)
		add("time >= ?", since)
	}
	if !f.Until.IsZero() {
		until = stamp(f.Until)
		add("time < ?", until)
	}
	var first, last sql.NullInt64
	if err := db.QueryRowContext(ctx, "SELECT min(first), max(last) FROM blocks WHERE newest >= ? AND oldest <= ?", since, until).Scan(&first, &last); err != nil {
		return "", nil, err
	}
	add("seq >= ?", first.Int64)
	add("seq <= ?", last.Int64)
	return strings.Join(terms, " AND "), args, nil
}

// location is where a record lies in the trail.
type location struct {
	seq, segment uint64
	off, size    int64
}

func locations(rows *sql.Rows) (found []location, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var l location
		if err := rows.Scan(&l.seq, &l.segment, &l.off, &l.size); err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	return found, rows.Err()
}

// fetch reads records from the trail. Those that retention has just removed are left
// out, and so are damaged ones.
func (t *Trail) fetch(found []location) (entries []Entry, err error) {
	entries = make([]Entry, 0, len(found))
	var f File
	defer func() {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}()
	var open uint64
	for _, l := range found {
		if l.segment != open {
			if f != nil {
				if err := f.Close(); err != nil {
					return nil, err
				}
				f = nil
			}
			open = l.segment
			f, err = t.opt.FS.Open(join(t.opt.Dir, segmentName(l.segment)), false)
			if errors.Is(err, fs.ErrNotExist) {
				f, err = nil, nil
			}
			if err != nil {
				return nil, err
			}
		}
		if f == nil {
			continue
		}
		e, err := fetchOne(f, l)
		if err != nil {
			t.opt.Log.Error("trail: a record was damaged after it was indexed, and is left out", "file", segmentName(l.segment), "offset", l.off, "seq", l.seq, "error", err)
			continue
		}
		entries = append(entries, e)
	}
	return entries, nil
}

func fetchOne(f File, at location) (Entry, error) {
	if at.size < 1 || at.size > maxLine {
		return Entry{}, errNotALine
	}
	b, err := readAt(f, at.off, at.off+at.size)
	if err != nil {
		return Entry{}, err
	}
	l, err := parseLine(b[:len(b)-1])
	if err != nil {
		return Entry{}, err
	}
	if l.seq != at.seq {
		return Entry{}, fmt.Errorf("there is record %d", l.seq)
	}
	rec, ok, err := l.record()
	if err == nil && !ok {
		err = errNotALine
	}
	return Entry{Seq: l.seq, Record: rec}, err
}

// only keeps the records of one attempt: the index knows the beginning of its id.
func only(entries []Entry, id mfa.AttemptID) []Entry {
	kept := entries[:0]
	for _, e := range entries {
		r := e.Record
		if r.Attempt != nil && r.Attempt.ID == id || r.Settled != nil && r.Settled.Attempt == id || r.Asked != nil && r.Asked.Attempt.ID == id {
			kept = append(kept, e)
		}
	}
	return kept
}
