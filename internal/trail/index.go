package trail

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/url"
	"os"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	indexName    = "index.sqlite"
	indexVersion = 3

	indexBatch  = 500                    // lines in one transaction
	indexPause  = 50 * time.Millisecond  // at least, between two of them
	indexRest   = 19                     // pauses are this often as long as the work before
	indexStorm  = 4                      // times what the index can follow: a storm of sign-ins
	indexYield  = 10                     // times a pause: what it waits for its end at most
	indexRetry  = 5 * time.Second        // after an error, if nobody asks
	indexBreath = 250 * time.Millisecond // after an error in any case
	indexFar    = 20_000                 // lines behind the trail: the log says how it catches up
	indexTell   = 10 * time.Second       // how often it does
	indexLarge  = 10_000                 // lines in one transaction meanwhile: its pages are written once
	indexCache  = 64 << 10               // KiB of the database in memory meanwhile; attempts have random ids, so most of an index is touched

	sqliteCorrupt = 11 // result codes of SQLite
	sqliteNotADB  = 26
)

const indexSchema = `
CREATE TABLE state (seq INTEGER, hash BLOB, segment INTEGER, off INTEGER);
INSERT INTO state VALUES (0, x'', 0, 0);
CREATE TABLE records (seq INTEGER PRIMARY KEY, kind INTEGER, time INTEGER, user TEXT, login TEXT, application TEXT,
	reason INTEGER, verdict INTEGER, attempt INTEGER, segment INTEGER, off INTEGER, len INTEGER, method TEXT, degraded INTEGER);
CREATE INDEX by_user ON records (user, kind, seq) WHERE user IS NOT NULL;
CREATE INDEX by_login ON records (login, seq) WHERE login IS NOT NULL;
CREATE INDEX by_attempt ON records (attempt) WHERE attempt IS NOT NULL;
CREATE INDEX by_application ON records (application, seq) WHERE kind = 1 AND application IS NOT NULL;
CREATE INDEX by_method ON records (method, seq) WHERE kind = 1 AND method IS NOT NULL;
CREATE INDEX refused ON records (seq) WHERE kind = 1 AND verdict <> 1;
CREATE INDEX refusals ON records (reason, seq) WHERE kind = 1 AND verdict <> 1;
CREATE INDEX passes ON records (reason, seq) WHERE kind = 1 AND verdict = 1 AND reason <> 1;
CREATE INDEX acts ON records (seq) WHERE kind = 2;
CREATE TABLE blocks (first INTEGER PRIMARY KEY, last INTEGER, oldest INTEGER, newest INTEGER);
CREATE TABLE tally (span INTEGER, start INTEGER, application TEXT, method TEXT, reason INTEGER, verdict INTEGER, degraded INTEGER, n INTEGER,
	PRIMARY KEY (span, start, application, method, reason, verdict, degraded)) WITHOUT ROWID;
PRAGMA user_version = 3;`

// Index answers questions about a trail from an SQLite database beside it. It holds
// nothing of its own: it is made from the trail, follows behind it, and is made anew if
// it is missing, damaged or of another trail. The records themselves are read from the
// trail.
type Index struct {
	t    *Trail
	path string
	db   *sql.DB // replaced by Run under mu

	mu     sync.Mutex
	done   uint64        // lines up to this one are indexed
	want   uint64        // a query waits for this one
	moved  chan struct{} // closed when done or err changes; nil if nobody waits
	err    error         // why it does not move
	closed bool
	hurry  chan struct{} // a query waits; capacity 1

	r     *reader // Run's own
	at    place
	block block
	far   catchingUp
}

// catchingUp is what the log was told of an index that is far behind. The zero value: it is not.
type catchingUp struct {
	began, told time.Time
	from        uint64 // the line that it stood at
}

// place is where the index stands: behind a line that begins at off.
type place struct {
	pos Position
	off int64
}

// OpenIndex opens the index of t in its folder, or an empty one. Run fills it.
func OpenIndex(t *Trail) (*Index, error) {
	x := &Index{t: t, path: join(t.opt.Dir, indexName), hurry: make(chan struct{}, 1)}
	if err := x.open(); err != nil {
		t.opt.Log.Warn("trail: the index is made anew", "file", x.path, "error", err)
		if err := x.renew(); err != nil {
			return nil, fmt.Errorf("trail: index %s: %w", x.path, err)
		}
	}
	return x, nil
}

