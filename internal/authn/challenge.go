package authn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

// challenge asks the user for a code: the handle carries all that the next leg needs, on
// whatever server it arrives. After a challenge that nothing was spent of it is the same one
// once more: whichever of the two is answered, it is spent for both. A credential whose code
// cannot be sent is passed over; if none is left, the reason of the first says why.
func (e *Engine) challenge(ctx context.Context, a *attempt, wrong uint8) (mfa.Decision, error) {
	usable, why := policy.Usable(a.app, a.acct.Credentials, e.Now())
	if why != mfa.ReasonNone {
		return mfa.Decision{}, why
	}
	if usable, why = e.withPIN(a, a.acct, usable); why != mfa.ReasonNone {
		return mfa.Decision{}, why
	}
	ways, failed := e.ways(a, usable), mfa.ReasonNone
	for _, c := range ways {
		d, err := e.ask(ctx, a, c, wrong, usable, len(ways) > 1)
		var no mfa.Reason
		switch {
		case err == nil:
			return d, nil
		case !errors.As(err, &no):
			return mfa.Decision{}, fmt.Errorf("method %s: %w", c.Method, err)
		case no == mfa.FraudReported: // nobody else is to be asked
			a.method, a.cred = c.Method, c.ID
			return mfa.Decision{}, no
		case failed == mfa.ReasonNone:
			failed, a.method, a.cred = no, c.Method, c.ID
		}
		a.note("%s %s could not be asked for: %v", c.Method, c.ID, err)
		e.Log.Warn("a second factor could not be asked for", "attempt", a.id, "user", a.acct.User.ID, "method", c.Method, "err", err)
	}
	if failed != mfa.ReasonNone {
		return mfa.Decision{}, failed
	}
	return mfa.Decision{}, mfa.PromptImpossible
}

// ways returns those of usable that can be asked for here, in the order in which they are (see
// policy.Ruling.Ways). After a challenge its own credential comes first or, if the user wants
// another way, last; or not at all if it is one that asks once and has.
func (e *Engine) ways(a *attempt, usable []mfa.Credential) []mfa.Credential {
	list := a.ruling.Ways(a.app, a.acct.User, policy.Lasting(usable, a.acct.Record), func(id mfa.MethodID) bool {
		m := e.methods[id]
		_, waits := m.(Waiter)
		return m != nil && (a.Caps.Has(m.Needs()) || waits && a.inside())
	})
	if a.failed != "" {
		return slices.DeleteFunc(list, func(c mfa.Credential) bool { return c.Method == a.failed || c.Method.Once() && a.called() })
	}
	if a.handle == nil {
		return list
	}
	at := slices.IndexFunc(list, func(c mfa.Credential) bool {
		if a.waited != "" {
			return c.Method == a.waited
		}
		_, waits := e.methods[c.Method].(Waiter)
		return c.ID == a.handle.Credential || a.handle.Credential == "" && !c.Method.Bound() && !waits
	})
	if a.wish == another {
		at++
	}
	at = max(at, 0)
	return slices.DeleteFunc(slices.Concat(list[at:], list[:at]), func(c mfa.Credential) bool {
		return c.Method.Once() && a.called() && (c.Method != a.waited || a.wish == another)
	})
}

// called reports whether a method that asks once has asked already in this attempt.
func (a *attempt) called() bool { return a.rung || a.handle != nil && a.handle.Called }

