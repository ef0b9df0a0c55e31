// Package authn decides authentications: it knows no transport, no directory and no
// replication, only the interfaces in need.go. DESIGN section 4 has the laws that it keeps.
package authn

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"countersign/internal/login"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// Config is what an Engine is made of. All fields must be set, but for Random, Observe and, if
// no method is a Waiter, Waits and Digest.
type Config struct {
	Server     string // this server's name, for the trail
	Store      Store
	First      FirstFactor
	Methods    []Method
	Trail      Trail
	Handles    Sealer
	Settings   func() policy.Settings
	CodeLength func(mfa.Credential) int // bytes of a code as the user types it; 0: no typed code
	Waits      Waits
	Now        Clock
	// Replicated waits, at most that long and until ctx ends, until another server has on its
	// disk what this one has settled, and reports whether it has; nil: there is nobody to wait for.
	Replicated func(ctx context.Context, wait time.Duration) bool
	// Admits says, once both factors are right, whether the user has any business at an application:
	// the error is the mfa.Reason why not, or ours; nil: everybody has.
	Admits func(app mfa.Application, user mfa.UserID) error
	// PIN reports whether pin is the one that hash was made of; nil: who needs one is not let in.
	PIN func(ctx context.Context, user mfa.UserID, hash, pin secret.Text) (bool, error)
	// Digest is keyed, under a key that the group shares and never changes; nil: no success is
	// remembered.
	Digest func(purpose, value string) [32]byte
	// Country says where an address is, in two letters, or "" if that is not known; nil: of none.
	Country func(netip.Addr) string
	// Say says in a language what is for users, in English here; nil: it is said in English.
	Say     func(language, said string) string
	Random  io.Reader          // crypto/rand.Reader if nil
	Observe func(*mfa.Attempt) // called with each verdict after it is recorded; may be nil
	// Fraud is called once with each attempt that a method or its user ends with
	// mfa.FraudReported, after it is recorded and before the answer; may be nil.
	Fraud func(context.Context, mfa.Fraud) error
	Log   *slog.Logger
}

// Engine decides one leg at a time. It is safe for concurrent use.
type Engine struct {
	Config
	methods map[mfa.MethodID]Method
	users   userLocks
	repeats repeats
	sources throttle
	open    unanswered
	owed    openLegs
	guests  guesses // at names of applications that let unknown users pass
	nobody  guesses // at names that are nobody's, elsewhere; see pretendStranger
	nobodys repeats // the same
	started time.Time
	spare   sync.Pool // of *attempt, zeroed: one is more than a kilobyte
}

// New returns an engine. Call Run to have unanswered challenges recorded.
func New(c Config) *Engine {
	if c.Random == nil {
		c.Random = rand.Reader
	}
	e := &Engine{Config: c, methods: make(map[mfa.MethodID]Method), started: c.Now()}
	for _, m := range c.Methods {
		e.methods[m.ID()] = m
	}
	e.repeats.init(c.Random)
	e.nobodys.init(c.Random)
	e.guests.init()
	e.nobody.init()
	e.open.wake = make(chan struct{}, 1)
	return e
}

// attempt is one leg on its way through the engine.
type attempt struct {
	mfa.Request
	id     mfa.AttemptID
	begun  time.Time // of the attempt: its first leg
	set    policy.Settings
	base   mfa.Application // as it is
	app    mfa.Application // as the rules leave it for this attempt
	ruling policy.Ruling
	name   login.Name
	acct   settlement.Account
	handle *mfa.Handle // later leg
	wish   wish        // what was asked for instead of answering
	asked  uint64      // nonce of the challenge that this leg ends with
	state  []byte      // of the method, in that
	single bool        // a passkey answers for both factors: nothing else is an answer
	groups []uint64    // of those that the directory told, the ones that reply rules and policy rules name
	known  bool        // groups is what there is to be known
	local  mfa.CredentialID
	// undecided: whether a code has to come along was not known before the password was checked.
	undecided bool
	method    mfa.MethodID
	cred      mfa.CredentialID
	turn      *userLock    // of the user, held; nil while the leg waits for a person
	waited    mfa.MethodID // that the challenge before waited for
	failed    mfa.MethodID // that could not reach the user: it is not tried again
	rung      bool         // a method that asks once has asked
	joined    bool         // the wait was another leg's before
	elsewhere bool         // the answer came by another way
	answered  bool         // while it waited, this very leg was decided
	held      bool         // the leg itself is kept waiting
	ledger    []mfa.Record
	alone     bool // settled, or to be settled, by this server alone
	ours      bool // the group's database has acknowledged a settlement of this leg by this server
	theirs    bool // another server settled this very leg meanwhile, and has its record
	trace     []string
}

