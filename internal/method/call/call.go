// Package call is the method that calls a user's telephone. Whoever picks up hears who asks and
// presses what they are asked for: the two digits that the sign-in page shows, a PIN, or #. The
// engine keeps the question for all servers (mfa.Wait); the call belongs to the server that
// opened it, and whatever comes of it is that question's answer.
package call

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	tries    = 2                      // answers of one call: the keys of a telephone are small
	fraud    = "0#"                   // no number that is shown begins with 0
	shortest = 10 * time.Second       // with less than that left no other number is called
	again    = 500 * time.Millisecond // until an answer that could not be kept is tried again
	look     = time.Second            // how often it is looked whether a call is still wanted
	margin   = 2 * time.Second        // before a question's end, so that what came of the call is still an answer
)

// Answer is what pressed keys mean.
type Answer int

// The answers. The zero value waits for more keys.
const (
	More Answer = iota
	Wrong
	Right
	Fraud
)

// Asked is what somebody is asked to press.
type Asked int

// What somebody may be asked for.
const (
	Key    Asked = iota // #
	Number              // the two digits that the sign-in page shows
	PIN                 // a PIN and #
	Both                // the two digits, then a PIN and #
)

// Call is one call to one number.
type Call struct {
	User        mfa.UserID
	To          string // E.164
	Extension   string
	Application string
	Asks        Asked
	Tries       int
	Judge       func(ctx context.Context, keys string) Answer // asked after each key with all since the last wrong answer
}

// Method is the method. All fields must be set. Its calls end with Close.
type Method struct {
	Caller  Caller
	Answers Answers
	PINs    PINs
	Guesses Guesses
	Fraud   func(ctx context.Context, f mfa.Fraud) error
	Mask    func(number string) string
	Now     func() time.Time
	Log     *slog.Logger
	calls   sync.WaitGroup
	mu      sync.Mutex
	closed  bool
	cancel  map[*context.CancelFunc]struct{}
}

// ID returns mfa.MethodCall.
func (*Method) ID() mfa.MethodID { return mfa.MethodCall }

// Needs returns mfa.CanPrompt: the client asks once more for what came of it.
func (*Method) Needs() mfa.Caps { return mfa.CanPrompt }

// Begin says what to show.
func (m *Method) Begin(_ context.Context, a mfa.Ask, c mfa.Credential) (mfa.Step, error) {
	number, _ := Split(c)
	if a.Number != "" {
		return mfa.Step{Prompt: fmt.Sprintf("Your telephone %s rings: type %s on it when you are asked, then go on here", m.Mask(number), a.Number)}, nil
	}
	return mfa.Step{Prompt: fmt.Sprintf("Your telephone %s rings: do what it asks for, then go on here", m.Mask(number))}, nil
}

// Finish returns mfa.WrongCode: nothing that is typed here is an answer.
func (*Method) Finish(context.Context, mfa.Credential, mfa.Floor, mfa.Step, secret.Text) (mfa.Proof, error) {
	return mfa.Proof{}, mfa.WrongCode
}

// Admit counts one more call to the user.
func (m *Method) Admit(ctx context.Context, w mfa.Wait) error { return m.Caller.Admit(ctx, w.User) }

// Reach calls the first number of creds that can be called, and the next if nobody picks up
// there, until somebody does or w's time is over. It returns before anything rings.
func (m *Method) Reach(_ context.Context, w mfa.Wait, creds []mfa.Credential) error {
	var able []mfa.Credential
	var failed error
	for _, c := range creds {
		number, _ := Split(c)
		if err := m.Caller.May(number); err != nil {
			failed = err
			continue
		}
		able = append(able, c)
	}
	if len(able) == 0 {
		return failed
	}
	ctx, done, ok := m.enter(context.Background())
	if !ok {
		return mfa.GatewayDown // the server is being stopped
	}
	go func() {
		defer done()
		ctx, cancel := context.WithTimeout(ctx, w.Expires.Sub(m.Now())-margin)
		defer cancel()
		m.ring(ctx, w, able)
	}()
	return nil
}

// enter returns the context of a call: ctx, until Close ends it. done has to be called when the
// call is over; ok is false if the method is closed.
func (m *Method) enter(parent context.Context) (ctx context.Context, done func(), ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return parent, nil, false
	}
	ctx, cancel := context.WithCancel(parent)
	if m.cancel == nil {
		m.cancel = map[*context.CancelFunc]struct{}{}
	}
	m.cancel[&cancel] = struct{}{}
	m.calls.Add(1)
	return ctx, func() {
		cancel()
		m.mu.Lock()
		delete(m.cancel, &cancel)
		m.mu.Unlock()
		m.calls.Done()
	}, true
}

