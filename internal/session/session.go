// Package session keeps people signed in whom the engine has let in: the life of a browser
// session from the token that is given out once to its end. It decides no sign-in.
package session

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// The limits of a session.
const (
	Idle        = 15 * time.Minute // without a request that a person made
	Absolute    = 10 * time.Hour
	SetupTime   = 15 * time.Minute // in all, of one that only sets up
	Fresh       = 5 * time.Minute  // how long a proof is enough for what is dangerous
	maxPerUser  = 16               // older ones end
	writeEvery  = 2 * time.Minute  // how old Seen gets before it is written down again
	purgeEvery  = 10 * time.Minute
	forgetAfter = 2 * time.Hour // beyond Absolute, how long an end is kept: clocks differ
	tokenLength = 52            // characters: 256 bits in base 32
)

// ErrNone says that a token opens no session, whatever the reason: to who shows it there is
// no more to say.
var ErrNone = errors.New("no session")

// Store is what this package needs of the database. Update is refused with mfa.ErrNotFound
// once a session has ended. Reads are local.
type Store interface {
	Sessions() []mfa.Session
	Session(id mfa.SessionID) (mfa.Session, error)
	CreateSession(ctx context.Context, n mfa.Session) error
	UpdateSession(ctx context.Context, id mfa.SessionID, change func(*mfa.Session) error) error
	RemoveSessions(ctx context.Context, ids ...mfa.SessionID) error
	// SessionsEnd is what ended the user's sessions last; CreateSession begins one after that.
	SessionsEnd(user mfa.UserID) (mfa.SessionsEnd, error)
	// EndSessions has e end sessions everywhere, and removes those in ids, which are some of them.
	EndSessions(ctx context.Context, e mfa.SessionsEnd, ids ...mfa.SessionID) error
	ForgetSessionsEnds(ctx context.Context, before time.Time) error
	Epoch() uint64
}

// Keeper keeps the sessions. All exported fields must be set; it is safe for concurrent use.
//
// Without a master a session begins and ends on this server alone, in its memory: somebody
// who wants to know what is wrong has to get in just then.
type Keeper struct {
	Server string
	Store  Store
	Now    func() time.Time
	Log    *slog.Logger

	mu    sync.Mutex
	here  map[mfa.SessionID]mfa.Session // begun while there was no master
	seen  map[mfa.SessionID]time.Time   // last request here
	ended map[mfa.SessionID]time.Time   // ended here without a master, until they expire
	owed  map[mfa.UserID]mfa.SessionID  // whose sessions ended here without a master, but for this one: the others are to hear of it
}

var encoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func idOf(token secret.Text) mfa.SessionID {
	d := sha256.Sum256(token.Expose())
	return mfa.SessionID(encoding.EncodeToString(d[:]))
}

// Begin begins a session of a user who has just proven themselves, and returns the token
// that only the browser keeps. Of n it heeds User, Application, Setup and
// Method.
func (k *Keeper) Begin(ctx context.Context, n mfa.Session) (secret.Text, mfa.Session, error) {
	var random [32]byte
	if _, err := rand.Read(random[:]); err != nil {
		return secret.Text{}, mfa.Session{}, err
	}
	token := secret.FromString(encoding.EncodeToString(random[:]))
	now := k.Now()
	n.ID, n.Server, n.Epoch = idOf(token), k.Server, k.Store.Epoch()
	n.Created, n.Seen, n.Proven, n.Expires = now, now, now, now.Add(Absolute)
	if n.Setup {
		n.Expires = now.Add(SetupTime)
	}
	if err := k.begin(ctx, n); err != nil {
		return secret.Text{}, mfa.Session{}, err
	}
	return token, n, nil
}

func (k *Keeper) begin(ctx context.Context, n mfa.Session) error {
	err := k.Store.CreateSession(ctx, n)
	if err == nil {
		return k.endOldest(ctx, n.User)
	}
	if !mayBeAlone(err) || n.Setup {
		return err
	}
	e, missing := k.Store.SessionsEnd(n.User)
	if missing != nil {
		return errors.Join(err, missing)
	}
	n.After = e.ID
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.here == nil {
		k.here = map[mfa.SessionID]mfa.Session{}
	}
	k.here[n.ID] = n
	return nil
}

// mayBeAlone reports whether err says that the database takes no writes now.
func mayBeAlone(err error) bool {
	return errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrReadOnly) || errors.Is(err, mfa.ErrUnknownOutcome) ||
		errors.Is(err, context.DeadlineExceeded)
}

