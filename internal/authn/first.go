package authn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// first decides a first leg: identify, gate, first factor, then the code if one came
// along, or a challenge.
func (e *Engine) first(ctx context.Context, a *attempt) (mfa.Decision, bool, error) {
	id, err := e.identify(ctx, a)
	if errors.Is(err, mfa.UnknownUser) && a.app.UnknownPass && a.app.FirstFactor != mfa.FirstFactorLocal { // where nobody has a password of theirs
		if a.app.PassesUnknown(e.Now()) {
			return e.passUnknown(ctx, a)
		}
		a.note("unknown users passed here until %s", a.app.UnknownUntil.Format(time.RFC3339))
	}
	if err != nil {
		e.pretendStranger(ctx, a, err)
		return mfa.Decision{}, false, err
	}
	if err := e.lock(ctx, a, id); err != nil {
		return mfa.Decision{}, false, err
	}
	defer a.unlock()
	if a.acct, err = e.Store.Standing(ctx, id, false); err != nil {
		return mfa.Decision{}, false, gone(err)
	}
	if l, ok := e.earlier(a, a.acct.Record); ok {
		return e.again(ctx, a, l)
	}
	hasFirst := a.app.FirstFactor != mfa.FirstFactorNone
	if err := e.gate(a, a.acct, hasFirst); err != nil {
		if hasFirst && errors.Is(err, mfa.PolicyDenied) { // a rule refuses many, and the time must not tell who is known
			e.First.Pretend(ctx, e.directory(a), a.name.String(), a.Password)
		}
		return mfa.Decision{}, false, err
	}
	exempt := e.exempt(a)
	ways := []policy.Split{{Password: a.Password}}
	if exempt == mfa.ReasonNone {
		if ways, err = e.readings(ctx, a, hasFirst); err != nil {
			if hasFirst { // the password is not even looked at; the time must not tell that
				e.First.Pretend(ctx, e.directory(a), a.name.String(), a.Password)
			}
			return mfa.Decision{}, false, err
		}
	}
	split := ways[0]
	if hasFirst {
		if split, err = e.firstFactor(ctx, a, ways); err != nil {
			return mfa.Decision{}, false, err
		}
		exempt = e.exempt(a) // a rule may have asked for groups
	}
	if exempt != mfa.ReasonNone {
		if err := e.acknowledged(a); err != nil {
			return mfa.Decision{}, false, err
		}
		d, err := e.passExempt(ctx, a, exempt)
		return d, false, err
	}
	if !split.Code.Empty() {
		d, err := e.prove(ctx, a, split.Code)
		return d, false, err
	}
	if d, done, err := e.remembered(ctx, a); done || err != nil {
		return d, false, err
	}
	if a.undecided && a.app.Passcode == mfa.PasscodeAppend {
		return mfa.Decision{}, false, mfa.EmptyCode
	}
	d, err := e.challenge(ctx, a, 0)
	return d, a.answered, err
}

// identify resolves what was typed to one user id: every known form of the name must
// lead to the same one (law 2).
func (e *Engine) identify(ctx context.Context, a *attempt) (mfa.UserID, error) {
	n, err := login.Parse(a.Login)
	if err != nil {
		return "", err
	}
	a.name = n
	var found mfa.UserID
	for _, form := range n.Forms(a.set.Domains) {
		id, err := e.Store.UserByForm(ctx, form)
		if errors.Is(err, mfa.ErrNotFound) {
			continue
		}
		if err != nil {
			return "", err
		}
		if found != "" && found != id {
			a.note("login %s: %q belongs to another user than a form before it", n, form)
			return "", mfa.AmbiguousUser
		}
		found = id
	}
	if found == "" && a.app.PassesUnknown(e.Now()) && n.User() != n.String() {
		// eve@elsewhere passes on the first factor where eve would not: a directory may take the one for the other.
		switch _, err := e.Store.UserByForm(ctx, n.User()); {
		case err == nil:
			a.note("login %s: its domain is none of ours, but %q is a user's; name the domain in login_domains or the login as an alias", n, n.User())
			return "", mfa.AmbiguousUser
		case !errors.Is(err, mfa.ErrNotFound):
			return "", err
		}
	}
	if found == "" {
		a.note("login %s is nobody's; forms tried: %q", n, n.Forms(a.set.Domains))
		return "", mfa.UnknownUser
	}
	a.note("login %s is user %s", n, found)
	return found, nil
}

