package authn

// Waiting. A method whose answer comes by another way (a Waiter: push, phone call) has the engine
// open one mfa.Wait for each conversation, in the group's database under a digest of what it is
// about, so that a retransmit and another server find the one that is there, and reaches the user
// once. What belongs to another conversation, or may, never gets what was asked for this one (join.go).
// Whoever learns the answer, on whatever server, writes it there (Waits.AnswerWait: the first
// stands, but a refusal displaces an approval), and the change wakes every leg that waits for it.
// Whoever writes that it was a fraud acts on that too: perhaps no leg asks any more.
// A leg then settles like any other and spends the wait's token by that, so an approval counts
// once, a late one serves the next retransmit, and a server that dies takes nothing with it.

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
)

const (
	// waitGrace is how long after its end a wait's answer is still told to who asks.
	waitGrace = time.Minute
	// waitMargin is left of a leg's time to ask once more when nobody has answered.
	waitMargin = time.Second
	// shortestCode is the length from which what is typed instead of waiting is a code of
	// another method; what is shorter ("", "ok", the number itself) asks for the answer.
	shortestCode = 6
	waitPurpose  = "wait"
	waitIDSize   = 16
	waitLegSize  = 8
)

// errHungUp: the front-end, or whoever it serves, stopped waiting before there was an answer.
var errHungUp = errors.New("nobody waits for the answer any longer")

var waitIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// inside reports whether a itself is held until the user has answered.
func (a *attempt) inside() bool {
	return a.app.Waiting == mfa.WaitInside && a.Patient && a.handle == nil
}

// lock takes the user's turn for a.
func (e *Engine) lock(ctx context.Context, a *attempt, id mfa.UserID) (err error) {
	if a.turn, err = e.users.lock(ctx, id); err != nil {
		a.turn = nil
		return fmt.Errorf("user %s: %w (many requests for one user at once)", id, err)
	}
	return nil
}

func (a *attempt) unlock() {
	if a.turn != nil {
		a.turn.unlock()
		a.turn = nil
	}
}

// state is what a handle carries of a wait. No credential goes with it: any device answers.
func state(w mfa.Wait) []byte {
	b, _ := waitIDs.DecodeString(string(w.ID)) // intent made it
	return append(b, w.Leg[:waitLegSize]...)
}

// waitOf returns the wait that a handle is of.
func waitOf(h mfa.Handle) (id mfa.WaitID, leg [waitLegSize]byte, ok bool) {
	if h.Credential != "" || len(h.State) != waitIDSize+waitLegSize {
		return "", leg, false
	}
	copy(leg[:], h.State[waitIDSize:])
	return mfa.WaitID(waitIDs.EncodeToString(h.State[:waitIDSize])), leg, true
}

// askWait asks the user on a device or a phone, once for each intent, and returns the challenge
// that shows what to do; or, where nothing can be shown, the decision once there is an answer.
func (e *Engine) askWait(ctx context.Context, a *attempt, m Waiter, wrong uint8, usable []mfa.Credential, others bool) (mfa.Decision, error) {
	if w, ok := e.stillOpen(ctx, a, m); ok { // another way was asked for, and there is none
		return e.show(ctx, a, m, w, wrong, usable, others)
	}
	w, err := e.openWait(ctx, a, m, usable)
	if err != nil {
		return mfa.Decision{}, err
	}
	if a.inside() {
		return e.stay(ctx, a, w)
	}
	return e.show(ctx, a, m, w, wrong, usable, others)
}

// stillOpen returns the wait of the challenge before if that is still the one to be answered.
func (e *Engine) stillOpen(ctx context.Context, a *attempt, m Waiter) (mfa.Wait, bool) {
	if a.waited != m.ID() || a.wish != nothing {
		return mfa.Wait{}, false
	}
	id, _, _ := waitOf(*a.handle)
	w, err := e.Waits.Wait(ctx, a.acct.User.ID, id, false)
	return w, err == nil && w.Token() == a.handle.Nonce && w.Open(e.Now()) && !a.acct.Record.Spent(w.Token())
}

