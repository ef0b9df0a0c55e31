package authn

import (
	"context"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A Discoverer is a method whose answers say whose they are (a discoverable credential with its
// user handle, Web Authentication §6.4).
type Discoverer interface {
	Method
	// Whose returns the user that an answer names, unproven. The error is a mfa.Reason.
	Whose(answer secret.Text) (mfa.UserID, error)
}

func (e *Engine) discoverer() (Discoverer, error) {
	if d, ok := e.methods[mfa.MethodPasskey].(Discoverer); ok {
		return d, nil
	}
	return nil, mfa.PasskeyNoSite
}

// discover asks a browser for a passkey that says by itself whose it is. Nobody has said yet who
// they are: there is no user to record, and nothing to watch. The challenge is settled in the
// record of the user who answers.
func (e *Engine) discover(ctx context.Context, a *attempt) (mfa.Decision, bool, error) {
	m, err := e.discoverer()
	switch {
	case err != nil:
		return mfa.Decision{}, false, err
	case !a.set.PasskeyStandsAlone(a.app.Name), e.wantsGroups(a):
		return mfa.Decision{}, false, mfa.PasskeyNotAlone
	case !a.Caps.Has(m.Needs()):
		return mfa.Decision{}, false, mfa.PromptImpossible
	}
	h := mfa.Handle{Attempt: a.id, Application: a.app.ID, Started: a.begun.Truncate(time.Millisecond),
		Expires: e.Now().Add(a.set.Handle.Duration()).Truncate(time.Second), Epoch: e.Store.Epoch(), Source: station(a.Source)}
	if h.Nonce, err = e.nonce(); err != nil {
		return mfa.Decision{}, false, err
	}
	step, err := m.Begin(ctx, mfa.Ask{Application: a.app.Name, Attempt: a.id, Nonce: h.Nonce}, mfa.Credential{})
	if err != nil {
		return mfa.Decision{}, false, err
	}
	sealed, err := e.Handles.Seal(h)
	if err != nil {
		return mfa.Decision{}, false, err
	}
	const nothingYet = true
	return mfa.Decision{Verdict: mfa.Challenge, Message: step.Prompt, Handle: sealed, Expires: h.Expires, Options: step.Options,
		Method: mfa.MethodPasskey}, nothingYet, nil
}

// whose returns the user whom the answer to a challenge of discover names.
func (e *Engine) whose(a *attempt) (mfa.UserID, error) {
	m, err := e.discoverer()
	if err != nil {
		return "", err
	}
	id, err := m.Whose(a.Answer)
	if err != nil {
		return "", err
	}
	a.note("the passkey says that it is user %s's", id)
	return id, nil
}

// standingAlone are those of usable that stand for both factors.
func (e *Engine) standingAlone(a *attempt, usable []mfa.Credential, why mfa.Reason) ([]mfa.Credential, mfa.Reason) {
	if !a.set.PasskeyStandsAlone(a.app.Name) || e.wantsGroups(a) { // any more
		return nil, mfa.PasskeyNotAlone
	}
	if why != mfa.ReasonNone {
		return nil, why
	}
	if usable = passkeys(usable); len(usable) == 0 {
		return nil, mfa.NoCredential
	}
	return usable, mfa.ReasonNone
}

// wantsGroups reports whether a rule asks for groups that only a directory tells, which is asked
// with a password alone: a rule that keeps a group out must not be passed by without it.
func (e *Engine) wantsGroups(a *attempt) bool {
	return a.base.FirstFactor != mfa.FirstFactorLocal && a.set.Rules.NeedGroups()
}

// passkeys are those of some credentials.
func passkeys(all []mfa.Credential) (some []mfa.Credential) {
	for _, c := range all {
		if c.Method == mfa.MethodPasskey {
			some = append(some, c)
		}
	}
	return some
}

// beside is what a browser needs to answer with a passkey a challenge that asks for something
// else; nil: the user has none, or the front-end cannot.
func (e *Engine) beside(ctx context.Context, a *attempt, q mfa.Ask) []byte {
	m := e.methods[mfa.MethodPasskey]
	if m == nil || len(q.Alike) == 0 || !a.Caps.Has(m.Needs()) {
		return nil
	}
	step, err := m.Begin(ctx, q, q.Alike[0])
	if err != nil {
		a.note("passkeys could not be asked for: %v", err)
		return nil
	}
	return step.Options
}

// passkeyAgain reports whether a refused passkey may be followed by another prompt. One whose
// counter went back is not asked twice: somebody should look at it.
func passkeyAgain(why mfa.Reason) bool {
	return slices.Contains([]mfa.Reason{mfa.PasskeyUnknown, mfa.PasskeyInvalid, mfa.PasskeyOtherChallenge, mfa.PasskeyWrongSite, mfa.PasskeyUnverified, mfa.PasskeyModelRefused}, why)
}
