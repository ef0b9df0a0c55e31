package trail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Attempts are counted as they are indexed, by quarter-hour and by hour: a question about a
// year reads some hundred thousand rows whatever the number of attempts. Quarter-hours,
// because days begin on one in every time zone.
const (
	TallyStep = 15 * time.Minute // what Tally counts by: times given to it are multiples of this

	fine, coarse = int64(900), int64(3600) // seconds
	maxSpans     = 800
	maxPeople    = 500
	maxNotable   = 20_000 // records that People looks at for each reason
)

// Count is how many attempts there were of one kind in one span of time.
type Count struct {
	Span        int // index of the span
	Application string
	Method      string
	Reason      mfa.Reason
	Verdict     mfa.Verdict
	Degraded    bool
	N           int64
}

// tallyKey is what attempts are counted by.
type tallyKey struct {
	span, start         int64 // seconds
	application, method string
	reason, verdict     int64
	degraded            int64
}

// tallies are what a batch adds to the counts. A count that falls to zero is removed.
type tallies map[tallyKey]int64

func bit(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// startOf is when the span began that a time lies in; all in seconds but nano.
func startOf(nano, span int64) int64 {
	s := nano / int64(time.Second)
	if nano%int64(time.Second) < 0 {
		s--
	}
	rest := s % span
	if rest < 0 {
		rest += span
	}
	return s - rest
}

// add counts n attempts like r.
func (t tallies) add(r indexed, n int64) {
	if r.kind != isAttempt {
		return
	}
	for _, span := range []int64{fine, coarse} {
		t[tallyKey{span, startOf(r.time, span), r.application, r.method, r.reason.(int64), r.verdict.(int64), r.degraded.(int64)}] += n
	}
}

// forget uncounts the attempts up to seq, which are still there.
func (t tallies) forget(tx *sql.Tx, seq int64) (err error) {
	rows, err := tx.Query("SELECT time, coalesce(application, ''), coalesce(method, ''), reason, verdict, degraded FROM records WHERE kind = 1 AND seq <= ?", seq)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var at, reason, verdict, degraded int64
		r := indexed{kind: isAttempt}
		if err := rows.Scan(&at, &r.application, &r.method, &reason, &verdict, &degraded); err != nil {
			return err
		}
		r.time, r.reason, r.verdict, r.degraded = at, reason, verdict, degraded
		t.add(r, -1)
	}
	return rows.Err()
}

// flush writes what has changed.
func (t tallies) flush(tx *sql.Tx) error {
	fell := false
	for k, n := range t {
		if n == 0 {
			continue
		}
		fell = fell || n < 0
		if _, err := tx.Exec("INSERT INTO tally VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
			k.span, k.start, k.application, k.method, k.reason, k.verdict, k.degraded, n); err != nil {
			return err
		}
	}
	if !fell {
		return nil
	}
	_, err := tx.Exec("DELETE FROM tally WHERE n = 0")
	return err
}

// Tally counts attempts in the spans between edges, which rise and are multiples of
// TallyStep: from one edge up to the next one, without that. application "" is all.
// Everything appended before the call is counted.
func (x *Index) Tally(ctx context.Context, edges []time.Time, application string) (counts []Count, err error) {
	span, err := spanOf(edges)
	if err != nil {
		return nil, err
	}
	db, err := x.current(ctx)
	if err != nil {
		return nil, err
	}
	where, args := "span = ? AND start >= ? AND start < ?", []any{span, 0, 0}
	if application != "" {
		where, args = where+" AND application = ?", append(args, application)
	}
	q, err := db.PrepareContext(ctx, "SELECT application, method, reason, verdict, degraded, sum(n) FROM tally WHERE "+where+" GROUP BY application, method, reason, verdict, degraded")
	if err != nil {
		return nil, fmt.Errorf("trail: tally: %w", err)
	}
	defer func() { err = errors.Join(err, q.Close()) }()
	for i := range edges[1:] {
		args[1], args[2] = edges[i].Unix(), edges[i+1].Unix()
		if counts, err = tallied(ctx, q, args, i, counts); err != nil {
			return nil, fmt.Errorf("trail: tally: %w", err)
		}
	}
	return counts, nil
}