// open opens the database and finds its place on the trail.
func (x *Index) open() error {
	f, err := os.OpenFile(x.path, os.O_RDWR|os.O_CREATE, 0o600) // SQLite gives its other files the same mode
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return err
	}
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(x.path), RawQuery: "_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return err
	}
	if err = x.load(db); err != nil {
		return errors.Join(err, db.Close())
	}
	x.mu.Lock()
	x.db = db
	x.mu.Unlock()
	x.publish(x.at.pos.Seq, nil)
	return nil
}

func (x *Index) load(db *sql.DB) error {
	var version int
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	switch version {
	case 0:
		if _, err := db.Exec(indexSchema); err != nil {
			return err
		}
	case indexVersion:
	default:
		return fmt.Errorf("version %d of the index is not ours", version)
	}
	var hash []byte
	x.at, x.block = place{}, block{}
	if err := db.QueryRow("SELECT seq, hash, segment, off FROM state").Scan(&x.at.pos.Seq, &hash, &x.at.pos.Segment, &x.at.off); err != nil {
		return err
	}
	if copy(x.at.pos.Hash[:], hash) != len(Hash{}) && x.at.pos.Seq != 0 {
		return errors.New("the index does not know where it stands")
	}
	err := db.QueryRow("SELECT first, last, oldest, newest FROM blocks ORDER BY first DESC LIMIT 1").Scan(&x.block.first, &x.block.last, &x.block.oldest, &x.block.newest)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return x.locate()
}

// locate makes the reader that goes on from the index's place.
func (x *Index) locate() (err error) {
	o := x.t.opt
	if x.at.pos.Seq == 0 {
		x.r = &reader{fs: o.FS, dir: o.Dir}
		return nil
	}
	if head := x.t.Head(); x.at.pos.Seq > head.Seq {
		return errPosition
	}
	f, err := o.FS.Open(join(o.Dir, segmentName(x.at.pos.Segment)), false)
	if errors.Is(err, fs.ErrNotExist) {
		return errPosition
	}
	if err != nil {
		return err
	}
	raw, err := newScanner(f, x.at.off, x.at.off+maxLine).next()
	if err == nil {
		var l line
		if l, err = parseLine(raw.bytes); err == nil && (l.seq != x.at.pos.Seq || l.hash != x.at.pos.Hash) {
			err = errPosition
		}
	}
	if err != nil {
		return errors.Join(errPosition, err, f.Close())
	}
	x.r = &reader{fs: o.FS, dir: o.Dir, chain: at(x.at.pos), segment: x.at.pos.Segment, f: f, off: raw.end}
	return nil
}