// show makes the challenge of a wait.
func (e *Engine) show(ctx context.Context, a *attempt, m Waiter, w mfa.Wait, wrong uint8, usable []mfa.Credential, others bool) (mfa.Decision, error) {
	step, err := m.Begin(ctx, mfa.Ask{Application: a.app.Name, Attempt: a.id, Number: w.Number}, ofMethod(usable, m.ID())[0])
	if err != nil {
		return mfa.Decision{}, err
	}
	h := mfa.Handle{Attempt: a.id, Application: a.app.ID, User: a.acct.User.ID, Nonce: w.Token(), Started: a.begun.Truncate(time.Millisecond),
		Expires: w.Until.Truncate(time.Second), Epoch: e.Store.Epoch(), State: state(w), Wrong: wrong, Source: station(a.Source), Called: a.called(), Groups: a.groups}
	sealed, err := e.Handles.Seal(h)
	if err != nil {
		return mfa.Decision{}, err
	}
	a.asked, a.state, a.method, a.cred = h.Nonce, h.State, m.ID(), ""
	text := step.Prompt
	if others {
		text += " (or type other)" // wordOther
	}
	a.note("the user is asked by %s; the answer may come until %s", m.ID(), w.Expires.Format(time.RFC3339))
	return mfa.Decision{Verdict: mfa.Challenge, Message: text, Handle: sealed, Expires: h.Expires, Awaits: &mfa.Awaited{Method: m.ID(), Number: w.Number}, Method: m.ID(), Others: others}, nil
}

func ofMethod(creds []mfa.Credential, m mfa.MethodID) (list []mfa.Credential) {
	for _, c := range creds {
		if c.Method == m {
			list = append(list, c)
		}
	}
	return list
}

// openWait returns the wait of a's intent: the one that is there, or a new one for which the
// user is on the way to be reached. The error is a mfa.Reason if they cannot be.
func (e *Engine) openWait(ctx context.Context, a *attempt, m Waiter, usable []mfa.Credential) (mfa.Wait, error) {
	w, err := e.newWait(a, m.ID())
	if err != nil {
		return w, err
	}
	var how relation
	join := func(there mfa.Wait) (mfa.Wait, bool) {
		if how = e.relation(a, w, there); how == theSame {
			there.Leg, there.Left = a.Leg, false
		}
		return there, how != unrelated
	}
	if there, err := e.Waits.Wait(ctx, w.User, w.ID, false); err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return w, err
	} else if _, ok := join(there); err != nil || !ok {
		if err := m.Admit(ctx, w); err != nil {
			return w, err
		}
		if err := e.prompt(ctx, a); err != nil {
			return w, err
		}
	}
	got, opened, err := e.Waits.OpenWait(ctx, w, join)
	a.rung = a.rung || m.ID().Once() && err == nil && how != someoneElses
	switch {
	case err != nil:
		return w, fmt.Errorf("the question for user %s could not be kept: %w", w.User, err)
	case !opened && how == someoneElses:
		a.note("attempt %s asks the same already, and its client still waits", got.Attempt)
		return w, mfa.AlreadyAsked
	case !opened:
		a.note("joins the question that attempt %s has asked already", got.Attempt)
		a.id, a.joined, a.begun = got.Attempt, true, got.Asked
		return got, nil
	}
	if a.inside() { // a challenge is recorded with its answer; this leg has none yet
		if err := e.recordWait(ctx, a, w); err != nil {
			return w, err
		}
	}
	err = m.Reach(ctx, w, ofMethod(usable, m.ID()))
	var why mfa.Reason
	if errors.As(err, &why) { // others may have joined it
		_, _, lost := e.Waits.AnswerWait(context.WithoutCancel(ctx), w.User, w.ID, w.Nonce, mfa.WaitAnswer{Reason: why, At: e.Now(), Unreached: true})
		if lost != nil {
			e.Log.Warn("a question that reached nobody stays open until its time is over", "attempt", a.id, "user", w.User, "err", lost)
		}
	}
	return w, err
}

