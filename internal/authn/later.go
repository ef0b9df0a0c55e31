package authn

import (
	"context"
	"errors"

	"countersign/internal/login"
	"countersign/internal/mfa"
)

// later decides the answer to a challenge. Until the handle is proven to be this
// client's, unexpired and unspent, the leg is recorded under an id of its own, so that it
// cannot give somebody else's attempt a verdict.
func (e *Engine) later(ctx context.Context, a *attempt) (mfa.Decision, bool, error) {
	h, err := e.Handles.Open(a.Handle)
	if err != nil {
		return mfa.Decision{}, false, err
	}
	if h.Application != a.app.ID {
		return mfa.Decision{}, false, mfa.ChallengeOtherClient
	}
	if e.from(a, h); e.sources.full(a.source(), a.set.SourceFailures, e.Now()) {
		return mfa.Decision{}, false, mfa.SourceThrottled
	}
	if h.User == "" {
		if h.User, err = e.whose(a); err != nil {
			return mfa.Decision{}, false, err
		}
		a.single = true
	}
	if err := e.lock(ctx, a, h.User); err != nil {
		return mfa.Decision{}, false, err
	}
	defer a.unlock()
	if a.acct, err = e.Store.Standing(ctx, h.User, false); err != nil {
		return mfa.Decision{}, false, gone(err)
	}
	if err := e.sameUser(ctx, a, h.User); err != nil {
		return mfa.Decision{}, false, err
	}
	if a.single && a.Login == "" { // nobody has typed one, and the trail is read by logins
		full, err := e.Store.Account(ctx, h.User, false)
		if err != nil {
			return mfa.Decision{}, false, gone(err)
		}
		a.Login = full.User.Login
	}
	a.handle, a.groups, a.known = &h, h.Groups, true
	if l, ok := e.earlier(a, a.acct.Record); ok {
		for w, why := range wishes {
			if l.Reason == why {
				return e.rewished(ctx, a, l, w)
			}
		}
		return e.again(ctx, a, l)
	}
	if !e.Now().Before(h.Expires) || h.Epoch != e.Store.Epoch() {
		return mfa.Decision{}, false, mfa.ChallengeExpired
	}
	if a.acct.Record.Spent(h.Nonce) {
		return mfa.Decision{}, false, mfa.ChallengeReplayed
	}
	if err := e.gate(a, a.acct, false); err != nil {
		return mfa.Decision{}, false, err
	}
	if a.single { // and nothing more is asked of whoever has proven nothing
		a.id, a.begun = h.Attempt, h.Started
		d, err := e.prove(ctx, a, a.Answer)
		return d, false, err
	}
	if id, _, ok := waitOf(h); ok && e.Waits != nil {
		d, done, err := e.laterWait(ctx, a, id)
		if done || err != nil {
			return d, a.answered, err
		}
	}
	if a.Answer.Empty() && int(h.Wrong) >= a.app.Retries {
		// No answer: nothing is looked at, spent or counted, and the challenge stays open until
		// its time is over. That is the attempt's own end, so this leg is recorded by itself.
		return mfa.Decision{}, false, mfa.EmptyCode
	}
	a.id, a.begun = h.Attempt, h.Started
	if w := e.wish(a); w != nothing {
		d, err := e.grant(ctx, a, w)
		return d, false, err
	}
	if a.Answer.Empty() {
		d, err := e.challenge(ctx, a, h.Wrong+1)
		if errors.Is(err, mfa.MessageUndelivered) {
			d, err = e.undelivered(ctx, a)
		}
		return d, false, err
	}
	d, err := e.prove(ctx, a, a.Answer)
	if err != nil || a.theirs || d.Verdict == mfa.Accept || int(h.Wrong) >= a.app.Retries || !retriable(d.Reason) {
		return d, false, err
	}
	if e.gate(a, a.acct, false) != nil {
		return d, false, nil
	}
	again, err := e.challenge(ctx, a, h.Wrong+1)
	if errors.Is(err, mfa.PromptImpossible) { // there was one way, which asks once
		return d, false, nil
	}
	return again, false, err
}

// retriable reports whether a wrong answer may be followed by another prompt.
func retriable(why mfa.Reason) bool {
	return why == mfa.WrongCode || why == mfa.WrongPIN || why == mfa.ReplayedCode || why == mfa.CodeOutsideWindow || why == mfa.HeldWhileIsolated || why == mfa.BeforePromotion ||
		why == mfa.HeldAfterPromotion || passkeyAgain(why)
}

// sameUser checks that the login sent with an answer, if there is one, is that of the
// user who was asked.
func (e *Engine) sameUser(ctx context.Context, a *attempt, want mfa.UserID) error {
	if a.Login == "" {
		return nil
	}
	if _, err := login.Parse(a.Login); err != nil {
		return err
	}
	id, err := e.identify(ctx, a)
	if errors.Is(err, mfa.UnknownUser) || err == nil && id != want {
		return mfa.ChallengeOtherUser
	}
	return err
}
