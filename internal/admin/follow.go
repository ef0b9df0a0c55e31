package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"countersign/internal/mfa"
)

const (
	// MaxFollowed is how many sign-ins a server follows at a time to call their programs back.
	MaxFollowed = 1000
	// followLeg is how long one question for the outcome is kept open.
	followLeg   = 30 * time.Second
	followPause = 2 * time.Second // after one that could not be decided
	postTime    = 2 * time.Minute // for all tries to deliver
	lastPost    = 3 * time.Second // of a server that stops
	// waitSlack is left of a long poll's time for the decision itself.
	waitSlack = 2 * time.Second
)

// Callbacks is what admin needs to tell programs something.
type Callbacks interface {
	// Post sends body to the application's callback until it is taken, or says why it is not.
	Post(ctx context.Context, app mfa.Application, id string, body []byte) error
}

// Called is the body of a callback.
type Called struct {
	Application string               `json:"application"`
	Verdict     string               `json:"verdict" enum:"accept,reject,unknown" doc:"unknown: it could not be decided in time; ask /challenge, or begin anew"`
	Message     string               `json:"message" doc:"for the user"`
	AttemptID   mfa.AttemptID        `json:"attempt_id"`
	State       string               `json:"state,omitempty" doc:"as the request had it"`
	Reply       []mfa.ReplyAttribute `json:"reply" doc:"accept: what the application's rules add"`
	Time        time.Time            `json:"time"`
}

// followers asks what becomes of sign-ins whose programs want to be called back. The zero value
// takes none: Run must be running.
type followers struct {
	mu   sync.Mutex
	room int // how many more
	jobs chan followed
}

// followed is one of them.
type followed struct {
	ask     mfa.Request // for the outcome
	app     mfa.Application
	attempt mfa.AttemptID
	state   string
	until   time.Time
}

// take reports whether f is followed from now on.
func (f *followers) take(one followed) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room == 0 {
		return false
	}
	f.room--
	f.jobs <- one // there is room for as many as room was
	return true
}

func (f *followers) open(n int) <-chan followed {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room, f.jobs = n, make(chan followed, n)
	return f.jobs
}

func (f *followers) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room = 0
}

func (f *followers) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room++
}

// RunCallbacks follows sign-ins whose programs want to be called back, until ctx is done. Of what is
// open then the programs are told that it is unknown, so that they ask by themselves at another server.
func (s *Service) RunCallbacks(ctx context.Context, log *slog.Logger) error {
	jobs := s.followers.open(MaxFollowed)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		select {
		case <-ctx.Done():
			s.followers.close()
			for len(jobs) > 0 { // taken, and not begun
				f := <-jobs
				all.Go(func() { s.follow(ctx, f, log) })
			}
			return nil
		case f := <-jobs:
			all.Go(func() {
				s.follow(ctx, f, log)
				if ctx.Err() == nil {
					s.followers.done()
				}
			})
		}
	}
}

// follow waits for the outcome and posts it.
func (s *Service) follow(ctx context.Context, f followed, log *slog.Logger) {
	d, decided := s.outcome(ctx, f)
	c := Called{Application: f.app.Name, Verdict: "unknown", AttemptID: d.Attempt, Message: d.Message, State: f.state, Reply: list(d.Reply), Time: s.Now().UTC().Truncate(time.Second)}
	if decided {
		c.Verdict = d.Verdict.String()
	}
	body, err := json.Marshal(c)
	post := func(ctx context.Context, limit time.Duration) error {
		within, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return s.Callbacks.Post(within, f.app, fmt.Sprintf("%s.%s", c.AttemptID, c.Verdict), body)
	}
	undelivered := err == nil
	if undelivered && ctx.Err() == nil {
		err = post(ctx, postTime)
		undelivered = err != nil
	}
	if undelivered && ctx.Err() != nil { // this server stops: one more try, which it waits for
		err = post(context.WithoutCancel(ctx), lastPost)
	}
	if err != nil {
		log.Warn("a program was not told what became of a sign-in; it can ask by itself", "application", f.app.Name, "attempt", c.AttemptID, "verdict", c.Verdict, "error", err)
	}
}

// outcome asks until there is a verdict, or the challenge's time is over.
func (s *Service) outcome(ctx context.Context, f followed) (last mfa.Decision, decided bool) {
	last.Attempt = f.attempt
	for {
		within, cancel := context.WithTimeout(ctx, followLeg)
		d, err := s.Decider.Authenticate(within, f.ask)
		cancel()
		switch {
		case err == nil && d.Verdict != mfa.Challenge:
			return d, true
		case err == nil && d.Awaits == nil: // it asks for something that is typed now
			return last, false
		}
		if ctx.Err() != nil || !s.Now().Before(f.until) {
			return last, false
		}
		if err != nil { // nobody can decide now: not the user's fault, and not for ever
			select {
			case <-ctx.Done():
			case <-time.After(followPause):
			}
		}
	}
}

// calledBack refuses a request for a callback that nobody could get, before anything is decided.
func (d Desk) calledBack(r AuthenticateRequest) error {
	switch {
	case !r.Callback && r.State != "":
		return invalid("state is for callbacks: give callback too")
	case !r.Callback:
		return nil
	case d.s.Callbacks == nil:
		return invalid("callback: this server calls nobody back")
	}
	app, err := d.application()
	if err != nil {
		return err
	}
	if app.Callback.URL == "" {
		return invalid("callback: application %q has no callback_url (countersign application set %[1]s --callback-url URL)", app.Name)
	}
	return nil
}

// asks is the leg that asks what came of a challenge that awaits. However often it is asked, and
// by whomever, it is one leg, so that all of them get the same verdict.
func (d Desk) asks(leg ProgramLeg, login, source string, handle []byte) mfa.Request {
	q := mfa.Request{Login: login, Handle: handle, Source: source, Peer: leg.Peer}
	q.Leg = d.s.leg(d.by.Application, "what came of", string(handle))
	return q
}

// awaited waits for what comes of a challenge, so many seconds; 0: as long as an attempt may take. The challenge that is still open
// then is the one that there was: its handle stays.
func (d Desk) awaited(ctx context.Context, q mfa.Request, seconds int, called bool) (Authentication, error) {
	if q.Patient = seconds > 0; q.Patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(seconds)*time.Second+waitSlack)
		defer cancel()
	}
	a, err := d.decide(ctx, q, false)
	if err == nil && a.Awaits != nil {
		a.Handle, a.Callback = q.Handle, called
	}
	return a, err
}

// follow has the application called back, and reports whether it will be.
func (d Desk) follow(q mfa.Request, state string, a Authentication) bool {
	app, err := d.application()
	if err != nil || a.Expires == nil {
		return false
	}
	q.Application, q.FrontEnd, q.Caps, q.Patient = d.by.Application, "api", mfa.CanPrompt|mfa.AsItIs, true
	return d.s.followers.take(followed{ask: q, app: app, attempt: a.AttemptID, state: state, until: *a.Expires})
}

// application is the one that the caller's token is for.
func (d Desk) application() (mfa.Application, error) {
	for _, a := range d.s.Applications.Applications() {
		if a.ID == d.by.Application {
			return a, nil
		}
	}
	return mfa.Application{}, fmt.Errorf("%s: %w: is the token of no application", d.by.By, mfa.ErrForbidden)
}
