package authn

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// matched is what an answer was found to be.
type matched struct {
	why   mfa.Reason // OK, or why not
	cred  mfa.CredentialID
	meth  mfa.MethodID
	floor mfa.Floor
	err   error // ours
}

// prove lets the user's methods look at the answer and settles what they found. Nothing
// is revealed before the settlement stands; if the user's record, profile or credentials
// have changed meanwhile, it is decided again from what they are now.
func (e *Engine) prove(ctx context.Context, a *attempt, answer secret.Text) (mfa.Decision, error) {
	var m matched
	var key repeatKey
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		a.acct = acct
		if err := e.gate(a, acct, false); err != nil {
			return settlement.Change{}, nil, err
		}
		if a.handle != nil && acct.Record.Spent(a.handle.Nonce) {
			return settlement.Change{}, nil, mfa.ChallengeReplayed
		}
		usable, why := policy.Usable(a.app, acct.Credentials, e.Now())
		if a.single {
			usable, why = e.standingAlone(a, usable, why)
		}
		if why != mfa.ReasonNone {
			return settlement.Change{}, nil, why
		}
		key = e.repeats.key(acct.User.ID, acct.UserRev, "code", against(a, acct, usable), answer)
		if usable, why = e.withPIN(a, acct, usable); why != mfa.ReasonNone {
			return settlement.Change{}, nil, why
		}
		m = e.evaluate(ctx, a, usable, answer, key)
		if m.err != nil {
			return settlement.Change{}, nil, m.err
		}
		a.cred, a.method = m.cred, m.meth // a used code is recorded with the token that it was used at
		return e.change(a, m, usable)
	})
	if err != nil {
		return mfa.Decision{}, err
	}
	if settled == mfa.WrongCode {
		e.repeats.add(key, e.Now())
	}
	a.note("code: %s %s", m.meth, settled)
	return e.accept(a, settled), nil
}

// firstProven reports whether whoever comes to a second factor has shown the first one too.
func (a *attempt) firstProven() bool { return !a.single && a.app.FirstFactor != mfa.FirstFactorNone }

// evaluate looks at the answer once: one that was just wrong is not worth it.
func (e *Engine) evaluate(ctx context.Context, a *attempt, usable []mfa.Credential, answer secret.Text, key repeatKey) matched {
	if e.repeats.seen(key, e.Now()) {
		return matched{why: mfa.RepeatedWrongCode}
	}
	step := mfa.Step{Alone: a.single}
	if a.handle != nil {
		step.State, step.Attempt, step.Nonce = a.handle.State, a.handle.Attempt, a.handle.Nonce
	}
	m := e.match(ctx, a, usable, answer, step)
	if m.why == mfa.WrongCode && m.err == nil {
		return e.aside(ctx, a, m, answer, step)
	}
	return m
}

// aside looks whether what was wrong everywhere is the right code of something that does not serve here, such
// as a pass for another application: that is no guess, and whoever gave it wants to know.
func (e *Engine) aside(ctx context.Context, a *attempt, wrong matched, answer secret.Text, step mfa.Step) matched {
	step.State = nil // of what was sent, and that is usable
	for i := range a.acct.Credentials {
		c := &a.acct.Credentials[i]
		m, why := e.methods[c.Method], policy.SetAside(&a.app, c, e.Now())
		if m == nil || why == mfa.ReasonNone || why == mfa.NoCredential || c.Method.Bound() {
			continue
		}
		if _, err := m.Finish(ctx, *c, a.acct.Record.Floors.Of(c.ID), step, answer); err == nil {
			return matched{why: why, cred: c.ID, meth: c.Method}
		}
	}
	return wrong
}

// against stands for the credentials that an answer is compared with, as they are: what is
// wrong for some is worth a look where there are others, or when one was changed, and what is
// wrong for one challenge may be what was sent for another.
func against(a *attempt, acct settlement.Account, usable []mfa.Credential) (compared uint64) {
	if a.handle != nil && len(a.handle.State) > 0 {
		compared = fold(compared, string(a.handle.State), 0)
	}
	for _, c := range usable {
		compared = fold(compared, string(c.ID), uint64(acct.CredRevs.Of(c.ID)))
	}
	return compared
}