// Run waits until ctx is done, and then until nothing rings any more.
func (m *Method) Run(ctx context.Context) error {
	<-ctx.Done()
	return m.Close()
}

// Close takes back what rings and waits until nothing does.
func (m *Method) Close() error {
	m.mu.Lock()
	m.closed = true
	for c := range m.cancel {
		(*c)()
	}
	m.mu.Unlock()
	m.calls.Wait()
	return nil
}

// ring calls the numbers one after the other and gives w its answer.
func (m *Method) ring(ctx context.Context, w mfa.Wait, creds []mfa.Credential) {
	ctx, unwanted := context.WithCancel(ctx)
	defer unwanted()
	watching, decided := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		m.watch(watching, unwanted, w)
	}()
	defer func() {
		decided()
		<-watched
	}()
	var last mfa.WaitAnswer
	for _, c := range creds {
		if end, ok := ctx.Deadline(); ok && last.Reason != mfa.ReasonNone && time.Until(end) < shortest {
			break
		}
		a, err := m.one(ctx, decided, w, c)
		if errors.Is(err, context.Canceled) {
			return // it was answered or given up elsewhere
		}
		if a.Reason == mfa.OK {
			return // written while they were on the line
		}
		if last.Reason == mfa.ReasonNone || a.Reason != mfa.ReasonNone {
			last = a
		}
		m.Log.Info("a call did not confirm a sign-in", "attempt", w.Attempt, "user", w.User, "credential", c.ID, "reason", a.Reason, "error", err)
		if !a.Unreached {
			break
		}
	}
	if last.Reason == mfa.WrongNumber && w.OfCaller() {
		if err := m.Guesses.Guessed(context.WithoutCancel(ctx), w.User); err != nil {
			m.Log.Error("a number that was guessed in a call to a caller of the help desk is not counted", "attempt", w.Attempt, "user", w.User, "error", err)
		}
	}
	m.answer(context.WithoutCancel(ctx), w, last)
	if last.Reason == mfa.FraudReported { // perhaps no leg asks any more
		f := mfa.Fraud{User: w.User, Attempt: w.Attempt, Channel: mfa.FraudCall, Time: w.Asked, Server: w.Server, Application: w.Application,
			Source: w.Source, Reason: mfa.FraudReported.String()}
		if err := m.Fraud(context.WithoutCancel(ctx), f); err != nil {
			m.Log.Error("a fraud that was reported by telephone was not acted on: block the user if need be", "attempt", w.Attempt, "user", w.User, "error", err)
		}
	}
}

