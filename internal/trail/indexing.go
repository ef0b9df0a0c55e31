package trail

import (
	"database/sql"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// The kinds of record as the index numbers them.
const (
	isAttempt = 1
	isAct     = 2
	isSettled = 3
	isChange  = 4
	isAsked   = 5
)

// block sums up the times of neighbouring records, so that a query for a time looks at
// few of them, whatever the clock did.
type block struct{ first, last, oldest, newest int64 }

const blockSize = 512

// batch indexes up to indexBatch lines before m, or indexLarge if it is far behind, in one
// transaction and reports whether there may be more.
func (x *Index) batch(m mark) (more bool, err error) {
	tx, err := x.db.Begin()
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, tx.Rollback())
		}
	}()
	size := indexBatch
	if !x.far.began.IsZero() {
		size = indexLarge
		if _, err := tx.Exec(fmt.Sprintf("PRAGMA cache_size = -%d", indexCache)); err != nil {
			return false, err
		}
	}
	insert, err := tx.Prepare("INSERT OR REPLACE INTO records VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)")
	if err != nil {
		return false, err
	}
	at, blocks, sums := x.at, []block{x.block}, tallies{}
	n := 0
	for ; n < size; n++ {
		e, ok, err := x.r.next(m)
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		if e.trust == broken {
			continue
		}
		at = place{pos: e.pos(), off: e.off}
		if err := x.index(tx, insert, e, &blocks, sums); err != nil {
			return false, err
		}
	}
	if n == 0 {
		return false, tx.Rollback()
	}
	for _, b := range blocks {
		if b.first == 0 {
			continue
		}
		if _, err := tx.Exec("INSERT OR REPLACE INTO blocks VALUES (?,?,?,?)", b.first, b.last, b.oldest, b.newest); err != nil {
			return false, err
		}
	}
	if err := sums.flush(tx); err != nil {
		return false, err
	}
	if _, err := tx.Exec("UPDATE state SET seq = ?, hash = ?, segment = ?, off = ?", at.pos.Seq, at.pos.Hash[:], at.pos.Segment, at.off); err != nil {
		return false, err
	}
	if err := tx.Commit(); err != nil {
		return false, err
	}
	x.at, x.block = at, blocks[len(blocks)-1]
	x.publish(at.pos.Seq, nil)
	return n == size, nil
}

// index adds one line.
func (x *Index) index(tx *sql.Tx, insert *sql.Stmt, e entry, blocks *[]block, sums tallies) error {
	if e.kind == kindRemoved {
		return forget(tx, e, sums)
	}
	rec, ok := x.t.usable(e)
	if !ok {
		return nil
	}
	row := row(rec)
	sums.add(row, 1)
	*blocks = include(*blocks, int64(e.seq), row.time)
	_, err := insert.Exec(int64(e.seq), row.kind, row.time, null(row.user), null(strings.ToLower(row.login)), null(row.application),
		row.reason, row.verdict, row.attempt, int64(e.segment), e.off, e.end-e.off, null(row.method), row.degraded)
	return err
}

// forget drops what retention has removed.
func forget(tx *sql.Tx, e entry, sums tallies) error {
	var gone removed
	if err := json.Unmarshal(e.body, &gone); err != nil {
		return err
	}
	if err := sums.forget(tx, int64(gone.Seq)); err != nil {
		return err
	}
	if _, err := tx.Exec("DELETE FROM records WHERE seq <= ?", int64(gone.Seq)); err != nil {
		return err
	}
	_, err := tx.Exec("DELETE FROM blocks WHERE last <= ?", int64(gone.Seq))
	return err
}

func include(blocks []block, seq, time int64) []block {
	b := &blocks[len(blocks)-1]
	if b.first == 0 || seq-b.first >= blockSize {
		return append(blocks, block{first: seq, last: seq, oldest: time, newest: time})
	}
	b.last, b.oldest, b.newest = seq, min(b.oldest, time), max(b.newest, time)
	return blocks
}

// indexed is what the index knows of a record.
type indexed struct {
	kind                     int
	time                     int64 // Unix nanoseconds
	user, login, application string
	method                   string
	reason, verdict, attempt any // nil: none
	degraded                 any // of attempts
}

func row(r mfa.Record) indexed {
	x := indexed{kind: isAct, time: stamp(recordTime(r))}
	switch {
	case r.Attempt != nil:
		a := r.Attempt
		x.kind, x.user, x.login, x.application = isAttempt, string(a.User), a.Login, a.Application
		x.reason, x.verdict, x.attempt = int64(a.Reason), int64(a.Verdict), attemptKey(a.ID)
		x.method, x.degraded = string(a.Method), bit(a.Degraded)
	case r.Settled != nil:
		s := r.Settled
		x.kind, x.user, x.reason, x.attempt = isSettled, string(s.User), int64(s.Reason), attemptKey(s.Attempt)
	case r.Change != nil:
		x.kind, x.user = isChange, string(r.Change.User)
	case r.Asked != nil:
		x.kind, x.user, x.attempt = isAsked, string(r.Asked.Attempt.User), attemptKey(r.Asked.Attempt.ID)
	}
	return x
}

func recordTime(r mfa.Record) time.Time {
	switch {
	case r.Attempt != nil:
		return r.Attempt.Time
	case r.Settled != nil:
		return r.Settled.Time
	case r.Change != nil:
		return r.Change.Time
	case r.Asked != nil:
		return r.Asked.Attempt.Time
	}
	return r.Act.Time
}

// stamp returns Unix nanoseconds, or an end of the range for times that have none.
func stamp(t time.Time) int64 {
	const seconds = math.MaxInt64 / int64(time.Second)
	switch s := t.Unix(); {
	case s >= seconds:
		return math.MaxInt64
	case s <= -seconds:
		return math.MinInt64
	}
	return t.UnixNano()
}

// attemptKey is the beginning of an attempt id.
func attemptKey(a mfa.AttemptID) any {
	if a == (mfa.AttemptID{}) {
		return nil
	}
	return int64(binary.BigEndian.Uint64(a[:8]))
}

func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