// countryOf is the country of what a client tells of its user, in two letters; "": unknown. Whoever is asked
// sees it: of an address alone few people can tell that it is none of theirs.
func (e *Engine) countryOf(source string) string {
	if e.Country == nil {
		return ""
	}
	return e.Country(policy.SourceOf(source))
}

func (e *Engine) newWait(a *attempt, m mfa.MethodID) (mfa.Wait, error) {
	now := e.Now()
	w := mfa.Wait{ID: e.intent(a), User: a.acct.User.ID, Method: m, Attempt: a.id, Application: a.app.Name, Leg: a.Leg, Source: printable(a.Source), Place: e.countryOf(a.Source),
		Text: a.Text, Session: a.Session, Server: e.Server, Asked: now, Expires: now.Add(a.set.Wait.Duration()), Epoch: e.Store.Epoch()}
	w.Until = w.Expires.Add(waitGrace)
	w.PIN = m.TakesPIN() && e.pins(a).need
	if _, err := io.ReadFull(e.Random, w.Nonce[:]); err != nil {
		return w, err
	}
	if !a.inside() {
		n, err := rand.Int(e.Random, big.NewInt(90))
		if err != nil {
			return w, err
		}
		w.Number = fmt.Sprint(10 + n.Int64())
	}
	return w, nil
}

// recordWait records that a leg waits, so that one that nobody answers leaves its verdict also
// if the server stops meanwhile.
func (e *Engine) recordWait(ctx context.Context, a *attempt, w mfa.Wait) error {
	a.method = w.Method
	asked := mfa.Asked{Nonce: w.Token(), Until: w.Expires.Add(waitGrace), Attempt: *e.verdict(a, mfa.Challenge, mfa.ReasonNone), State: state(w)}
	if err := e.append(ctx, []mfa.Record{{Asked: &asked}}); err != nil {
		return err
	}
	e.open.add(asked)
	return nil
}

// stay keeps a leg until w has an answer, and decides it then. The error is a mfa.Reason only if
// nobody could be asked: then there may be another way.
func (e *Engine) stay(ctx context.Context, a *attempt, w mfa.Wait) (mfa.Decision, error) {
	a.held = true
	w, err := e.await(ctx, a, w, w.Expires)
	if err != nil {
		return mfa.Decision{}, err
	}
	d, err := e.outcome(ctx, a, w)
	var why mfa.Reason
	if errors.As(err, &why) && !w.Answer.Unreached {
		return mfa.Decision{Verdict: mfa.Reject, Reason: why}, nil
	}
	return d, err
}

// laterWait decides the answer to the challenge of a wait. done is false if what was typed is a
// code of another method.
func (e *Engine) laterWait(ctx context.Context, a *attempt, id mfa.WaitID) (d mfa.Decision, done bool, err error) {
	h := *a.handle
	w, err := e.Waits.Wait(ctx, h.User, id, false)
	if errors.Is(err, mfa.ErrNotFound) || err == nil && w.Token() != h.Nonce { // opened elsewhere a moment ago
		w, err = e.Waits.Wait(ctx, h.User, id, true)
	}
	switch {
	case errors.Is(err, mfa.ErrNotFound) || err == nil && w.Token() != h.Nonce:
		return d, true, mfa.ChallengeExpired
	case err != nil:
		return d, true, err
	case !a.newest(w):
		return d, true, mfa.Superseded
	}
	m, ok := e.methods[w.Method].(Waiter)
	if !ok {
		return d, true, fmt.Errorf("method %s: this server does not know it", w.Method)
	}
	a.id, a.begun, a.method, a.waited = h.Attempt, h.Started, w.Method, w.Method
	if e.wish(a) == another {
		d, err = e.grant(ctx, a, another)
		return d, true, err
	}
	if a.Answer.Len() >= shortestCode {
		a.waited = ""
		return d, false, nil
	}
	until := w.Expires
	if end, ok := ctx.Deadline(); ok {
		until = earliest(until, e.Now().Add(time.Until(end)-waitMargin))
	}
	if w, err = e.await(ctx, a, w, until); err != nil {
		return d, true, err
	}
	if a.newest(w) && w.Open(e.Now()) && !a.acct.Record.Spent(w.Token()) {
		d, err = e.showAgain(ctx, a, m, w)
		return d, true, err
	}
	d, err = e.outcome(ctx, a, w)
	return d, true, err
}

