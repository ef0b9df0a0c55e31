package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// waitRecord is q/USER/ID: a question that waits for an answer by another way.
type waitRecord struct {
	V       int              `json:"v"`
	Nonce   []byte           `json:"nonce"`
	Method  mfa.MethodID     `json:"method"`
	Attempt mfa.AttemptID    `json:"attempt"`
	Leg     mfa.LegID        `json:"leg"`
	Server  string           `json:"server"`
	Asked   time.Time        `json:"asked"`
	Expires time.Time        `json:"expires"`
	Until   time.Time        `json:"until"`
	Epoch   uint64           `json:"epoch"`
	Reason  string           `json:"reason,omitempty"`
	Cred    mfa.CredentialID `json:"credential,omitempty"`
	At      time.Time        `json:"at,omitzero"`
	Missed  bool             `json:"unreached,omitempty"`
	Left    bool             `json:"left,omitempty"`
	PIN     bool             `json:"pin,omitempty"`
	Typed   bool             `json:"pin_typed,omitempty"`
	Sealed  []byte           `json:"sealed"`
}

// waitSecrets is the sealed part.
type waitSecrets struct {
	Application string `json:"application"`
	Number      string `json:"number,omitempty"`
	Source      string `json:"source,omitempty"`
	Place       string `json:"place,omitempty"`
	Text        string `json:"text,omitempty"`
	Session     string `json:"session,omitempty"`
}

// waiting is what a server knows of waits besides the view: those that it keeps alone while the
// group has no master, by key, and who wants to be woken by a user's. The zero value is ready.
type waiting struct {
	mu    sync.Mutex
	alone map[string]mfa.Wait
	wake  map[mfa.UserID]chan struct{}
}

const waitIDLength = 26

func waitKey(user mfa.UserID, id mfa.WaitID) (string, error) {
	if _, ok := parseID(user); !ok {
		return "", badID("user", string(user))
	}
	if len(id) == waitIDLength {
		if _, err := idEncoding.DecodeString(string(id)); err == nil {
			return prefixWait + string(user) + "/" + string(id), nil
		}
	}
	return "", fmt.Errorf("wait id: want %d characters of a-z and 2-7: %w", waitIDLength, mfa.ErrInvalid)
}

func (s *Store) sealWait(key string, w mfa.Wait) (waitRecord, error) {
	plain := format(waitSecrets{w.Application, w.Number, w.Source, w.Place, w.Text, w.Session})
	sealed, err := s.ring.Seal("wait", strings.TrimPrefix(key, prefixWait), key, plain)
	r := waitRecord{V: schema, Nonce: w.Nonce[:], Method: w.Method, Attempt: w.Attempt, Leg: w.Leg, Server: w.Server, Asked: w.Asked.UTC(),
		Expires: w.Expires.UTC(), Until: w.Until.UTC(), Epoch: w.Epoch, Cred: w.Answer.Credential, Missed: w.Answer.Unreached, Left: w.Left, PIN: w.PIN, Typed: w.Answer.PIN, Sealed: sealed}
	if w.Answer.Reason != mfa.ReasonNone {
		r.Reason, r.At = w.Answer.Reason.String(), w.Answer.At.UTC()
	}
	return r, err
}

func (s *Store) parseWait(key string, b []byte) (w mfa.Wait, err error) {
	var r waitRecord
	if err := parse(key, b, &r, &r.V); err != nil {
		return w, err
	}
	rest := strings.TrimPrefix(key, prefixWait)
	plain, err := s.ring.Open("wait", rest, key, r.Sealed)
	if err != nil {
		return w, fmt.Errorf("record %s: %w", key, err)
	}
	var p waitSecrets
	if err := json.Unmarshal(plain.Expose(), &p); err != nil || len(r.Nonce) != len(w.Nonce) {
		return w, fmt.Errorf("record %s: it does not read as a wait", key)
	}
	user, id, _ := strings.Cut(rest, "/")
	w = mfa.Wait{ID: mfa.WaitID(id), User: mfa.UserID(user), Nonce: [16]byte(r.Nonce), Method: r.Method, Attempt: r.Attempt, Application: p.Application,
		Leg: r.Leg, Number: p.Number, Source: p.Source, Place: p.Place, Text: p.Text, Session: p.Session, Left: r.Left, PIN: r.PIN, Server: r.Server, Asked: r.Asked, Expires: r.Expires, Until: r.Until, Epoch: r.Epoch}
	if r.Reason != "" {
		w.Answer = mfa.WaitAnswer{Credential: r.Cred, At: r.At, PIN: r.Typed, Unreached: r.Missed}
		if err := w.Answer.Reason.UnmarshalText([]byte(r.Reason)); err != nil {
			return w, fmt.Errorf("record %s: %w", key, err)
		}
	}
	return w, nil
}