// ask makes the challenge for one credential.
func (e *Engine) ask(ctx context.Context, a *attempt, c mfa.Credential, wrong uint8, usable []mfa.Credential, others bool) (mfa.Decision, error) {
	if m, ok := e.methods[c.Method].(Waiter); ok {
		return e.askWait(ctx, a, m, wrong, usable, others)
	}
	nonce, err := e.nonce()
	if err != nil {
		return mfa.Decision{}, err
	}
	expires := e.Now().Add(a.set.Handle.Duration()).Truncate(time.Second)
	if a.handle != nil && a.wish == nothing && !a.acct.Record.Spent(a.handle.Nonce) {
		nonce, expires = a.handle.Nonce, a.handle.Expires
	}
	q := mfa.Ask{Application: a.app.Name, Attempt: a.id, Nonce: nonce, Alike: passkeys(usable), Again: a.wish == again}
	if a.handle != nil && a.handle.Credential == c.ID {
		q.Sent = a.handle.State
	}
	if _, contact := e.Store.Contact(); c.Method.Sends() && !contact && !a.app.DegradedAllow { // its answer could not be accepted
		return mfa.Decision{}, fmt.Errorf("application %s refuses to go on without a master, so no code is sent: %w", a.app.Name, mfa.ErrUnavailable)
	}
	if c.Method.Prompts() && (len(q.Sent) == 0 || q.Again) {
		if err := e.prompt(ctx, a); err != nil {
			return mfa.Decision{}, err
		}
	}
	step, err := e.methods[c.Method].Begin(ctx, q, c)
	if err != nil {
		return mfa.Decision{}, err
	}
	h := mfa.Handle{Attempt: a.id, Application: a.app.ID, User: a.acct.User.ID, Nonce: nonce, Started: a.begun.Truncate(time.Millisecond),
		Expires: expires, Epoch: e.Store.Epoch(), State: step.State, Wrong: wrong, Source: station(a.Source), Called: a.called(), Groups: a.groups}
	if c.Method.Bound() {
		h.Credential = c.ID
	}
	a.asked, a.state = nonce, step.State
	sealed, err := e.Handles.Seal(h)
	if err != nil {
		return mfa.Decision{}, err
	}
	a.method, a.cred = "", ""
	if c.Method.Sends() { // what is asked for is known, and the record of an answer that never comes tells it
		a.method, a.cred = c.Method, c.ID
	}
	a.note("asked for a code of %s %s; the challenge expires at %s", c.Method, c.ID, h.Expires.Format(time.RFC3339))
	if step.Options == nil {
		step.Options = e.beside(ctx, a, q)
	}
	return mfa.Decision{Verdict: mfa.Challenge, Message: prompt(step.Prompt, c, others, e.pins(a).wanted(c)), Handle: sealed, Expires: h.Expires, Options: step.Options,
		Method: c.Method, Others: others}, nil
}

// nonce draws what names a challenge; never 0, which means none.
func (e *Engine) nonce() (uint64, error) {
	var b [8]byte
	if _, err := io.ReadFull(e.Random, b[:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(b[:]) | 1, nil
}

// prompt adds what may be typed besides a code: wordAgain and wordOther.
func prompt(text string, c mfa.Credential, others, pin bool) string {
	if pin {
		text += ", your PIN in front of it"
	}
	switch {
	case c.Method.Sends() && others:
		return text + " (or type resend or other)"
	case c.Method.Sends():
		return text + " (or type resend)"
	case others:
		return text + " (or type other)"
	}
	return text
}

// wish is what a user types who does not answer with a code.
type wish uint8

const (
	nothing wish = iota
	again        // the code sent once more
	another      // another way
)

const (
	wordAgain = "resend"
	wordOther = "other"
)

// wish reads an answer that is none. A word counts only where the prompt has offered it.
func (e *Engine) wish(a *attempt) wish {
	if a.Answer.Len() > 16 {
		return nothing
	}
	usable, why := policy.Usable(a.app, a.acct.Credentials, e.Now())
	if why != mfa.ReasonNone {
		return nothing
	}
	switch typed := string(expose(a.Answer)); {
	case folded(typed) == wordAgain && slices.ContainsFunc(usable, func(c mfa.Credential) bool { return c.ID == a.handle.Credential && c.Method.Sends() }):
		return again
	case folded(typed) == wordOther && len(e.ways(a, usable)) > 1:
		return another
	}
	return nothing
}

// undelivered ends an attempt whose code did not arrive and that has no other way, although the
// user has answered nothing: the challenge is spent by that, without being counted.
func (e *Engine) undelivered(ctx context.Context, a *attempt) (mfa.Decision, error) {
	spent := settlement.Nonce{ID: a.handle.Nonce, Until: a.handle.Expires}
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		if bad := policy.Gate(acct.User, acct.Record, false, e.Now()); bad != mfa.ReasonNone {
			return settlement.Change{}, nil, bad
		}
		if acct.Record.Spent(spent.ID) {
			return settlement.Change{}, nil, mfa.ChallengeReplayed
		}
		return settlement.Change{Reason: mfa.MessageUndelivered, Nonce: spent}, nil, nil
	})
	if err != nil {
		return mfa.Decision{}, err
	}
	return e.accept(a, settled), nil
}

