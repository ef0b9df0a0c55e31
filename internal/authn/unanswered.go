package authn

import (
	"context"
	"sync"
	"time"

	"countersign/internal/mfa"
)

// openMax bounds the challenges that are watched; beyond it the oldest are simply not
// recorded as unanswered.
const openMax = 100_000

// unanswered watches the challenges of this server, so that one that nobody answers
// leaves a record too: a right password without a code is what a stolen password looks like.
type unanswered struct {
	mu    sync.Mutex
	byID  map[mfa.AttemptID]waiting
	order []mfa.AttemptID // by expiry, oldest first; may name answered ones
	wake  chan struct{}
}

type waiting struct {
	expires time.Time
	handle  []byte
	verdict *mfa.Attempt
}

func (u *unanswered) add(expires time.Time, handle []byte, v *mfa.Attempt) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byID == nil {
		u.byID = make(map[mfa.AttemptID]waiting)
	}
	if len(u.byID) >= openMax {
		return
	}
	u.byID[v.ID] = waiting{expires: expires, handle: handle, verdict: v}
	u.order = append(u.order, v.ID)
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
func (u *unanswered) expired(now time.Time) (due []waiting, next time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.order) > 0 {
		w, ok := u.byID[u.order[0]]
		if ok && now.Before(w.expires) {
			return due, w.expires
		}
		if ok {
			due = append(due, w)
			delete(u.byID, u.order[0])
		}
		u.order = u.order[1:]
	}
	u.order = nil
	return due, time.Time{}
}

// Run records the challenges that nobody answered, until ctx is done.
func (e *Engine) Run(ctx context.Context) error {
	for {
		due, next := e.open.expired(e.Now())
		for _, w := range due {
			if e.answeredElsewhere(ctx, w) {
				continue
			}
			v := *w.verdict
			v.Time, v.Verdict, v.Reason = e.Now(), mfa.Reject, mfa.ChallengeUnanswered
			v.Duration = v.Time.Sub(w.verdict.Time) + w.verdict.Duration
			if err := e.append(ctx, []mfa.Record{{Attempt: &v}}); err != nil {
				return err
			}
			if e.Observe != nil {
				e.Observe(&v)
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

// answeredElsewhere reports whether another server finished the attempt.
func (e *Engine) answeredElsewhere(ctx context.Context, w waiting) bool {
	h, err := e.Handles.Open(w.handle)
	if err != nil {
		return false
	}
	acct, err := e.Store.Account(ctx, h.User, false)
	return err == nil && acct.Record.Spent(h.Nonce)
}