// OpenWait writes w, unless one of its id is there that join takes: then that one stays, as join
// returns it. It returns the one that stands, and whether that is w. join may be called more
// than once. Without a master this server keeps it by itself.
func (s *Store) OpenWait(ctx context.Context, w mfa.Wait, join func(there mfa.Wait) (mfa.Wait, bool)) (got mfa.Wait, opened bool, err error) {
	err = s.changeWait(ctx, w.User, w.ID, func(there mfa.Wait, known bool) (mfa.Wait, bool, error) {
		if known {
			if joined, ok := join(there); ok {
				got, opened = joined, false
				return joined, joined != there, nil
			}
		}
		got, opened = w, true
		return w, true, nil
	})
	return got, opened, err
}

// AnswerWait gives a wait, which must still have that nonce, an answer as mfa.Wait.After has it.
// It returns the wait as it stands then and whether a is its answer. The error wraps
// mfa.ErrNotFound if there is none. Without a master this server keeps it by itself.
func (s *Store) AnswerWait(ctx context.Context, user mfa.UserID, id mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (got mfa.Wait, taken bool, err error) {
	err = s.changeWait(ctx, user, id, func(there mfa.Wait, known bool) (mfa.Wait, bool, error) {
		if !known || there.Nonce != nonce {
			return there, false, fmt.Errorf("wait %s: %w", id, mfa.ErrNotFound)
		}
		if had := there.Answer; had.Reason == a.Reason && had.Credential == a.Credential && had.PIN == a.PIN && had.At.Equal(a.At) { // of a write whose outcome was open
			got, taken = there, true
			return there, false, nil
		}
		got, taken = there.After(a)
		return got, taken, nil
	})
	return got, taken, err
}

// HoldWait says whether the client of a wait's newest leg still waits, if that is leg.
func (s *Store) HoldWait(ctx context.Context, w mfa.Wait, leg mfa.LegID, left bool) error {
	return s.changeWait(ctx, w.User, w.ID, func(there mfa.Wait, known bool) (mfa.Wait, bool, error) {
		if !known || there.Nonce != w.Nonce || there.Leg != leg || there.Left == left {
			return there, false, nil
		}
		there.Left = left
		return there, true, nil
	})
}

// changeWait has change make what is to be there of what is there, and whether that has to be
// written; it may be called more than once.
func (s *Store) changeWait(ctx context.Context, user mfa.UserID, id mfa.WaitID, change func(there mfa.Wait, known bool) (mfa.Wait, bool, error)) error {
	key, err := waitKey(user, id)
	if err != nil {
		return err
	}
	alone, kept := s.waitAlone(key)
	if _, contact := s.Contact(); contact {
		err = s.write(ctx, func(ctx context.Context, t *tx) error {
			var there mfa.Wait
			known := false
			b, err := t.get(ctx, key)
			if err == nil && b != nil {
				there, err = s.parseWait(key, b)
				known = err == nil
			}
			if err != nil {
				return err
			}
			if kept {
				there, known = united(there, known, alone), true
			}
			next, put, err := change(there, known)
			if err != nil || !put {
				return err
			}
			r, err := s.sealWait(key, next)
			if err == nil {
				t.put(key, r)
			}
			return err
		})
		if !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrUnknownOutcome) {
			return err
		}
		if _, contact := s.Contact(); contact {
			return err
		}
	}
	return s.changeWaitAlone(ctx, key, user, id, change)
}

func (s *Store) changeWaitAlone(ctx context.Context, key string, user mfa.UserID, id mfa.WaitID, change func(mfa.Wait, bool) (mfa.Wait, bool, error)) error {
	if s.Behind() {
		return errBehind
	}
	there, err := s.Wait(ctx, user, id, false)
	if err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return err
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	known := err == nil
	if mine, ok := s.waits.alone[key]; ok { // changed since
		there, known = united(there, known, mine), true
	}
	next, put, err := change(there, known)
	if err != nil || !put {
		return err
	}
	if s.waits.alone == nil {
		s.waits.alone = map[string]mfa.Wait{}
	}
	s.waits.alone[key] = next
	s.wakeLocked(user)
	return nil
}

func (s *Store) waitAlone(key string) (mfa.Wait, bool) {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	w, ok := s.waits.alone[key]
	return w, ok
}

// united is what the database and this server, which was alone, know of one wait together.
func united(there mfa.Wait, known bool, alone mfa.Wait) mfa.Wait {
	switch {
	case !known || there.Nonce != alone.Nonce && alone.Asked.After(there.Asked):
		return alone
	case there.Nonce == alone.Nonce && alone.Answer.Reason != mfa.ReasonNone:
		there, _ = there.After(alone.Answer)
	}
	return there
}