// note adds a line to the trace that an administrator's test asked for.
func (a *attempt) note(format string, args ...any) {
	if a.Trace {
		a.trace = append(a.trace, fmt.Sprintf(format, args...))
	}
}

// Authenticate decides one leg: settle, record, answer, in this order. The error is
// ours, never the user's.
func (e *Engine) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	a, _ := e.spare.Get().(*attempt)
	if a == nil {
		a = new(attempt)
	}
	*a = attempt{Request: r, id: mfa.NewAttemptID(e.Random), begun: e.Now(), set: e.Settings()}
	defer func() {
		*a = attempt{}
		e.spare.Put(a)
	}()
	if a.Leg == (mfa.LegID{}) { // a front-end without retransmits; the settlement needs a name for the leg all the same
		if _, err := io.ReadFull(e.Random, a.Leg[:]); err != nil {
			return mfa.Decision{}, err
		}
	}
	bound := a.set.Attempt.Duration()
	if a.Patient {
		bound += a.set.Wait.Duration()
	}
	if end, ok := ctx.Deadline(); !ok || end.Sub(a.begun) > bound { // the front-end's own is enough, and this one dear
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, bound)
		defer cancel()
	}

	d, again, err := e.guarded(ctx, a)
	if err != nil && len(a.ledger) > 0 { // settled perhaps: the ledger has to know, whatever the client is told
		err = errors.Join(err, e.Trail.Append(context.WithoutCancel(ctx), a.ledger...))
		e.owed.add(a, e.Now())
	}
	if errors.Is(err, errHungUp) {
		e.Log.Info("an attempt that waits for its user is left; the client may ask again", "attempt", a.id, "application", a.app.Name, "err", err)
		return mfa.Decision{}, err
	}
	if errors.Is(err, errElsewhere) {
		e.Log.Info("a repeated request is left to the server that had it first", "attempt", a.id, "application", a.app.Name, "err", err)
		return mfa.Decision{}, err
	}
	if err != nil {
		e.Log.Error("attempt not decided; the client gets no answer", "attempt", a.id, "application", a.app.Name, "err", err)
		return mfa.Decision{}, err
	}
	d.Attempt, d.Trace = a.id, a.trace
	if d.Verdict == mfa.Accept && d.Reason.Both() {
		d.Method = a.method
	}
	if !again {
		if err := e.record(ctx, a, d); err != nil {
			e.Log.Error("attempt not recorded; the client gets no answer", "attempt", a.id, "err", err)
			return mfa.Decision{}, err
		}
		e.owed.drop(a.Leg)
		if d.Reason == mfa.FraudReported && !a.elsewhere { // what is said there is acted on there
			e.reportFraud(ctx, a)
		}
	}
	if d.Verdict == mfa.Reject {
		d.Message = "Sign-in refused. Attempt " + a.id.String()
	}
	if e.Say != nil && a.Caps.Has(mfa.AsItIs) {
		d.Message = e.Say(a.language(d.Verdict), d.Message)
	}
	return d, nil
}

// language is that in which a decision is told. One that refuses is told in the same to everybody:
// it says nothing about who was meant.
func (a *attempt) language(v mfa.Verdict) string {
	if own := a.acct.User.Language; v == mfa.Challenge && own != "" {
		return own
	}
	return a.set.Language
}

// guarded is decide that turns a panic into a fault of ours: one request that we trip over
// must not take the others with it.
func (e *Engine) guarded(ctx context.Context, a *attempt) (d mfa.Decision, again bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			d, again, err = mfa.Decision{}, false, fmt.Errorf("a mistake in the program: %v\n%s", r, debug.Stack())
		}
	}()
	return e.decide(ctx, a)
}