// endOldest ends the sessions that a user has too many.
func (k *Keeper) endOldest(ctx context.Context, user mfa.UserID) error {
	var ids []mfa.SessionID
	for _, n := range k.Store.Sessions() {
		if n.User == user {
			ids = append(ids, n.ID)
		}
	}
	if len(ids) <= maxPerUser {
		return nil
	}
	return k.Store.RemoveSessions(ctx, ids[:len(ids)-maxPerUser]...)
}

// Check returns the session that the token opens, or ErrNone. It keeps none alive: that is
// Touch, once it is known that its user is still let in.
func (k *Keeper) Check(token secret.Text) (mfa.Session, error) {
	if token.Len() != tokenLength {
		return mfa.Session{}, ErrNone
	}
	n, err := k.find(idOf(token))
	if err != nil {
		return mfa.Session{}, err
	}
	if k.over(n, k.Now()) {
		return mfa.Session{}, ErrNone
	}
	e, err := k.Store.SessionsEnd(n.User)
	if err != nil {
		return mfa.Session{}, err
	}
	if e.Ended(n) {
		return mfa.Session{}, ErrNone
	}
	return n, nil
}

// find looks up a session. A fault of the database is not ErrNone.
func (k *Keeper) find(id mfa.SessionID) (mfa.Session, error) {
	k.mu.Lock()
	n, here := k.here[id]
	_, ended := k.ended[id]
	k.mu.Unlock()
	switch {
	case ended:
		return n, ErrNone
	case here:
		return n, nil
	}
	n, err := k.Store.Session(id)
	if errors.Is(err, mfa.ErrNotFound) {
		err = ErrNone
	}
	return n, err
}

// over reports whether a session is past one of its limits.
func (k *Keeper) over(n mfa.Session, now time.Time) bool {
	k.mu.Lock()
	seen := k.seen[n.ID]
	k.mu.Unlock()
	if n.Seen.After(seen) {
		seen = n.Seen
	}
	return !now.Before(n.Expires) || now.Sub(seen) >= Idle || n.Epoch != k.Store.Epoch()
}

// Touch keeps a session, as Check returned it, from becoming idle: a person made a request. It
// is noted in memory at once, in the database now and then.
func (k *Keeper) Touch(ctx context.Context, n mfa.Session) {
	now := k.Now()
	k.mu.Lock()
	if k.seen == nil {
		k.seen = map[mfa.SessionID]time.Time{}
	}
	k.seen[n.ID] = now
	_, here := k.here[n.ID]
	k.mu.Unlock()
	if here || now.Sub(n.Seen) < writeEvery {
		return
	}
	err := k.Store.UpdateSession(ctx, n.ID, func(s *mfa.Session) error {
		if now.After(s.Seen) {
			s.Seen = now
		}
		return nil
	})
	if err != nil && !mayBeAlone(err) && !errors.Is(err, mfa.ErrNotFound) {
		k.Log.Warn("a session could not be kept alive in the database; it ends earlier on other servers", "user", n.User, "error", err)
	}
}

// Renew replaces a session by a new one with a new token, after another proof of both
// factors, the second by m: what was proven before counts no more.
func (k *Keeper) Renew(ctx context.Context, old mfa.Session, m mfa.MethodID) (secret.Text, mfa.Session, error) {
	token, n, err := k.Begin(ctx, mfa.Session{User: old.User, Application: old.Application, Method: m})
	if err != nil {
		return token, n, err
	}
	return token, n, k.End(ctx, old.ID)
}

// Enrolled notes that a new factor was proven in a session. It is worth as much as if it had been
// begun by that; an older proof that is worth as much stays.
func (k *Keeper) Enrolled(ctx context.Context, id mfa.SessionID, m mfa.MethodID) error {
	raise := func(n *mfa.Session) error {
		if m.Assurance() > n.Method.Assurance() {
			n.Method = m
		}
		return nil
	}
	k.mu.Lock()
	if n, here := k.here[id]; here {
		defer k.mu.Unlock()
		_ = raise(&n)
		k.here[id] = n
		return nil
	}
	k.mu.Unlock()
	return k.Store.UpdateSession(ctx, id, raise)
}

// IsFresh reports whether both factors were proven lately enough for what is dangerous.
func (k *Keeper) IsFresh(n mfa.Session) bool {
	age := k.Now().Sub(n.Proven)
	return age >= 0 && age < Fresh
}