// Wait returns one wait as the local copy has it, with fresh as the master has it if there is
// one; with what this server has kept alone. The error wraps mfa.ErrNotFound if there is none.
func (s *Store) Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (w mfa.Wait, err error) {
	key, err := waitKey(user, id)
	if err != nil {
		return w, err
	}
	if _, contact := s.Contact(); fresh && contact {
		b, rev, err := s.kv.Get(ctx, key)
		if err == nil {
			s.view.learn(change{key, b, rev})
		} else if !errors.Is(err, mfa.ErrUnavailable) {
			return w, fmt.Errorf("read wait %s at the master: %w", id, err)
		}
	}
	for _, r := range s.view.waits(user) {
		if r.id == string(id) {
			if w, err = s.parseWait(key, r.value); err != nil {
				return w, err
			}
			if alone, ok := s.waitAlone(key); ok {
				w = united(w, true, alone)
			}
			return w, nil
		}
	}
	if alone, ok := s.waitAlone(key); ok {
		return alone, nil
	}
	return w, fmt.Errorf("wait %s: %w", id, mfa.ErrNotFound)
}

// Waits returns the waits of a user that are in the local copy or kept here alone, oldest first.
func (s *Store) Waits(user mfa.UserID) (list []mfa.Wait) {
	seen := map[string]bool{}
	for _, r := range s.view.waits(user) {
		key := prefixWait + string(user) + "/" + r.id
		seen[key] = true
		w, err := s.parseWait(key, r.value)
		if err != nil {
			s.o.Log.Error("a record in the database cannot be used", "key", key, "error", err)
			continue
		}
		if alone, ok := s.waitAlone(key); ok {
			w = united(w, true, alone)
		}
		list = append(list, w)
	}
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	for key, w := range s.waits.alone {
		if w.User == user && !seen[key] {
			list = append(list, w)
		}
	}
	slices.SortFunc(list, func(a, b mfa.Wait) int { return a.Asked.Compare(b.Asked) })
	return list
}

// WaitChange returns a channel that is closed when one of the user's waits has changed here.
func (s *Store) WaitChange(user mfa.UserID) <-chan struct{} {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	c := s.waits.wake[user]
	if c == nil {
		c = make(chan struct{})
		if s.waits.wake == nil {
			s.waits.wake = map[mfa.UserID]chan struct{}{}
		}
		s.waits.wake[user] = c
	}
	return c
}

// woken is told by the view of a key of a wait that has changed; "": of any.
func (s *Store) woken(key string) {
	s.waits.mu.Lock()
	defer s.waits.mu.Unlock()
	if key == "" {
		for user := range s.waits.wake {
			s.wakeLocked(user)
		}
		return
	}
	user, _, _ := strings.Cut(strings.TrimPrefix(key, prefixWait), "/")
	s.wakeLocked(mfa.UserID(user))
}

func (s *Store) wakeLocked(user mfa.UserID) {
	if c := s.waits.wake[user]; c != nil {
		close(c)
		delete(s.waits.wake, user)
	}
}

// mergeWaits brings into the database what this server has kept alone, now that there is a
// master again: a refusal has to be known everywhere.
func (s *Store) mergeWaits(ctx context.Context) error {
	s.waits.mu.Lock()
	kept := make(map[string]mfa.Wait, len(s.waits.alone))
	for key, w := range s.waits.alone {
		kept[key] = w
	}
	s.waits.mu.Unlock()
	for key, w := range kept {
		if s.now().Before(w.Until) {
			// changeWait unites the two; nothing else is to be changed
			if err := s.changeWait(ctx, w.User, w.ID, func(there mfa.Wait, known bool) (mfa.Wait, bool, error) { return there, known, nil }); err != nil {
				return fmt.Errorf("wait %s: %w", w.ID, err)
			}
		}
		s.waits.mu.Lock()
		if s.waits.alone[key] == w {
			delete(s.waits.alone, key)
		}
		s.waits.mu.Unlock()
	}
	return nil
}

// waitsKept is how long a wait is kept after its answer is told no longer.
const waitsKept = 2 * time.Minute

// sweepTogether is how many one commit deletes.
const sweepTogether = 32

// SweepWaits deletes waits that are over.
func (s *Store) SweepWaits(ctx context.Context) error {
	var old []string
	over := func(key string, b []byte) bool {
		var r waitRecord
		return parse(key, b, &r, &r.V) == nil && s.now().After(r.Until.Add(waitsKept))
	}
	if _, err := s.kv.Scan(ctx, prefixWait, func(key string, value []byte, _ int64) bool {
		if over(key, value) {
			old = append(old, key)
		}
		return true
	}); err != nil {
		return fmt.Errorf("read waits: %w", err)
	}
	for some := range slices.Chunk(old, sweepTogether) {
		if err := s.write(ctx, func(ctx context.Context, t *tx) error {
			for _, key := range some {
				b, err := t.get(ctx, key)
				if err != nil {
					return err
				}
				if b != nil && over(key, b) {
					t.del(key)
				}
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return nil
}