// match tries the answer on every credential, so that the time does not tell which one
// it was, and returns the best result: a match, else the most specific reason. What one
// credential knows as used is used: a token registered twice has two floors.
func (e *Engine) match(ctx context.Context, a *attempt, usable []mfa.Credential, answer secret.Text, step mfa.Step) matched {
	best, spent := matched{why: mfa.WrongCode}, matched{}
	fork, err := e.Store.Fork()
	if err != nil {
		return matched{err: fmt.Errorf("how this epoch began is not known: %w", err)}
	}
	pins := e.pins(a)
	for _, c := range usable {
		m := e.methods[c.Method]
		if m == nil {
			continue
		}
		floor, own := a.acct.Record.Floors.Of(c.ID), step
		if a.handle != nil && a.handle.Credential != c.ID { // what was sent is this credential's; codes of the others are an answer too
			own.State = nil
		}
		code, pin := pins.split(c, e.codeLength(c), answer)
		p, err := m.Finish(ctx, c, floor, own, code)
		var why mfa.Reason
		if err == nil && e.missed(a, c, floor, p.Floor) {
			err = mfa.HeldWhileIsolated
		}
		if err == nil {
			err = lost(fork, a, c, floor, p.Floor)
		}
		if !step.Look && !c.Method.Waits() { // no answer of these is typed here
			if bad, ours := pins.judge(ctx, e, c, pin); ours != nil {
				return matched{err: ours}
			} else if err == nil && bad != mfa.ReasonNone && best.why != mfa.OK {
				best = matched{why: bad, cred: c.ID, meth: c.Method, floor: p.Floor}
				continue
			}
		}
		switch {
		case err == nil && best.why != mfa.OK:
			best = matched{why: mfa.OK, cred: c.ID, meth: c.Method, floor: p.Floor}
		case errors.As(err, &why):
			if why == mfa.ReplayedCode {
				spent = matched{why: why, cred: c.ID, meth: c.Method}
			}
			if weight(why) > weight(best.why) {
				best = matched{why: why, cred: c.ID, meth: c.Method}
				if said := err.Error(); said != why.String() {
					a.note("%s %s: %s", c.Method, c.ID, said)
				}
			}
		case err != nil:
			return matched{err: fmt.Errorf("method %s: %w", c.Method, err)}
		}
	}
	if best.why == mfa.OK && spent.why == mfa.ReplayedCode {
		return spent
	}
	return best
}

// weight says which of two reasons tells more: what one credential knows beats what several say
// of an answer that is not theirs.
func weight(why mfa.Reason) int {
	switch why {
	case mfa.WrongCode:
		return 0
	case mfa.PasskeyUnknown:
		return 1
	case mfa.OK:
		return 3
	}
	return 2
}

// admit makes of a success a refusal if the user has no business at the application: what was right
// is spent, nothing is counted, and the record says why.
func (e *Engine) admit(a *attempt, c *settlement.Change) error {
	if e.Admits == nil {
		return nil
	}
	err := e.Admits(a.app, a.acct.User.ID)
	var why mfa.Reason
	if errors.As(err, &why) {
		c.Reason, c.Remember = why, settlement.Success{}
		return nil
	}
	return err
}

// change says what the finding does to the record. A used code, a held one and a repeated
// wrong one are no guesses and are not counted; but any answer spends its handle.
func (e *Engine) change(a *attempt, m matched, usable []mfa.Credential) (settlement.Change, []mfa.CredentialID, error) {
	c := settlement.Change{Reason: m.why}
	if a.handle != nil {
		c.Nonce = settlement.Nonce{ID: a.handle.Nonce, Until: a.handle.Expires}
	}
	used := make([]mfa.CredentialID, 0, len(usable)+2)
	for _, u := range usable {
		used = append(used, u.ID)
	}
	if p := e.pins(a); p.need {
		used = append(used, p.cred.ID)
	}
	switch m.why {
	case mfa.PasskeyUnknown, mfa.PasskeyInvalid, mfa.PasskeyOtherChallenge, mfa.PasskeyWrongSite:
		if a.single { // nobody has proven anything: it is no failure of the user's, and the source is counted
			return settlement.Change{}, nil, m.why
		}
		c.Fail = true
	case mfa.OK:
		if a.local != "" {
			used = append(used, a.local)
		}
		c.Clear, c.FirstClear, c.Credential, c.Floor, c.Remember = true, a.firstProven(), m.cred, m.floor, e.success(a, m)
		if a.single {
			c.Reason = mfa.PasskeyAlone
		}
		if err := e.admit(a, &c); err != nil {
			return settlement.Change{}, nil, err
		}
	case mfa.WrongPIN: // a guess, and the code that was right is spent all the same
		c.Fail, c.Credential, c.Floor = true, m.cred, m.floor
	case mfa.PINExpired, mfa.PINMustChange: // no guess: both were right
		c.Credential, c.Floor = m.cred, m.floor
	case mfa.FraudReported: // no guess, but an end: a request that comes again gets the same
	case mfa.PassNotApproved, mfa.CredentialDisabled, mfa.CredentialExpired, mfa.CredentialUnproven, mfa.ResyncRequired, mfa.WrongScope, mfa.ReplayedCode, mfa.RepeatedWrongCode, mfa.HeldWhileIsolated, mfa.BeforePromotion, mfa.HeldAfterPromotion, mfa.PasskeyModelRefused:
		if a.handle == nil {
			return settlement.Change{}, nil, m.why
		}
	default:
		c.Fail = true
	}
	return c, used, nil
}