// decide returns the decision on a leg, and whether it is an earlier one given again. An
// error that is a mfa.Reason has become a reject here.
func (e *Engine) decide(ctx context.Context, a *attempt) (d mfa.Decision, again bool, err error) {
	d, again, err = e.leg(ctx, a)
	var why mfa.Reason
	if errors.As(err, &why) {
		if why.Accepts() || why == mfa.ReasonNone {
			return mfa.Decision{}, false, fmt.Errorf("refused with the reason %s: a mistake in the program", why)
		}
		a.note("refused: %s", why)
		d, err = mfa.Decision{Verdict: mfa.Reject, Reason: why}, nil
	}
	return d, again, err
}

func (e *Engine) leg(ctx context.Context, a *attempt) (mfa.Decision, bool, error) {
	app, err := e.Store.Application(a.Application)
	switch {
	case errors.Is(err, mfa.ErrNotFound):
		return mfa.Decision{}, false, mfa.ApplicationUnknown
	case err != nil:
		return mfa.Decision{}, false, err
	case app.Disabled:
		a.app, a.base = app, app
		return mfa.Decision{}, false, mfa.ApplicationDisabled
	}
	a.app, a.base = app, app
	a.note("application %s, first factor %s, passcode %s", app.Name, app.FirstFactor, app.Passcode)
	if a.Refuse != mfa.ReasonNone {
		return mfa.Decision{}, false, a.Refuse
	}
	if e.sources.full(a.source(), a.set.SourceFailures, e.Now()) {
		return mfa.Decision{}, false, mfa.SourceThrottled
	}
	if len(a.Handle) > 0 {
		return e.later(ctx, a)
	}
	if a.Passkey {
		return e.discover(ctx, a)
	}
	return e.first(ctx, a)
}

// record writes the ledger entries of this leg and its verdict, or that the attempt goes on
// with a challenge, in one append. Without it there is no answer.
func (e *Engine) record(ctx context.Context, a *attempt, d mfa.Decision) error {
	if a.theirs {
		return e.append(ctx, a.ledger)
	}
	v := e.verdict(a, d.Verdict, d.Reason)
	v.Unreplicated = a.ours && !e.replicated(ctx)
	if d.Verdict == mfa.Challenge {
		asked := mfa.Asked{Nonce: a.asked, Until: d.Expires, Attempt: *v, State: a.state}
		if err := e.append(ctx, append(a.ledger, mfa.Record{Asked: &asked})); err != nil {
			return err
		}
		if !a.joined { // whoever opened the wait watches it
			e.open.add(asked)
		}
		return nil
	}
	if err := e.append(ctx, append(a.ledger, mfa.Record{Attempt: v})); err != nil {
		return err
	}
	if a.held || a.handle != nil && a.handle.Attempt == a.id {
		e.open.remove(a.id)
	}
	if d.Verdict == mfa.Reject {
		e.sources.count(a.source(), a.set.SourceFailures, e.Now())
	}
	if e.Observe != nil {
		e.Observe(v)
	}
	return nil
}

// replicaWait is how long a settlement waits for the other server of a pair. Without that
// one has it, it would be lost with this machine, and its code good once more.
const replicaWait = 200 * time.Millisecond

func (e *Engine) replicated(ctx context.Context) bool {
	return e.Replicated == nil || e.Replicated(ctx, replicaWait)
}

func (e *Engine) append(ctx context.Context, records []mfa.Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := e.Trail.Append(context.WithoutCancel(ctx), records...); err != nil {
		return fmt.Errorf("trail: %w", err)
	}
	return nil
}

// verdict makes the verdict record of a.
func (e *Engine) verdict(a *attempt, v mfa.Verdict, why mfa.Reason) *mfa.Attempt {
	now := e.Now()
	_, contact := e.Store.Contact()
	r := &mfa.Attempt{ID: a.id, Time: now, Server: e.Server, Application: a.app.Name, FrontEnd: a.FrontEnd, User: a.acct.User.ID,
		Login: printable(a.Login), Source: printable(a.Source), Verdict: v, Reason: why, Method: a.method, Credential: a.cred,
		Degraded: a.alone || !contact, Duration: now.Sub(a.begun), Trace: a.trace}
	if a.app.Name == "" {
		r.Application = printable(string(a.Application))
	}
	if a.Peer.IsValid() {
		r.Peer = a.Peer.String()
	}
	return r
}

// folded is a word as it is compared.
func folded(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// expose is the one place where the engine looks into a typed secret: for its digest.
func expose(t secret.Text) []byte { return t.Expose() }