// gone turns "the user is no more" into the user's fault: they were removed meanwhile.
func gone(err error) error {
	if errors.Is(err, mfa.ErrNotFound) {
		return mfa.UnknownUser
	}
	return err
}

// exempt says why the first factor is enough, or mfa.ReasonNone.
func (e *Engine) exempt(a *attempt) mfa.Reason {
	why := a.ruling.FirstFactorAlone(a.acct.User)
	if why != mfa.ReasonNone {
		a.note("the first factor is enough: %s", why)
	}
	return why
}

// readings returns the ways to read what was typed, at least one. One whose code is one of
// the user's comes first; that is looked at, not revealed: the password is still checked
// first, and the code is proven and spent afterwards.
func (e *Engine) readings(ctx context.Context, a *attempt, hasFirst bool) ([]policy.Split, error) {
	if hasFirst && !a.Answer.Empty() { // a form had both: nothing is asked, so nothing is sent
		return []policy.Split{{Password: a.Password, Code: a.Answer}}, nil
	}
	app := a.app
	if hasFirst && !a.known && a.set.Rules.NeedGroups() { // what is allowed is not certain before the password is checked
		app = a.base
	}
	usable, why := policy.Usable(app, a.acct.Credentials, e.Now())
	if why != mfa.ReasonNone && !hasFirst {
		return nil, why
	}
	ways := policy.Splits(a.app.Passcode, hasFirst, a.Password, e.lengths(a, usable))
	if hasFirst && a.app.Passcode == mfa.PasscodeAppend && (a.ruling.Open || e.recalls(a)) { // no code may be needed
		a.undecided = true
		ways = append(ways, policy.Split{Password: a.Password})
	}
	if hasFirst {
		ways = append(e.asideWays(ctx, a, app, len(usable) == 0), ways...)
	}
	if len(usable) == 0 && a.app.Passcode == mfa.PasscodeAppend && !a.undecided { // nothing to append; the password decides what is recorded
		return append(ways, policy.Split{Password: a.Password}), nil
	}
	if len(ways) == 0 {
		return nil, mfa.EmptyCode
	}
	if len(ways) > 1 {
		for i, w := range ways {
			if w.Code.Empty() {
				continue
			}
			if m := e.match(ctx, a, usable, w.Code, mfa.Step{Look: true}); m.why != mfa.WrongCode && m.err == nil {
				return slices.Concat(ways[i:i+1], ways[:i], ways[i+1:]), nil
			}
		}
	}
	return ways, nil
}

// lengths are those of the codes of some credentials, in bytes.
func (e *Engine) lengths(a *attempt, creds []mfa.Credential) []int {
	all := make([]int, 0, 4)
	for _, c := range creds {
		all = append(all, e.pins(a).length(c, e.CodeLength(c)))
	}
	return all
}

// asideWays returns the readings whose code is that of something that does not serve now, such as a token held after a
// restore: it is no part of the password, which a directory would count as a wrong one. Those that only may be are among
// them where the user has nothing else to type.
func (e *Engine) asideWays(ctx context.Context, a *attempt, app mfa.Application, only bool) (ways []policy.Split) {
	aside := policy.Unusable(app, a.acct.Credentials, e.Now())
	if len(aside) == 0 {
		return nil
	}
	for _, w := range policy.Splits(a.app.Passcode, true, a.Password, e.lengths(a, aside)) {
		if w.Code.Empty() {
			continue
		}
		if m := e.match(ctx, a, aside, w.Code, mfa.Step{Look: true}); only || m.why != mfa.WrongCode && m.err == nil {
			ways = append(ways, w)
		}
	}
	return ways
}

