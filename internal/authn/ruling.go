package authn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// rule has the group's rules decide about a's user as acct has them. From then on a.app is the
// application as they leave it for this attempt. That they cannot be read is a fault of ours:
// one of them may refuse.
func (e *Engine) rule(a *attempt, u mfa.User) error {
	rules := a.set.Rules
	if err := rules.Err(); err != nil {
		return fmt.Errorf("policy rules: %w", err)
	}
	s := policy.Situation{Application: a.base, User: u, Groups: a.groups, GroupsKnown: a.known, Source: policy.SourceOf(a.Source), Now: e.Now()}
	if rules.NeedCountry() && e.Country != nil {
		s.Country = e.Country(s.Source)
	}
	a.ruling = rules.Decide(&s, a.set)
	a.app = a.ruling.Application(a.base)
	return nil
}

// gate says why a's user may not go on, as acct has them, or returns nil: their own state comes
// first, then what the rules say.
func (e *Engine) gate(a *attempt, acct settlement.Account, firstFactor bool) error {
	if why := policy.Gate(acct.User, acct.Record, firstFactor, e.Now()); why != mfa.ReasonNone {
		return why
	}
	if err := e.rule(a, acct.User); err != nil {
		return err
	}
	if why := a.ruling.Refusal(); why != mfa.ReasonNone {
		return why
	}
	return nil
}

// grouped takes over the directory groups that reply rules and policy rules name, and decides
// again if a rule asked for them.
func (e *Engine) grouped(a *attempt, u mfa.User, groups []string) error {
	rules := a.set.Rules
	a.groups, a.known = rules.Digests(policy.RuleGroups(a.base, groups), groups), true
	if !rules.NeedGroups() {
		return nil
	}
	if err := e.rule(a, u); err != nil {
		return err
	}
	if why := a.ruling.Refusal(); why != mfa.ReasonNone {
		return why
	}
	return nil
}

// PromptQuota is what each time counts against that a user is asked by message, push or call.
func PromptQuota(user mfa.UserID, most int) mfa.Quota {
	return mfa.Quota{Name: "prompt/" + string(user), Window: time.Hour, Most: most, N: 1, Full: mfa.TooManyPrompts}
}

// prompt counts that the user is about to be reached for with a credential, and refuses it if
// they were often enough.
func (e *Engine) prompt(ctx context.Context, a *attempt) error {
	most := a.ruling.Prompts
	err := e.Store.Take(ctx, PromptQuota(a.acct.User.ID, most))
	if err != nil {
		return fmt.Errorf("prompts of user %s: %w", a.acct.User.ID, err)
	}
	return nil
}

// errForgotten says that a success is not remembered after all.
var errForgotten = errors.New("no success is remembered")

// remembered accepts a user who has proven both factors at the same application from the same
// address a while ago, if the rules let that be. Who it is, and that nothing of theirs has
// changed, is settled as for a code. Not without a master, and not from a copy that is behind:
// what another server knows of the user by now may be why they were to be asked.
func (e *Engine) remembered(ctx context.Context, a *attempt) (d mfa.Decision, done bool, err error) {
	place, ok := e.place(a)
	if !ok {
		return d, false, nil
	}
	if _, is := e.recall(a, a.acct, place); !is {
		return d, false, nil
	}
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		if err := e.gate(a, acct, false); err != nil {
			return settlement.Change{}, nil, err
		}
		s, is := e.recall(a, acct, place)
		if !is {
			return settlement.Change{}, nil, errForgotten
		}
		used := []mfa.CredentialID{s.Credential}
		if a.local != "" {
			used = append(used, a.local)
		}
		a.cred = s.Credential
		return settlement.Change{Reason: mfa.Remembered}, used, nil
	})
	switch {
	case errors.Is(err, errForgotten):
		a.cred = ""
		return d, false, nil
	case err != nil:
		return d, false, err
	}
	a.note("both factors were right here a while ago, from the same address: not asked again")
	return e.accept(a, settled), true, nil
}

// recalls reports whether a may pass on a success that is remembered.
func (e *Engine) recalls(a *attempt) bool {
	place, ok := e.place(a)
	if ok {
		_, ok = e.recall(a, a.acct, place)
	}
	return ok
}

// recall returns the success that a may pass on: of a place, young enough, of this epoch, made
// with a credential that still serves here.
func (e *Engine) recall(a *attempt, acct settlement.Account, place uint64) (settlement.Success, bool) {
	if _, contact := e.Store.Contact(); a.alone || !contact || e.Store.Behind() {
		return settlement.Success{}, false
	}
	s, ok := acct.Record.Since(place, a.ruling.Remember.Duration(), e.Now())
	if !ok {
		return s, false
	}
	if fork, err := e.Store.Fork(); err != nil || !s.Time.After(fork.Time) {
		return s, false
	}
	usable, _ := policy.Usable(a.app, acct.Credentials, e.Now())
	for _, c := range usable {
		if c.ID == s.Credential {
			return s, true
		}
	}
	return s, false
}

// success is what a right answer with c leaves to be remembered; the zero Success if nothing.
// Passes and recovery codes are counted by their uses.
func (e *Engine) success(a *attempt, m matched) settlement.Success {
	place, ok := e.place(a)
	if _, contact := e.Store.Contact(); !ok || !contact || a.alone || m.meth == mfa.MethodTAP || m.meth == mfa.MethodRecovery {
		return settlement.Success{}
	}
	return settlement.Success{Place: place, Credential: m.cred, Time: e.Now()}
}

// place stands for application and source. Without an address there is none, nor where nothing
// is to be remembered.
func (e *Engine) place(a *attempt) (uint64, bool) {
	source := policy.SourceOf(a.Source)
	if e.Digest == nil || a.ruling.Remember <= 0 || !source.IsValid() {
		return 0, false
	}
	d := e.Digest("remembered success", string(a.base.ID)+" "+source.String())
	return binary.BigEndian.Uint64(d[:]), true
}