// renew throws the database away and begins an empty one.
func (x *Index) renew() error {
	if err := x.close(); err != nil {
		x.t.opt.Log.Debug("trail: closing a broken index", "error", err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(x.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return x.open()
}

func (x *Index) close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var err error
	if x.r != nil {
		err = x.r.close()
	}
	if x.db != nil {
		err = errors.Join(err, x.db.Close())
	}
	x.db, x.r = nil, nil
	return err
}

// Run keeps the index behind the trail until ctx is done, and closes it. It takes at
// most a twentieth of a processor's time unless a query waits, less in a storm of sign-ins, and it never
// holds the trail up: if it lags it catches up by reading. Errors are logged and tried again.
func (x *Index) Run(ctx context.Context) error {
	logged := uint64(math.MaxUint64) // where the index stood when an error was logged
	for {
		err := x.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		if stood := x.at.pos.Seq; stood != logged {
			x.t.opt.Log.Error("trail: the index does not follow the trail; trying again", "file", x.path, "stands_at", stood, "error", err)
			logged = stood
		}
		x.publish(0, err)
		wait(ctx, nil, indexBreath)
		wait(ctx, x.hurry, indexRetry) // whoever asks need not wait for that: there may be room on the disk again
		if err := x.reopen(err); err != nil {
			x.t.opt.Log.Error("trail: the index cannot be opened", "file", x.path, "error", err)
		}
	}
	x.mu.Lock()
	x.closed = true
	x.mu.Unlock()
	x.publish(0, ErrClosed)
	return x.close()
}

// reopen opens the index after an error, and makes it anew if it is damaged.
func (x *Index) reopen(after error) error {
	var code interface{ Code() int } // of the driver's error
	if !errors.As(after, &code) || (code.Code()&0xff != sqliteCorrupt && code.Code()&0xff != sqliteNotADB) {
		if err := x.close(); err != nil {
			return err
		}
		if x.open() == nil {
			return nil
		}
	}
	return x.renew()
}

// follow indexes batch after batch.
func (x *Index) follow(ctx context.Context) error {
	if x.db == nil {
		return errors.New("the index is not open")
	}
	for {
		m, head, moved := x.t.durable(true)
		if x.at.pos.Seq >= head.Seq {
			select {
			case <-moved:
			case <-x.hurry:
				continue
			case <-ctx.Done():
				return nil
			}
			if !wait(ctx, x.hurry, indexPause) { // let a batch come together
				continue
			}
			m, _, _ = x.t.durable(false)
		}
		began, from := time.Now(), x.at.pos.Seq
		x.tell(head.Seq, began)
		more, err := x.batch(m)
		if err != nil {
			return err
		}
		if more && !x.awaited() {
			x.rest(ctx, time.Since(began), x.at.pos.Seq-from)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// rest pauses after a batch of so many lines that took so long, and goes on as long as the trail
// grows far faster than the index can follow: it would fall behind all the same, and the
// sign-ins of a storm need the processor. A query ends it.
func (x *Index) rest(ctx context.Context, took time.Duration, lines uint64) {
	pause := max(indexPause, indexRest*took)
	wait(ctx, x.hurry, pause)
	storm := indexStorm * float64(lines) * float64(indexPause) / float64(pause)
	for left := indexYield * pause; left > 0 && !x.awaited() && ctx.Err() == nil; left -= indexPause {
		_, before, _ := x.t.durable(false)
		wait(ctx, x.hurry, indexPause)
		if _, now, _ := x.t.durable(false); float64(now.Seq-before.Seq) <= storm {
			return
		}
	}
}

// tell logs how an index that is far behind the trail comes up to it: one that is made anew, or of a
// server that was restored.
func (x *Index) tell(head uint64, now time.Time) {
	log, at := x.t.opt.Log.With("file", x.path), x.at.pos.Seq
	switch left := head - at; {
	case x.far.began.IsZero() && left < indexFar:
	case x.far.began.IsZero():
		x.far = catchingUp{began: now, told: now, from: at}
		log.Info("trail: the index is far behind the trail and catches up; lists of sign-ins and reports wait for it, sign-ins do not", "records", left)
	case left <= indexBatch:
		log.Info("trail: the index has caught up", "records", head-x.far.from, "took", now.Sub(x.far.began).Round(time.Millisecond))
		x.far = catchingUp{}
		x.db.SetMaxIdleConns(0) // the large cache goes with its connection
		x.db.SetMaxIdleConns(2)
	case now.Sub(x.far.told) >= indexTell:
		done, pace := at-x.far.from, now.Sub(x.far.began)
		log.Info("trail: the index catches up", "done", done, "left", left, "ready_in", (time.Duration(float64(pace) * float64(left) / float64(max(done, 1)))).Round(time.Second))
		x.far.told = now
	}
}

// wait returns false if ctx was done before d had passed. hurry cuts it short.
func wait(ctx context.Context, hurry <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-hurry:
	case <-ctx.Done():
		return false
	}
	return true
}

// awaited reports whether a query waits for more than is indexed.
func (x *Index) awaited() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.want > x.done
}

// publish tells how far the index is, or why it is not (0: as far as before).
func (x *Index) publish(done uint64, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
	if err == nil {
		x.done = done
	}
	if x.moved != nil {
		close(x.moved)
		x.moved = nil
	}
}

// current waits until what is on the trail now is indexed, and returns the database.
func (x *Index) current(ctx context.Context) (*sql.DB, error) {
	head := x.t.Head().Seq
	for {
		x.mu.Lock()
		if x.closed {
			x.mu.Unlock()
			return nil, ErrClosed
		}
		if x.done >= head && x.err == nil {
			db := x.db
			x.mu.Unlock()
			return db, nil
		}
		x.want = max(x.want, head)
		if x.moved == nil {
			x.moved = make(chan struct{})
		}
		moved, done, last := x.moved, x.done, x.err
		x.mu.Unlock()
		select {
		case x.hurry <- struct{}{}:
		default:
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("trail: the index stands at record %d of %d and catches up; ask again: %w", done, head, context.Cause(ctx)), last)
		}
	}
}