// watch ends the call once nobody waits for it.
func (m *Method) watch(ctx context.Context, unwanted context.CancelFunc, w mfa.Wait) {
	for {
		change := m.Answers.WaitChange(w.User)
		if m.Caller.Over(ctx, w) {
			unwanted()
			return
		}
		timer := time.NewTimer(look)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-change:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// one calls one number. The answer's Reason is OK if it confirmed, and then written; decided is
// called before that.
func (m *Method) one(ctx context.Context, decided func(), w mfa.Wait, c mfa.Credential) (mfa.WaitAnswer, error) {
	number, extension := Split(c)
	a := mfa.WaitAnswer{Credential: c.ID}
	asks := asked(w)
	confirmed, guess := false, mfa.ReasonNone
	err := m.Caller.Call(ctx, Call{User: w.User, To: number, Extension: extension, Application: w.Application, Asks: asks, Tries: tries,
		Judge: func(ctx context.Context, keys string) Answer {
			switch got := m.judge(ctx, w, asks, keys); got {
			case Right:
				decided() // nobody else's answer is of interest from here
				a.Reason, a.At, a.PIN = mfa.OK, m.Now(), w.PIN
				// What they are told next has to be true.
				if confirmed = m.answer(ctx, w, a); !confirmed {
					return Wrong
				}
				return Right
			default:
				if guess = wrong[asks]; asks == Both {
					guess = wrong[Number]
					if strings.HasPrefix(keys, w.Number) {
						guess = wrong[PIN]
					}
				}
				return got
			}
		}})
	if confirmed {
		return a, nil
	}
	a.Reason, a.At, a.PIN = mfa.ReasonNone, m.Now(), false
	var why mfa.Reason
	switch {
	case errors.As(err, &why):
		a.Reason = why
		if guess != mfa.ReasonNone && !unreached(why) && why != mfa.FraudReported { // also who hangs up behind a guess has guessed
			a.Reason = guess
		}
		a.Unreached = unreached(why)
	case err == nil:
		a.Reason = mfa.CallNotPressed
	case !errors.Is(err, context.Canceled):
		a.Reason, a.Unreached = mfa.GatewayDown, true
	}
	return a, err
}

// asked is what whoever picks up for w is asked to press.
func asked(w mfa.Wait) Asked {
	switch {
	case w.Number != "" && w.PIN:
		return Both
	case w.Number != "":
		return Number
	case w.PIN:
		return PIN
	}
	return Key
}

// wrong are the reasons that say more than that a wrong key was pressed: these are guesses.
var wrong = map[Asked]mfa.Reason{Number: mfa.WrongNumber, PIN: mfa.WrongPIN}

// judge says what keys mean.
func (m *Method) judge(ctx context.Context, w mfa.Wait, asks Asked, keys string) Answer {
	switch keys {
	case fraud:
		return Fraud
	case fraud[:1]:
		return More
	}
	switch asks {
	case Number:
		switch {
		case len(keys) < len(w.Number):
			return More
		case keys == w.Number:
			return Right
		}
		return Wrong
	case PIN:
		return m.pin(ctx, w, keys)
	case Both:
		switch n := len(w.Number); {
		case len(keys) <= n && !strings.HasSuffix(keys, "#"):
			return More // nobody learns from this whether the number was right
		case len(keys) > n && keys[:n] == w.Number:
			return m.pin(ctx, w, keys[n:])
		case !strings.HasSuffix(keys, "#") && len(keys) < n+maxPIN:
			return More
		}
		return Wrong
	}
	if keys == "#" {
		return Right
	}
	return Wrong
}

// pin judges a PIN that ends in #. It is counted before anybody learns what came of it.
func (m *Method) pin(ctx context.Context, w mfa.Wait, keys string) Answer {
	typed, ended := strings.CutSuffix(keys, "#")
	switch {
	case !ended && len(keys) < maxPIN:
		return More
	case !ended || typed == "":
		return Wrong
	}
	err := m.PINs.CheckPIN(ctx, w.User, secret.FromString(typed))
	if err != nil && !errors.As(err, new(mfa.Reason)) {
		m.Log.Error("a PIN that was typed in a call could not be judged, and counts as wrong", "attempt", w.Attempt, "user", w.User, "error", err)
	}
	if err != nil {
		return Wrong
	}
	return Right
}

const maxPIN = 16

// unreached reports whether nobody has decided anything: another number, or another way, may be tried.
func unreached(why mfa.Reason) bool {
	switch why {
	case mfa.CallWrongKey, mfa.CallHungUp, mfa.CallNotPressed, mfa.CallTimedOut, mfa.FraudReported:
		return false
	}
	return true
}

// answer gives w an answer, again while there is time and it cannot be kept: a master may just
// be changing. It reports whether the answer is a.
func (m *Method) answer(ctx context.Context, w mfa.Wait, a mfa.WaitAnswer) bool {
	if a.Reason == mfa.ReasonNone {
		return false
	}
	for {
		_, taken, err := m.Answers.AnswerWait(ctx, w.User, w.ID, w.Nonce, a)
		if err == nil || errors.Is(err, mfa.ErrNotFound) {
			return taken
		}
		m.Log.Warn("what came of a call could not be kept yet", "attempt", w.Attempt, "error", err)
		if !m.Now().Add(again).Before(w.Expires) {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(again):
		}
	}
}

// separator stands between a number and its extension.
const separator = "x"

// Go runs a call that answers no question, unless the method is closed; Close ends it too.
func (m *Method) Go(ctx context.Context, place func(context.Context)) {
	ctx, done, ok := m.enter(ctx)
	if !ok {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		place(ended)
		return
	}
	go func() {
		defer done()
		place(ctx)
	}()
}

// Split is the number (E.164) and the extension of c.
func Split(c mfa.Credential) (number, extension string) {
	return SplitNumber(string(c.Secret.Expose()))
}

// SplitNumber is Split of what a credential holds.
func SplitNumber(s string) (number, extension string) {
	number, extension, _ = strings.Cut(s, separator)
	return number, extension
}
