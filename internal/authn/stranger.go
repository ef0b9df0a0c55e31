package authn

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// passUnknown lets an unknown user of an application that says so pass on the first
// factor alone; the verdict is counted and shown under its own reason. Wrong passwords are
// counted as those of a user are, in memory and on this server only.
func (e *Engine) passUnknown(ctx context.Context, a *attempt) (mfa.Decision, bool, error) {
	if err := e.strangersRule(a); err != nil {
		return mfa.Decision{}, false, err
	}
	if a.app.FirstFactor != mfa.FirstFactorNone {
		who, turn, err := e.stranger(ctx, a)
		if err != nil {
			return mfa.Decision{}, false, err
		}
		defer turn.unlock()
		if err := e.strangersPassword(ctx, a, who); err != nil {
			return mfa.Decision{}, false, err
		}
		defer e.guests.forget(who)
	}
	if err := e.acknowledged(a); err != nil {
		return mfa.Decision{}, false, err
	}
	return e.accept(a, mfa.UnknownUserPassed), false, nil
}

// strangersRule says why somebody unknown may not go on: a rule refuses them, or wants both
// factors of everybody, and they have none.
func (e *Engine) strangersRule(a *attempt) error {
	if err := e.rule(a, mfa.User{}); err != nil {
		return err
	}
	switch {
	case a.ruling.Refusal() != mfa.ReasonNone:
		return a.ruling.Refusal()
	case a.ruling.Access == policy.AccessBoth && a.ruling.ByRule() && !a.ruling.Open:
		return mfa.UnknownUser
	}
	return nil
}

// strangersPassword is firstFactor for somebody unknown here.
func (e *Engine) strangersPassword(ctx context.Context, a *attempt, who repeatKey) error {
	if why := e.guests.locked(who, e.Now()); why != mfa.ReasonNone {
		return why
	}
	answer := e.repeats.key("", 0, string(who[:]), 0, a.Password)
	if e.repeats.seen(answer, e.Now()) {
		return mfa.RepeatedWrongPassword
	}
	groups, names, err := e.First.CheckStranger(ctx, a.app.FirstFactor, a.name.String(), a.Password)
	if errors.Is(err, mfa.WrongPassword) {
		e.repeats.add(answer, e.Now())
		e.guests.add(who, a.set.First(), e.Now())
	}
	if err != nil {
		return err
	}
	if err := e.nobodyHere(ctx, a, names); err != nil {
		return err
	}
	if err := e.grouped(a, mfa.User{}, groups); err != nil {
		return err
	}
	return e.strangersRule(a)
}

// nobodyHere returns mfa.KnownByAnotherName if one of the names that the directory has for
// somebody is a user's here: they have a second factor, whichever name they typed.
func (e *Engine) nobodyHere(ctx context.Context, a *attempt, names []string) error {
	if len(names) == 0 {
		return fmt.Errorf("directory %q told no name of login %s: an unknown user cannot pass", a.app.FirstFactor, a.name)
	}
	for _, name := range names {
		n, err := login.Parse(name)
		if err != nil {
			continue // then it is no user's either
		}
		for _, form := range append(n.Forms(a.set.Domains), n.User()) {
			switch _, err := e.Store.UserByForm(ctx, form); {
			case errors.Is(err, mfa.ErrNotFound):
			case err == nil, errors.Is(err, mfa.AmbiguousUser):
				a.note("login %s: the directory knows the same person as %s, and %q is a user's here; add the login as an alias", a.name, n, form)
				return mfa.KnownByAnotherName
			default:
				return err
			}
		}
	}
	return nil
}

// stranger takes the turn of the name that a was asked with, which is nobody's here, and
// returns the key that guesses at it are counted under: the part without a domain, since a
// directory may take any domain for its own.
func (e *Engine) stranger(ctx context.Context, a *attempt) (who repeatKey, turn *userLock, err error) {
	who = e.repeats.key("", 0, "stranger "+a.app.FirstFactor, 0, secret.FromString(a.name.User()))
	turn, err = e.users.lock(ctx, mfa.UserID(who[:]))
	if err != nil {
		return who, nil, fmt.Errorf("login %s: %w (many requests for one name at once)", a.name, err)
	}
	return who, turn, nil
}

// usualCode is the length of the code that most users have, in bytes.
const usualCode = 6

// pretendStranger takes as long as a wrong password of a user would when why says that a's
// login is nobody's, so that the time does not tell who is known: the second time within a
// minute, and after as many guesses as lock a user, it is as short as theirs.
func (e *Engine) pretendStranger(ctx context.Context, a *attempt, why error) {
	if a.app.FirstFactor == mfa.FirstFactorNone || !errors.Is(why, mfa.UnknownUser) && !errors.Is(why, mfa.AmbiguousUser) {
		return
	}
	who, turn, err := e.stranger(ctx, a)
	if err != nil {
		return
	}
	defer turn.unlock()
	ways := policy.Splits(a.app.Passcode, true, a.Password, []int{usualCode})
	if len(ways) == 0 { // a user's password would not be looked at
		e.First.Pretend(ctx, a.app.FirstFactor, a.name.String(), a.Password)
		return
	}
	answer := e.repeats.key("", 1, string(who[:]), 0, a.Password)
	if e.nobody.locked(who, e.Now()) != mfa.ReasonNone || e.nobodys.seen(answer, e.Now()) {
		return
	}
	for _, w := range ways {
		e.First.Pretend(ctx, a.app.FirstFactor, a.name.String(), w.Password)
	}
	if !a.Password.Empty() {
		e.nobodys.add(answer, e.Now())
		e.nobody.add(who, a.set.First(), e.Now())
	}
}

// guessesMax bounds the names that guesses are counted for, 100 bytes or so each.
const guessesMax = 100_000

// guesses counts wrong passwords under names that are nobody's here, by digest of the name,
// as settlement.Record counts those of users.
type guesses struct {
	mu    sync.Mutex
	by    map[repeatKey]guessed
	swept time.Time
}

type guessed struct {
	settlement.Count
	forget time.Time // it counts no longer then
}

func (g *guesses) init() { g.by = make(map[repeatKey]guessed) }

// locked says why nothing may be guessed under who at now, or mfa.ReasonNone. When guesses
// are remembered for as many names as there is room for, further names wait until some are
// over: to forget one early would give its guesses back to whoever makes up names.
func (g *guesses) locked(who repeatKey, now time.Time) mfa.Reason {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, known := g.by[who]
	switch {
	case c.LockedAt(now):
		return mfa.FirstFactorLocked
	case !known && g.full(now):
		return mfa.TooManyAttempts
	}
	return mfa.ReasonNone
}

// add counts a guess under who.
func (g *guesses) add(who repeatKey, l settlement.Limits, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c, known := g.by[who]
	if !known && g.full(now) {
		return // it came in the same moment as the last that found room
	}
	r, err := settlement.Record{First: c.Count}.Apply(settlement.Change{FirstFail: true, Time: now}, settlement.Limits{}, l)
	if err != nil {
		return // it holds one leg: never too large
	}
	g.by[who] = guessed{r.First, now.Add(l.Lock)}
}

// forget forgets what was guessed under who: somebody knew the password.
func (g *guesses) forget(who repeatKey) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.by, who)
}

// full reports whether there is no room for another name.
func (g *guesses) full(now time.Time) bool {
	if len(g.by) >= guessesMax && now.Sub(g.swept).Abs() >= sweepEvery {
		maps.DeleteFunc(g.by, func(_ repeatKey, c guessed) bool { return !now.Before(c.forget) })
		g.swept = now
	}
	return len(g.by) >= guessesMax
}
