package authn

import (
	"container/heap"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// openMax bounds the challenges that are watched, some 500 bytes each; beyond it the newest
// are not recorded as unanswered, unless the server is started again before they are over.
const openMax = 100_000

// unanswered watches the challenges of this server, so that one that nobody answers
// leaves a record too: a right password without a code is what a stolen password looks like.
type unanswered struct {
	mu    sync.Mutex
	byID  map[mfa.AttemptID]mfa.Asked
	order endings // may name answered ones, and those asked again with an earlier end
	wake  chan struct{}
}

// ending is when a challenge is over. Not in the order of asking: the policy changes, and a
// wrong answer is asked again.
type ending struct {
	at time.Time
	id mfa.AttemptID
}

// endings is a heap, the soonest on top.
type endings []ending

func (e endings) Len() int           { return len(e) }
func (e endings) Less(i, j int) bool { return e[i].at.Before(e[j].at) }
func (e endings) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *endings) Push(x any)        { *e = append(*e, x.(ending)) }
func (e *endings) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (u *unanswered) add(a mfa.Asked) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byID == nil {
		u.byID = make(map[mfa.AttemptID]mfa.Asked)
	}
	if len(u.byID) >= openMax {
		return
	}
	u.byID[a.Attempt.ID] = a
	heap.Push(&u.order, ending{a.Until, a.Attempt.ID})
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

func (u *unanswered) remove(id mfa.AttemptID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.byID, id)
}

// expired takes out those whose time is over at now, and says when the next one's will be.
func (u *unanswered) expired(now time.Time) (due []mfa.Asked, next time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.order) > 0 {
		first := u.order[0]
		a, open := u.byID[first.id]
		open = open && !a.Until.After(first.at) // else answered, or asked again meanwhile
		if open && now.Before(first.at) {
			return due, first.at
		}
		if open {
			due = append(due, a)
			delete(u.byID, first.id)
		}
		heap.Pop(&u.order)
	}
	u.order = nil
	return due, time.Time{}
}

// Resume watches challenges that an earlier run of this server asked and that have no
// verdict in its trail, soonest over first. It is called before Run.
func (e *Engine) Resume(open []mfa.Asked) {
	for _, a := range open {
		e.open.add(a)
	}
}

// together is how many unanswered challenges are recorded in one append.
const together = 256

// Run records the challenges that nobody answered, until ctx is done.
func (e *Engine) Run(ctx context.Context) error {
	for {
		due, next := e.open.expired(e.Now())
		for some := range slices.Chunk(due, together) {
			if err := e.recordUnanswered(ctx, some); err != nil {
				return err
			}
		}
		var timer <-chan time.Time
		if !next.IsZero() {
			timer = time.After(next.Sub(e.Now()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-timer:
		case <-e.open.wake:
		}
	}
}

func (e *Engine) recordUnanswered(ctx context.Context, over []mfa.Asked) error {
	var records []mfa.Record
	for _, a := range over {
		if e.answeredElsewhere(ctx, a) {
			continue
		}
		v := a.Attempt
		v.Time, v.Verdict, v.Reason = e.Now(), mfa.Reject, e.silence(ctx, a)
		v.Duration += v.Time.Sub(a.Attempt.Time)
		if v.Reason == mfa.WrongNumber {
			records = append(records, e.countGuess(ctx, a)...)
		}
		records = append(records, mfa.Record{Attempt: &v})
	}
	if err := e.append(ctx, records); err != nil {
		return err
	}
	if e.Observe != nil {
		for _, r := range records {
			e.Observe(r.Attempt)
		}
	}
	return nil
}

// countGuess counts a number that was guessed, on a device or in a call, for a client that never
// came back: no guess is free. It spends the challenge, so that it counts once. What cannot be
// counted without a master is in the log.
func (e *Engine) countGuess(ctx context.Context, asked mfa.Asked) []mfa.Record {
	a := &attempt{id: asked.Attempt.ID, begun: asked.Attempt.Time, set: e.Settings(), method: asked.Attempt.Method}
	_, err := io.ReadFull(e.Random, a.Leg[:])
	if err == nil {
		a.acct, err = e.Store.Standing(ctx, asked.Attempt.User, false)
	}
	if err == nil {
		_, _, err = e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
			if acct.Record.Spent(asked.Nonce) {
				return settlement.Change{}, nil, mfa.ChallengeReplayed
			}
			return settlement.Change{Reason: mfa.WrongNumber, Nonce: settlement.Nonce{ID: asked.Nonce, Until: e.Now().Add(e.Settings().Wait.Duration())}, Fail: true}, nil, nil
		})
	}
	if err != nil && !errors.Is(err, mfa.ChallengeReplayed) {
		e.Log.Error("a wrong number that a user typed on a device or a telephone is not counted", "attempt", a.id, "user", asked.Attempt.User, "err", err)
	}
	return a.ledger
}

// silence is why nobody has answered, as far as that can be known.
func (e *Engine) silence(ctx context.Context, a mfa.Asked) mfa.Reason {
	if f, ok := e.methods[a.Attempt.Method].(Follower); ok {
		if why := f.Fate(ctx, a.State); why != mfa.ReasonNone {
			return why
		}
	}
	if why := e.said(ctx, a); why != mfa.ReasonNone {
		return why
	}
	return mfa.ChallengeUnanswered
}

// said is why the user, asked on a device or by telephone, did not let the attempt through, or was
// not reached, although its client never came back to be told.
func (e *Engine) said(ctx context.Context, a mfa.Asked) mfa.Reason {
	id, _, ok := waitOf(mfa.Handle{State: a.State})
	if _, waits := e.methods[a.Attempt.Method].(Waiter); !waits || !ok {
		return mfa.ReasonNone
	}
	w, err := e.Waits.Wait(ctx, a.Attempt.User, id, false)
	if err != nil || w.Token() != a.Nonce || w.Answer.Reason.Accepts() { // approved: nobody has taken it, so nobody was let in
		return mfa.ReasonNone
	}
	return w.Answer.Reason
}

// answeredElsewhere reports whether the attempt was finished by another server, or settled by
// this one and never recorded, which the start does.
func (e *Engine) answeredElsewhere(ctx context.Context, a mfa.Asked) bool {
	acct, err := e.Store.Standing(ctx, a.Attempt.User, false)
	return err == nil && (acct.Record.Spent(a.Nonce) ||
		slices.ContainsFunc(acct.Record.Legs, func(l settlement.Leg) bool {
			return l.Attempt == a.Attempt.ID && l.Time.After(a.Attempt.Time) // not the wrong answer that was followed by this challenge
		}))
}
