package authn

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// alone reports whether a, whose settlement failed with err, is to be settled by this
// server alone: nothing was written, there is no master, and the application lets it.
func (e *Engine) alone(a *attempt, err error) bool {
	if !errors.Is(err, mfa.ErrUnavailable) || !a.app.DegradedAllow {
		return false
	}
	_, contact := e.Store.Contact()
	return !contact
}

// settleAlone is settle without a master: decided again from the local copy and what this
// server has settled alone before, and kept here until it can be merged. open is the error
// of an earlier write of this leg that may have happened or happen yet; it is the same leg,
// so that it counts once.
func (e *Engine) settleAlone(ctx context.Context, a *attempt, decide func(settlement.Account) (settlement.Change, []mfa.CredentialID, error), open error) (earlier bool, settled mfa.Reason, err error) {
	a.alone = true
	a.note("the group has no master: settled by this server alone")
	state := mfa.Local
	if open != nil {
		state = mfa.Unknown
	}
	for range rounds {
		acct, err := e.Store.Standing(ctx, a.acct.User.ID, false)
		if err != nil {
			return false, mfa.ReasonNone, errors.Join(gone(err), open)
		}
		if l, ok := acct.Record.Result(a.Leg); ok {
			return e.already(a, acct, l), l.Reason, nil
		}
		c, used, err := decide(acct)
		if err != nil {
			return false, mfa.ReasonNone, err
		}
		c.Leg, c.Attempt, c.Time, c.Server = a.Leg, a.id, e.Now(), e.Server
		next, err := acct.Record.Apply(c, a.set.Second(), a.set.First())
		if err != nil {
			return false, mfa.ReasonNone, err
		}
		entry, ok, err := e.Store.SettleLocal(acct, used, next, e.entry(a, c.Reason, c, 0, state))
		if err != nil {
			return false, mfa.ReasonNone, errors.Join(fmt.Errorf("settlement of user %s: %w", a.acct.User.ID, err), open)
		}
		if ok {
			a.ledger = append(a.ledger, mfa.Record{Settled: &entry})
			acct.Record = next
			a.acct = acct
			return false, c.Reason, nil
		}
	}
	return false, mfa.ReasonNone, fmt.Errorf("settlement of user %s: %w %d times", a.acct.User.ID, mfa.ErrConflict, rounds)
}

// missed reports whether a right answer may have been used on another server before this
// one was started: it has had no contact since then, so it cannot know. Of codes that have
// a time those up to the start are meant, as far as other servers accept them early; the
// others have none, and wait for a master.
func (e *Engine) missed(a *attempt, c mfa.Credential, before, after mfa.Floor) bool {
	if !a.alone {
		return false
	}
	if last, _ := e.Store.Contact(); !last.IsZero() {
		return false
	}
	if c.Method.Bound() {
		return false // its handle was made since, by whoever has sent it
	}
	if c.Method != mfa.MethodTOTP || c.Period <= 0 {
		return true
	}
	return after.Next <= lastStep(e.started, c, a.set.Skew, before.Drift)+1
}

// acknowledged returns an error if a is about to be accepted without a settlement while no
// master answers, and the application wants none of that, or from a copy that is behind the
// master's: the user may have been blocked since.
func (e *Engine) acknowledged(a *attempt) error {
	if _, contact := e.Store.Contact(); !contact && !a.app.DegradedAllow {
		return fmt.Errorf("application %s refuses to go on without a master: %w", a.app.Name, mfa.ErrUnavailable)
	}
	if e.Store.Behind() {
		return fmt.Errorf("nobody is accepted from a copy of the database that is behind: %w", mfa.ErrUnavailable)
	}
	return nil
}