// newest reports whether a is, or comes of, the newest leg that waits for w.
func (a *attempt) newest(w mfa.Wait) bool {
	if a.handle == nil {
		return w.Leg == a.Leg
	}
	_, leg, ok := waitOf(*a.handle)
	return ok && [waitLegSize]byte(w.Leg[:waitLegSize]) == leg
}

func earliest(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// showAgain is the same challenge once more: nobody has answered yet.
func (e *Engine) showAgain(ctx context.Context, a *attempt, m Waiter, w mfa.Wait) (mfa.Decision, error) {
	usable, why := policy.Usable(a.app, a.acct.Credentials, e.Now())
	if why == mfa.ReasonNone && len(ofMethod(usable, m.ID())) == 0 {
		why = mfa.NoCredential
	}
	if why != mfa.ReasonNone {
		return mfa.Decision{}, why
	}
	d, err := e.show(ctx, a, m, w, a.handle.Wrong, usable, len(e.ways(a, usable)) > 1)
	d.Message = "Not answered yet. " + d.Message
	return d, err
}

// await waits, without the user's turn, until w has an answer, another leg has taken it over, or
// it is until. It returns w as it is then, and a as the user's account is.
func (e *Engine) await(ctx context.Context, a *attempt, w mfa.Wait, until time.Time) (mfa.Wait, error) {
	a.unlock()
	if a.Waits != nil {
		a.Waits()
	}
	for first := true; ; {
		change := e.Waits.WaitChange(w.User)
		now, err := e.Waits.Wait(ctx, w.User, w.ID, false)
		switch {
		case errors.Is(err, mfa.ErrNotFound): // not here yet, or swept since
		case err != nil:
			return w, err
		case now.Nonce == w.Nonce:
			w = now
		case !first:
			w.Leg = mfa.LegID{} // it is over, and another has begun
		}
		if err := e.holds(ctx, a, w); err != nil {
			return w, err
		}
		if w.Answer.Reason != mfa.ReasonNone || !a.newest(w) || !e.Now().Before(until) {
			break
		}
		changed, err := e.rest(ctx, a, w, change, until)
		if err != nil {
			return w, err
		}
		first = first && !changed
	}
	return w, e.resume(ctx, a)
}

// rest waits for a change of w, or until it is until. It reads nothing meanwhile: thousands wait at
// once, and nearly all looks at the client find it waiting.
func (e *Engine) rest(ctx context.Context, a *attempt, w mfa.Wait, change <-chan struct{}, until time.Time) (changed bool, err error) {
	for {
		left := until.Sub(e.Now())
		if left <= 0 {
			return false, nil
		}
		if a.Gone != nil {
			left = min(left, goneLook)
		}
		timer := time.NewTimer(left)
		select {
		case <-change:
			timer.Stop()
			return true, nil
		case <-timer.C:
			if err := e.holds(ctx, a, w); err != nil {
				return false, err
			}
		case <-ctx.Done():
			timer.Stop()
			e.leave(ctx, a, w)
			return false, fmt.Errorf("%w: %w", errHungUp, context.Cause(ctx))
		}
	}
}

// resume takes the user's turn again and reads their account anew.
func (e *Engine) resume(ctx context.Context, a *attempt) (err error) {
	id := a.acct.User.ID
	if err = e.lock(ctx, a, id); err != nil {
		return err
	}
	a.acct, err = e.Store.Standing(ctx, id, false)
	return gone(err)
}

// outcome settles what came of w.
func (e *Engine) outcome(ctx context.Context, a *attempt, w mfa.Wait) (mfa.Decision, error) {
	if l, ok := e.earlier(a, a.acct.Record); ok {
		d, recorded, err := e.again(ctx, a, l)
		a.answered = recorded
		return d, err
	}
	if fresh, err := e.Waits.Wait(ctx, w.User, w.ID, true); err == nil && fresh.Nonce == w.Nonce { // somebody may have refused since
		w = fresh
	}
	if !a.newest(w) {
		a.id, a.held = mfa.NewAttemptID(e.Random), false // the attempt is the newer leg's
		return mfa.Decision{}, mfa.Superseded
	}
	why := w.Answer.Reason
	if why == mfa.ReasonNone {
		why = mfa.NotAnsweredInTime
	}
	a.method, a.cred, a.elsewhere = w.Method, w.Answer.Credential, true
	a.note("%s: %s", w.Method, why)
	if w.Answer.Unreached {
		return e.unreached(ctx, a, w, why)
	}
	_, settled, err := e.settle(ctx, a, func(acct settlement.Account) (settlement.Change, []mfa.CredentialID, error) {
		a.acct = acct
		return e.approved(a, w, why)
	})
	if err != nil {
		return mfa.Decision{}, err
	}
	return e.accept(a, settled), nil
}

// approved says what the answer of w does to the record. Only a number that was guessed counts
// as a wrong second factor: a PIN was counted where it was typed, before it was looked at.
func (e *Engine) approved(a *attempt, w mfa.Wait, why mfa.Reason) (settlement.Change, []mfa.CredentialID, error) {
	acct := a.acct
	if acct.Record.Spent(w.Token()) {
		return settlement.Change{}, nil, mfa.ChallengeReplayed
	}
	c := settlement.Change{Reason: why, Nonce: settlement.Nonce{ID: w.Token(), Until: w.Until}, Fail: why == mfa.WrongNumber}
	if why != mfa.OK {
		return c, nil, nil
	}
	if err := e.gate(a, acct, false); err != nil {
		return settlement.Change{}, nil, err
	}
	usable, bad := policy.Usable(a.app, acct.Credentials, e.Now())
	if bad == mfa.ReasonNone {
		usable, bad = e.withPIN(a, acct, usable)
	}
	if bad != mfa.ReasonNone {
		return settlement.Change{}, nil, bad
	}
	for _, u := range usable {
		if u.ID == w.Answer.Credential && u.Method == w.Method {
			used := []mfa.CredentialID{u.ID}
			if p := e.pins(a); p.wanted(u) {
				used = append(used, p.cred.ID)
				if c.Reason = p.why; !w.Answer.PIN {
					c.Reason = mfa.WrongPIN // it is wanted since the question was put
				}
				if c.Reason != mfa.ReasonNone {
					return c, used, nil
				}
				c.Reason = why
			}
			if a.local != "" {
				used = append(used, a.local)
			}
			c.Clear, c.FirstClear, c.Remember = true, a.firstProven(), e.success(a, matched{cred: u.ID, meth: u.Method})
			if err := e.admit(a, &c); err != nil {
				return settlement.Change{}, nil, err
			}
			return c, used, nil
		}
	}
	return settlement.Change{}, nil, mfa.NoCredential // taken away since
}

// unreached goes on to another way when nobody could be asked.
func (e *Engine) unreached(ctx context.Context, a *attempt, w mfa.Wait, why mfa.Reason) (mfa.Decision, error) {
	a.failed = w.Method
	if a.handle == nil {
		return mfa.Decision{}, why // challenge goes on
	}
	if !a.ruling.Fallback {
		return e.over(ctx, a, w, why)
	}
	usable, bad := policy.Usable(a.app, a.acct.Credentials, e.Now())
	if bad == mfa.ReasonNone && len(e.ways(a, usable)) > 0 {
		a.waited = ""
		return e.instead(ctx, a, another, why)
	}
	return e.over(ctx, a, w, why)
}

// over ends an attempt whose wait has reached nobody, without counting anything.
func (e *Engine) over(ctx context.Context, a *attempt, w mfa.Wait, why mfa.Reason) (mfa.Decision, error) {
	settled, err := e.spend(ctx, a, settlement.Nonce{ID: w.Token(), Until: w.Until}, why)
	if err != nil {
		return mfa.Decision{}, err
	}
	return e.accept(a, settled), nil
}