// End ends one session at once, here in any case.
func (k *Keeper) End(ctx context.Context, id mfa.SessionID) error {
	k.mu.Lock()
	_, here := k.here[id]
	delete(k.here, id)
	delete(k.seen, id)
	k.mu.Unlock()
	if here {
		return nil
	}
	err := k.Store.RemoveSessions(ctx, id)
	if err != nil {
		k.endHere(id)
	}
	if mayBeAlone(err) {
		k.Log.Warn("a session was ended on this server only: no master answers", "error", err)
		return nil
	}
	return err
}

// EndAll ends every session of a user but one ("" spares none), also those that began without a
// master at other servers, and reports how many of them are known here.
func (k *Keeper) EndAll(ctx context.Context, user mfa.UserID, but mfa.SessionID) (int, error) {
	var ids []mfa.SessionID
	for _, n := range k.Store.Sessions() {
		if n.User == user && n.ID != but {
			ids = append(ids, n.ID)
		}
	}
	k.mu.Lock()
	ended := len(ids)
	for id, n := range k.here {
		if n.User == user && id != but {
			delete(k.here, id)
			ended++
		}
	}
	k.mu.Unlock()
	err := k.Store.EndSessions(ctx, mfa.SessionsEnd{User: user, ID: mfa.NewID(rand.Reader), But: but, Time: k.Now()}, ids...)
	if err == nil {
		return ended, nil
	}
	k.endHere(ids...)
	if mayBeAlone(err) {
		k.owe(user, but)
		k.Log.Warn("sessions were ended on this server only: no master answers", "user", user, "error", err)
		return ended, nil
	}
	return 0, fmt.Errorf("end the sessions of user %s: %w", user, err)
}

// owe notes that the other servers are to hear that a user's sessions have ended.
func (k *Keeper) owe(user mfa.UserID, but mfa.SessionID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owed == nil {
		k.owed = map[mfa.UserID]mfa.SessionID{}
	}
	k.owed[user] = but
}

// pay tells them, if the master is back.
func (k *Keeper) pay(ctx context.Context) error {
	k.mu.Lock()
	owed := k.owed
	k.owed = nil // what ends while they are told is owed anew
	k.mu.Unlock()
	for user, but := range owed {
		if err := k.Store.EndSessions(ctx, mfa.SessionsEnd{User: user, ID: mfa.NewID(rand.Reader), But: but, Time: k.Now()}); err != nil {
			k.mu.Lock()
			defer k.mu.Unlock()
			maps.Copy(owed, k.owed) // the later word stands
			k.owed = owed
			return err
		}
		delete(owed, user)
	}
	return nil
}

// endHere ends sessions on this server, whatever the database has.
func (k *Keeper) endHere(ids ...mfa.SessionID) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended == nil {
		k.ended = map[mfa.SessionID]time.Time{}
	}
	for _, id := range ids {
		k.ended[id] = k.Now().Add(Absolute)
	}
}

// Of returns the sessions of a user that are open, oldest first.
func (k *Keeper) Of(user mfa.UserID) []mfa.Session {
	now := k.Now()
	e, err := k.Store.SessionsEnd(user)
	return slices.DeleteFunc(k.Store.Sessions(), func(n mfa.Session) bool { return n.User != user || k.over(n, now) || err != nil || e.Ended(n) })
}

// Run clears away what has expired, until ctx is done.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := k.Purge(ctx); err != nil && !mayBeAlone(err) && ctx.Err() == nil {
				k.Log.Warn("expired sessions could not be cleared away; they open nothing", "error", err)
			}
		}
	}
}

// Purge clears away what has expired. Another server may have seen a request since: a session
// goes when even that would be too long ago.
func (k *Keeper) Purge(ctx context.Context) error {
	now := k.Now()
	var ids []mfa.SessionID
	for _, n := range k.Store.Sessions() {
		if !now.Before(n.Expires) || now.Sub(n.Seen) >= Idle+writeEvery || n.Epoch != k.Store.Epoch() {
			ids = append(ids, n.ID)
		}
	}
	k.mu.Lock()
	for id, n := range k.here {
		if !now.Before(n.Expires) {
			delete(k.here, id)
		}
	}
	for id, t := range k.seen {
		if now.Sub(t) >= Idle {
			delete(k.seen, id)
		}
	}
	for id, t := range k.ended {
		if !now.Before(t) {
			delete(k.ended, id)
		} else {
			ids = append(ids, id) // the master may be back
		}
	}
	k.mu.Unlock()
	if err := k.pay(ctx); err != nil {
		return err
	}
	if len(ids) > 0 {
		if err := k.Store.RemoveSessions(ctx, ids...); err != nil {
			return err
		}
	}
	return k.Store.ForgetSessionsEnds(ctx, now.Add(-Absolute-forgetAfter))
}
