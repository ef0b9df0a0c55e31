package authn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// rounds bounds how often one leg is decided again because somebody else settled first.
const rounds = 16

// settle writes what decide makes of the user's record, in one conditional write, and
// returns the reason that stands. On a conflict it reads through at the master and
// decides again; after a lost answer it reads back whether the write was its own. settled
// is decide's reason, or that of this very leg if it turns out to be settled already
// (earlier is then true). Without a master this server settles alone, if the application
// lets it. With an error nothing is revealed.
func (e *Engine) settle(ctx context.Context, a *attempt, decide func(settlement.Account) (settlement.Change, []mfa.CredentialID, error)) (earlier bool, settled mfa.Reason, err error) {
	acct, fresh := a.acct, false
	var open error // of a write whose outcome is not known
	var last settlement.Change
	defer func() {
		if err != nil && open != nil {
			e.book(a, last.Reason, last, 0, mfa.Unknown)
		}
	}()
	for range rounds {
		if fresh {
			if acct, err = e.Store.Standing(ctx, a.acct.User.ID, true); e.alone(a, err) {
				return e.settleAlone(ctx, a, decide, open)
			} else if err != nil {
				return false, mfa.ReasonNone, errors.Join(gone(err), open)
			}
			if l, ok := e.earlier(a, acct.Record); ok {
				if open != nil {
					e.book(a, l.Reason, settlement.Change{}, acct.RecordRev, mfa.Committed)
				}
				return e.already(a, acct, l), l.Reason, nil
			}
		}
		c, used, err := decide(acct)
		if err != nil {
			return false, mfa.ReasonNone, err
		}
		c.Leg, c.Attempt, c.Time = a.Leg, a.id, e.Now()
		c.Server = e.Server
		next, err := acct.Record.Apply(c, a.set.Second(), a.set.First())
		if err != nil {
			return false, mfa.ReasonNone, err
		}
		rev, ok, err := e.Store.Settle(ctx, acct, used, next)
		switch {
		case err == nil && ok:
			a.ours = true
			e.book(a, c.Reason, c, rev, mfa.Committed)
			acct.Record, acct.RecordRev = next, rev
			a.acct = acct
			return false, c.Reason, nil
		case errors.Is(err, mfa.ErrUnknownOutcome):
			// It may land yet. The next round is conditional on the same revisions, so only one of the two can.
			open, last = err, c
		case e.alone(a, err):
			return e.settleAlone(ctx, a, decide, open)
		case err != nil:
			return false, mfa.ReasonNone, fmt.Errorf("settlement of user %s: %w", a.acct.User.ID, err)
		}
		fresh = true
	}
	return false, mfa.ReasonNone, fmt.Errorf("settlement of user %s: %w %d times", a.acct.User.ID, mfa.ErrConflict, rounds)
}

// earlier returns the result of this very leg if it was settled before. A request that
// comes again later than any client repeats one is somebody's copy, and is decided anew.
func (e *Engine) earlier(a *attempt, r settlement.Record) (settlement.Leg, bool) {
	l, ok := r.Result(a.Leg)
	return l, ok && e.Now().Sub(l.Time) <= settlement.LegKeep
}

// already takes over the result of this very leg. If another server settled it, because the
// client turned to both, the attempt is that server's and recorded there.
func (e *Engine) already(a *attempt, acct settlement.Account, l settlement.Leg) (earlier bool) {
	a.acct = acct
	if l.Server != settlement.TagOf(e.Server) {
		a.id, a.theirs = l.Attempt, true
	}
	return true
}

// book adds the ledger entry of a settlement to the leg's records.
func (e *Engine) book(a *attempt, why mfa.Reason, c settlement.Change, rev int64, state string) {
	s := e.entry(a, why, c, rev, state)
	a.ledger = append(a.ledger, mfa.Record{Settled: &s})
}

// entry makes the ledger entry of a settlement.
func (e *Engine) entry(a *attempt, why mfa.Reason, c settlement.Change, rev int64, state string) mfa.Settled {
	s := mfa.Settled{Leg: a.Leg, Attempt: a.id, User: a.acct.User.ID, Time: c.Time, Server: e.Server, Credential: c.Credential,
		Floor: c.Floor, Nonce: c.Nonce.ID, NonceUntil: c.Nonce.Until, Reason: why, State: state, Epoch: e.Store.Epoch(), Revision: rev}
	if s.Time.IsZero() {
		s.Time = e.Now().Truncate(time.Second)
	}
	if c.Fail {
		s.Failures = 1
	}
	if c.FirstFail {
		s.FirstFails = 1
	}
	return s
}