// spanOf returns the coarsest counts that the edges can be answered from.
func spanOf(edges []time.Time) (int64, error) {
	if len(edges) < 2 || len(edges) > maxSpans+1 {
		return 0, fmt.Errorf("trail: tally: %w: %d spans: between 1 and %d", mfa.ErrInvalid, len(edges)-1, maxSpans)
	}
	span := coarse
	for i, e := range edges {
		if e.Nanosecond() != 0 || e.Unix()%fine != 0 || i > 0 && !e.After(edges[i-1]) {
			return 0, fmt.Errorf("trail: tally: %w: %s: spans begin on quarter-hours, each after the one before", mfa.ErrInvalid, e.Format(time.RFC3339))
		}
		if e.Unix()%coarse != 0 {
			span = fine
		}
	}
	return span, nil
}

func tallied(ctx context.Context, q *sql.Stmt, args []any, span int, counts []Count) (_ []Count, err error) {
	rows, err := q.QueryContext(ctx, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		c := Count{Span: span}
		if err := rows.Scan(&c.Application, &c.Method, &c.Reason, &c.Verdict, &c.Degraded, &c.N); err != nil {
			return nil, err
		}
		counts = append(counts, c)
	}
	return counts, rows.Err()
}

// Person is how often attempts of one user at one application ended in one way.
type Person struct {
	User        mfa.UserID // "": unknown
	Login       string     // as typed, in lower case
	Application string
	Method      string
	Reason      mfa.Reason
	N           int64
	Last        time.Time
}

// People tells whose attempts ended for one of the reasons, or for OK by a method, most often
// first; at most 500. f selects by User, Application, Since and Until. It looks at
// the newest 20 000 attempts of each, and says so with all = false.
func (x *Index) People(ctx context.Context, reasons []mfa.Reason, method string, f Filter) (people []Person, all bool, err error) {
	db, err := x.current(ctx)
	if err != nil {
		return nil, false, err
	}
	all = true
	ask := func(f Filter) error {
		found, whole, err := persons(ctx, db, f)
		people, all = append(people, found...), all && whole
		return err
	}
	for _, r := range reasons {
		one := f
		one.Reason = r.String()
		if err := ask(one); err != nil {
			return nil, false, fmt.Errorf("trail: people: %w", err)
		}
	}
	if method != "" {
		one := f
		one.Method, one.Reason = method, mfa.OK.String()
		if err := ask(one); err != nil {
			return nil, false, fmt.Errorf("trail: people: %w", err)
		}
	}
	slices.SortStableFunc(people, func(a, b Person) int { return int(min(max(b.N-a.N, -1), 1)) })
	if len(people) > maxPeople {
		people, all = people[:maxPeople], false
	}
	return people, all, nil
}

func persons(ctx context.Context, db *sql.DB, f Filter) (found []Person, all bool, err error) {
	where, args, err := conditions(ctx, db, isAttempt, f)
	if err != nil {
		return nil, false, err
	}
	rows, err := db.QueryContext(ctx, strings.Join([]string{
		"SELECT coalesce(user, ''), coalesce(login, ''), coalesce(application, ''), coalesce(method, ''), reason, count(*), max(time) FROM",
		"(SELECT user, login, application, method, reason, time FROM records WHERE", where, "ORDER BY seq DESC LIMIT ?)",
		"GROUP BY 1, 2, 3, 4, 5 ORDER BY 6 DESC, 7 DESC LIMIT ?"}, " "), append(args, maxNotable, maxPeople+1)...)
	if err != nil {
		return nil, false, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var seen int64
	for rows.Next() {
		var p Person
		var last int64
		if err := rows.Scan(&p.User, &p.Login, &p.Application, &p.Method, &p.Reason, &p.N, &last); err != nil {
			return nil, false, err
		}
		p.Last = time.Unix(0, last).UTC()
		found, seen = append(found, p), seen+p.N
	}
	return found, seen < maxNotable && len(found) <= maxPeople, rows.Err()
}