// firstFactor checks the password and books a wrong one, once, however many readings were
// tried. It returns the reading whose password is right: so a wrong code behind a right
// password is booked as what it is. It holds the user's lock, so that guesses cannot outrun
// the limit.
func (e *Engine) firstFactor(ctx context.Context, a *attempt, ways []policy.Split) (policy.Split, error) {
	where := e.directory(a)
	var lengths uint64 // of the codes cut off, as a set: elsewhere, or read in another way, the same may be right
	for _, w := range ways {
		lengths |= 1 << w.Code.Len()
	}
	key := e.repeats.key(a.acct.User.ID, a.acct.UserRev, "password", fold(0, where, lengths), a.Password)
	if e.repeats.seen(key, e.Now()) {
		return policy.Split{}, mfa.RepeatedWrongPassword
	}
	full, err := e.Store.Account(ctx, a.acct.User.ID, false)
	if err != nil {
		return policy.Split{}, gone(err)
	}
	for _, w := range ways {
		groups, err := e.First.Check(ctx, where, full.User, a.acct.Credentials, w.Password)
		if errors.Is(err, mfa.WrongPassword) {
			continue
		}
		if err != nil {
			return policy.Split{}, err
		}
		a.note("first factor: right, checked by %s", where)
		if err := e.grouped(a, a.acct.User, groups); err != nil {
			return policy.Split{}, err
		}
		for _, c := range a.acct.Credentials {
			if c.Method == mfa.MethodPassword && where == mfa.FirstFactorLocal {
				a.local = c.ID
			}
		}
		return w, nil
	}
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		if err := e.gate(a, acct, true); err != nil {
			return settlement.Change{}, nil, err
		}
		return settlement.Change{Reason: mfa.WrongPassword, FirstFail: true}, nil, nil
	})
	if err != nil {
		return policy.Split{}, err
	}
	e.repeats.add(key, e.Now())
	return policy.Split{}, settled
}

// directory is where the password of a's user is checked.
func (e *Engine) directory(a *attempt) string {
	if a.acct.User.Directory != "" && a.app.FirstFactor != mfa.FirstFactorLocal {
		return a.acct.User.Directory
	}
	return a.app.FirstFactor
}

// passExempt accepts on the first factor. It settles only if there is something to
// clear: a repeated request comes to the same result without.
func (e *Engine) passExempt(ctx context.Context, a *attempt, why mfa.Reason) (mfa.Decision, error) {
	a.note("accepted on the first factor: %s", why)
	if a.acct.Record.First != (settlement.Count{}) {
		_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
			if err := e.gate(a, acct, true); err != nil {
				return settlement.Change{}, nil, err
			}
			return settlement.Change{Reason: why, FirstClear: true}, nil, nil
		})
		if err != nil {
			return mfa.Decision{}, err
		}
		why = settled
	}
	return e.accept(a, why), nil
}

// accept makes the decision that lets the user in.
func (e *Engine) accept(a *attempt, why mfa.Reason) mfa.Decision {
	if !why.Accepts() {
		return mfa.Decision{Verdict: mfa.Reject, Reason: why}
	}
	a.note("accepted: %s", why)
	return mfa.Decision{Verdict: mfa.Accept, Reason: why, User: a.acct.User.ID, Reply: policy.Reply(a.app, a.acct.User.Tags, a.groups)}
}

// again gives the answer of a leg that was settled before, in this process or an earlier
// one: it is not evaluated, counted or recorded again. Only the groups that reply rules
// need are asked for anew. If the outcome was open when it was settled here, nobody was
// answered and nothing recorded then: this is the answer, and its record is made.
func (e *Engine) again(ctx context.Context, a *attempt, l settlement.Leg) (mfa.Decision, bool, error) {
	a.id = l.Attempt
	recorded := true
	if o, ok := e.owed.of(a.Leg); ok && l.Server == settlement.TagOf(e.Server) {
		recorded, a.ours, a.begun, a.method, a.cred = false, !a.alone, o.begun, o.method, o.cred
		e.book(a, l.Reason, settlement.Change{}, a.acct.RecordRev, mfa.Committed)
	}
	if !l.Reason.Accepts() {
		return mfa.Decision{Verdict: mfa.Reject, Reason: l.Reason}, recorded, nil
	}
	needsGroups := slices.ContainsFunc(a.app.Reply, func(r mfa.ReplyRule) bool { return r.Group != "" })
	if needsGroups && a.handle == nil && a.app.FirstFactor != mfa.FirstFactorNone {
		ways, err := e.readings(ctx, a, true)
		var full settlement.Account
		if err == nil {
			full, err = e.Store.Account(ctx, a.acct.User.ID, false)
		}
		if err == nil {
			var groups []string
			groups, err = e.First.Check(ctx, e.directory(a), full.User, a.acct.Credentials, ways[0].Password)
			a.groups = policy.RuleGroups(a.app, groups)
		}
		if err != nil {
			return mfa.Decision{}, true, fmt.Errorf("repeat of an accepted request: the directory does not tell the groups: %v", err)
		}
	}
	return e.accept(a, l.Reason), recorded, nil
}