// grant sends the code again or asks for another way. The challenge before is spent by that,
// without being counted. If nothing can be sent, what was sent before stays good and is asked for
// once more.
func (e *Engine) grant(ctx context.Context, a *attempt, w wish) (mfa.Decision, error) {
	return e.instead(ctx, a, w, wishes[w])
}

// wishes are the reasons that a challenge is spent with because its user wished for something.
var wishes = map[wish]mfa.Reason{again: mfa.AnotherCodeAsked, another: mfa.OtherMethodAsked}

// instead asks for another way, or again, and spends the challenge before with the reason why. It
// is spent first: of servers that are asked at once, one sends. Only a question that waits for its
// answer elsewhere is spent afterwards: it goes on if there is no other way, and rings no second time.
func (e *Engine) instead(ctx context.Context, a *attempt, w wish, why mfa.Reason) (mfa.Decision, error) {
	before := *a.handle
	nonce := settlement.Nonce{ID: before.Nonce, Until: before.Expires}
	if a.waited == "" {
		settled, err := e.spend(ctx, a, nonce, why)
		switch {
		case err != nil:
			return mfa.Decision{}, err
		case settled != why: // this very leg was settled before as something else
			return e.accept(a, settled), nil
		case a.theirs:
			return mfa.Decision{}, errElsewhere
		}
		return e.wished(ctx, a, w, why, before.Wrong)
	}
	d, err := e.wished(ctx, a, w, why, before.Wrong)
	if err != nil || a.asked == before.Nonce {
		return d, err
	}
	asked := a.asked
	settled, err := e.spend(ctx, a, nonce, why)
	if err != nil {
		return mfa.Decision{}, err
	}
	if settled != why {
		return e.accept(a, settled), nil
	}
	a.asked = asked
	return d, nil
}

// wished makes the challenge that was wished for or, if nothing can be sent, one like that before.
func (e *Engine) wished(ctx context.Context, a *attempt, w wish, why mfa.Reason, wrong uint8) (mfa.Decision, error) {
	a.wish = w
	d, err := e.challenge(ctx, a, wrong)
	a.wish = nothing
	if !errors.As(err, new(mfa.Reason)) {
		return d, err
	}
	a.note("%s, but: %v", why, err)
	if d, err = e.challenge(ctx, a, wrong); err == nil {
		d.Message = "Nothing more can be sent now. " + d.Message
	}
	return d, err
}

// errElsewhere: what this very leg wished for is being sent by another server, which answers it.
var errElsewhere = errors.New("another server sends what this request asked for, and answers it")

// rewished answers a leg that wished for something and has spent its challenge by that before. If
// nothing was sent because of a fault of ours, it is now.
func (e *Engine) rewished(ctx context.Context, a *attempt, l settlement.Leg, w wish) (mfa.Decision, bool, error) {
	_, owed := e.owed.of(a.Leg)
	switch mine := l.Server == settlement.TagOf(e.Server); {
	case mine && owed:
	case !mine && e.Now().Sub(l.Time) < a.set.Attempt.Duration():
		return mfa.Decision{}, false, errElsewhere
	default:
		return e.again(ctx, a, l)
	}
	if err := e.gate(a, a.acct, false); err != nil {
		return mfa.Decision{}, false, err
	}
	a.id, a.begun = a.handle.Attempt, a.handle.Started
	e.book(a, l.Reason, settlement.Change{}, a.acct.RecordRev, mfa.Committed)
	d, err := e.wished(ctx, a, w, l.Reason, a.handle.Wrong)
	return d, false, err
}

// spend settles that a challenge is over with the reason why, without counting anything. It
// returns the reason that stands.
func (e *Engine) spend(ctx context.Context, a *attempt, n settlement.Nonce, why mfa.Reason) (mfa.Reason, error) {
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		if err := e.gate(a, acct, false); err != nil {
			return settlement.Change{}, nil, err
		}
		if acct.Record.Spent(n.ID) {
			return settlement.Change{}, nil, mfa.ChallengeReplayed
		}
		return settlement.Change{Reason: why, Nonce: n}, nil, nil
	})
	return settled, err
}
