package authn

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// userLocks serialise the legs of one user on this server: it saves conflicts at the
// conditional write and keeps parallel passwords behind one another. The zero value is ready.
type userLocks struct {
	mu    sync.Mutex
	held  map[mfa.UserID]*userLock
	spare []*userLock // nobody's, to be used again
}

type userLock struct {
	all  *userLocks
	id   mfa.UserID
	turn chan struct{} // holds one token while free
	refs int
}

// spareLocks bounds how many are kept to be used again.
const spareLocks = 256

// lock waits for the user's turn or the end of ctx. Call unlock on what it returns.
func (l *userLocks) lock(ctx context.Context, id mfa.UserID) (*userLock, error) {
	u := l.join(id)
	select {
	case <-u.turn: // the usual case
		return u, nil
	default:
	}
	select {
	case <-u.turn:
		return u, nil
	case <-ctx.Done():
		u.leave()
		return nil, ctx.Err()
	}
}

// join returns the user's lock, and counts who has it.
func (l *userLocks) join(id mfa.UserID) *userLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held == nil {
		l.held = make(map[mfa.UserID]*userLock)
	}
	u := l.held[id]
	if u == nil {
		if n := len(l.spare); n > 0 {
			u, l.spare = l.spare[n-1], l.spare[:n-1]
		} else {
			u = &userLock{all: l, turn: make(chan struct{}, 1)}
			u.turn <- struct{}{}
		}
		u.id = id
		l.held[id] = u
	}
	u.refs++
	return u
}

func (u *userLock) unlock() {
	u.turn <- struct{}{}
	u.leave()
}

// leave gives u up without its token, which is back by then if nobody else has u.
func (u *userLock) leave() {
	l := u.all
	l.mu.Lock()
	defer l.mu.Unlock()
	if u.refs--; u.refs == 0 {
		delete(l.held, u.id)
		if len(l.spare) < spareLocks {
			l.spare = append(l.spare, u)
		}
	}
}

// repeatKey is a keyed digest of an answer.
type repeatKey [16]byte

// repeatTime is how long a wrong answer is remembered.
const repeatTime = time.Minute

// sweepEvery is how often a full memory is looked through for room: a flood must not pay for
// itself with our time.
const sweepEvery = time.Second

// repeatMax bounds the memory: beyond it nothing more is remembered until some expire.
const repeatMax = 100_000

// repeats remembers wrong answers for a minute, so that a saved wrong password is
// counted once. Only keyed digests are kept, in memory, under a key of this process.
type repeats struct {
	macs  sync.Pool // of hash.Hash: HMAC under the key
	mu    sync.Mutex
	until map[repeatKey]time.Time
	swept time.Time
}

func (r *repeats) init(random io.Reader) {
	var k [32]byte
	if _, err := io.ReadFull(random, k[:]); err != nil {
		panic("authn: no randomness: " + err.Error())
	}
	key := secret.New(k[:])
	r.macs.New = func() any { return hmac.New(sha256.New, expose(key)) } // to key one costs as much as to use it
	r.until = make(map[repeatKey]time.Time)
}

// key digests an answer of one user that was compared with what compared stands for (see
// fold); another revision of the user is another key.
func (r *repeats) key(id mfa.UserID, rev int64, kind string, compared uint64, answer secret.Text) (k repeatKey) {
	m := r.macs.Get().(hash.Hash)
	m.Reset()
	var room [64]byte
	b := append(append(append(room[:0], id...), ' '), kind...)
	m.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(b, uint64(rev)), compared))
	m.Write(expose(answer))
	copy(k[:], m.Sum(room[:0]))
	r.macs.Put(m)
	return k
}

// fold adds a name and a number to a sum that stands for all that was added (FNV-1a, 64 bits).
func fold(sum uint64, name string, n uint64) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	if sum == 0 {
		sum = offset
	}
	for _, c := range []byte(name) {
		sum = (sum ^ uint64(c)) * prime
	}
	return (sum ^ n) * prime
}

func (r *repeats) seen(k repeatKey, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Before(r.until[k])
}

func (r *repeats) add(k repeatKey, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := now.Sub(r.swept).Abs(); since > repeatTime || len(r.until) >= repeatMax && since >= sweepEvery {
		for old, until := range r.until {
			if !now.Before(until) {
				delete(r.until, old)
			}
		}
		r.swept = now
	}
	if len(r.until) < repeatMax {
		r.until[k] = now.Add(repeatTime)
	}
}

// throttleMax bounds the number of sources remembered.
const throttleMax = 100_000

// throttle counts failures by source: limit in a minute fill it, and it drains at the
// same rate. The zero value is ready.
type throttle struct {
	mu    sync.Mutex
	level map[string]gauge
	swept time.Time
}

type gauge struct {
	failures float64
	at       time.Time
}

// drained returns what is left at now of a gauge that loses limit failures a minute.
func (g gauge) drained(limit int, now time.Time) float64 {
	return max(0, g.failures-now.Sub(g.at).Minutes()*float64(limit))
}

func (t *throttle) full(source string, limit int, now time.Time) bool {
	if source == "" {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	g, ok := t.level[source]
	return ok && g.drained(limit, now) >= float64(limit)-1+1e-9
}

func (t *throttle) count(source string, limit int, now time.Time) {
	if source == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.level == nil {
		t.level = make(map[string]gauge)
	}
	if _, known := t.level[source]; !known && len(t.level) >= throttleMax {
		if now.Sub(t.swept).Abs() < sweepEvery {
			return
		}
		t.swept = now
		for s, g := range t.level {
			if g.drained(limit, now) == 0 {
				delete(t.level, s)
			}
		}
		if len(t.level) >= throttleMax {
			return
		}
	}
	t.level[source] = gauge{failures: min(t.level[source].drained(limit, now)+1, float64(limit)), at: now}
}

// printable makes what a client sent fit for a record: at most 253 bytes, valid UTF-8,
// nothing that moves a terminal's cursor.
func printable(s string) string {
	if len(s) > 253 {
		s = s[:253]
	}
	clean := utf8.ValidString(s)
	for _, r := range s {
		clean = clean && unicode.IsPrint(r)
	}
	if clean {
		return s
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
