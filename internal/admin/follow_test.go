package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// phoned is an engine whose user answers on a phone.
type phoned struct {
	mu     sync.Mutex
	legs   []mfa.Request
	answer chan mfa.Decision // what comes of it
	fault  int               // so many questions for it cannot be decided
}

func (p *phoned) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	p.mu.Lock()
	p.legs = append(p.legs, r)
	fault := r.Handle != nil && p.fault > 0
	if fault {
		p.fault--
	}
	p.mu.Unlock()
	open := mfa.Decision{Verdict: mfa.Challenge, Attempt: mfa.AttemptID{1}, Message: "Enter 42 on your phone", Handle: []byte("first"), Expires: noon.Add(time.Minute), Awaits: &mfa.Awaited{Method: "push", Number: "42"}}
	switch {
	case fault:
		return mfa.Decision{}, errors.New("no database")
	case r.Handle == nil:
		return open, nil
	case !r.Patient: // as one attempt may take, which is over here
		open.Handle = []byte("another")
		return open, nil
	}
	select {
	case d := <-p.answer:
		return d, nil
	case <-ctx.Done():
		open.Handle = []byte("another")
		return open, nil
	}
}

// postbox is where callbacks come.
type postbox chan posted

type posted struct {
	app  string
	id   string
	body admin.Called
}

func (p postbox) Post(ctx context.Context, app mfa.Application, id string, body []byte) error {
	m := posted{app: app.Name, id: id}
	if err := json.Unmarshal(body, &m.body); err != nil {
		return err
	}
	select {
	case p <- m:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// phones is a rig with an application that is called back, and the desk of its token.
func phones(t *testing.T) (*rig, *phoned, postbox, admin.Desk) {
	t.Helper()
	return phonesUntil(t, context.Background())
}

// phonesUntil is the same of a server that stops when ctx is done.
func phonesUntil(t *testing.T, until context.Context) (*rig, *phoned, postbox, admin.Desk) {
	t.Helper()
	r, e, box := newRig(t), &phoned{answer: make(chan mfa.Decision, 1)}, make(postbox, 1)
	r.Decider, r.Callbacks = e, box
	shop := admin.ApplicationChange{Name: ptr("shop"), Kind: ptr("api"), CallbackURL: ptr("https://shop.example.net/done"), Secret: secret.NewWire("sixteen bytes and more")}
	if _, err := r.AddApplication(t.Context(), "test", shop); err != nil {
		t.Fatal(err)
	}
	app, err := r.Applications.ApplicationByName("shop")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(until)
	done := make(chan error)
	go func() { done <- r.RunCallbacks(ctx, slog.New(slog.DiscardHandler)) }()
	t.Cleanup(func() { stop(); <-done })
	return r, e, box, r.As(admin.Caller{By: "token:till", Permissions: admin.ScopePermissions(admin.ScopeAuthenticate), Reach: mfa.Reach{All: true}, Application: app.ID})
}

// begin asks for a sign-in until the followers are there to follow it.
func begin(t *testing.T, d admin.Desk, q admin.AuthenticateRequest) admin.Authentication {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		a, err := d.Authenticate(t.Context(), admin.ProgramLeg{}, q)
		if err != nil || a.Awaits == nil {
			t.Fatalf("%+v, %v", a, err)
		}
		if a.Callback || time.Now().After(end) {
			return a
		}
	}
}

// A program is called back with what came of a sign-in, also when that could not be asked for at
// first; whoever asks meanwhile asks by the same leg, so that nobody gets another verdict.
func TestCallback(t *testing.T) {
	_, e, box, d := phones(t)
	e.fault = 1
	a := begin(t, d, admin.AuthenticateRequest{Login: "alice", Callback: true, State: "order 7"})
	if !a.Callback || a.Awaits.Number != "42" || string(a.Handle) != "first" {
		t.Fatalf("%+v", a)
	}
	e.answer <- mfa.Decision{Verdict: mfa.Accept, Reason: mfa.OK, Attempt: a.AttemptID, Reply: []mfa.ReplyAttribute{{Name: "Class", Value: "staff"}}}
	select {
	case m := <-box:
		if m.app != "shop" || m.body.Verdict != "accept" || m.body.State != "order 7" || m.body.AttemptID != a.AttemptID || len(m.body.Reply) != 1 || !strings.HasSuffix(m.id, ".accept") {
			t.Errorf("%+v", m)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nobody was called back")
	}
	e.answer <- mfa.Decision{Verdict: mfa.Accept, Reason: mfa.OK, Attempt: a.AttemptID}
	got, err := d.Challenge(t.Context(), admin.ProgramLeg{Key: "another"}, admin.ChallengeRequest{Login: "alice", Handle: a.Handle, Answer: secret.NewWire(""), Wait: 5})
	if err != nil || got.Verdict != "accept" {
		t.Errorf("asked besides: %+v, %v", got, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, q := range e.legs {
		if q.Handle != nil && (q.Leg != e.legs[len(e.legs)-1].Leg || q.Leg == (mfa.LegID{}) || !q.Answer.Empty() || !q.Patient) {
			t.Errorf("a question by another leg: %+v", q)
		}
	}
}

// A server that stops tells the program that it does not know: another one does.
func TestCallbackOfAServerThatStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	_, _, box, d := phonesUntil(t, ctx)
	a := begin(t, d, admin.AuthenticateRequest{Login: "alice", Callback: true, State: "order 7"})
	if !a.Callback {
		t.Fatalf("%+v", a)
	}
	stop()
	select {
	case m := <-box:
		if m.body.Verdict != "unknown" || m.body.State != "order 7" || m.body.AttemptID != a.AttemptID || !strings.HasSuffix(m.id, ".unknown") {
			t.Errorf("%+v", m)
		}
	case <-time.After(20 * time.Second):
		t.Error("the program was told nothing")
	}
}

// A long poll gets the verdict as soon as there is one, and else the same challenge once more.
func TestLongPoll(t *testing.T) {
	_, e, _, d := phones(t)
	a, err := d.Authenticate(t.Context(), admin.ProgramLeg{}, admin.AuthenticateRequest{Login: "alice"})
	if err != nil || a.Verdict != "challenge" || a.Callback {
		t.Fatalf("%+v, %v", a, err)
	}
	again, err := d.Challenge(t.Context(), admin.ProgramLeg{}, admin.ChallengeRequest{Handle: a.Handle, Answer: secret.NewWire("")})
	if err != nil || again.Verdict != "challenge" || string(again.Handle) != string(a.Handle) {
		t.Errorf("not answered yet: %+v, %v", again, err)
	}
	e.answer <- mfa.Decision{Verdict: mfa.Reject, Reason: mfa.RefusedByUser, Attempt: a.AttemptID}
	if got, err := d.Authenticate(t.Context(), admin.ProgramLeg{}, admin.AuthenticateRequest{Login: "alice", Wait: 5}); err != nil || got.Verdict != "reject" {
		t.Errorf("in one call: %+v, %v", got, err)
	}
}

// What nobody could be called back for is refused before anything is decided, and an address that
// cannot be one when it is given.
func TestCallbackRefused(t *testing.T) {
	r, e, _, d := phones(t)
	if _, err := r.SetApplication(t.Context(), "test", "shop", admin.ApplicationChange{CallbackURL: ptr("")}); err != nil {
		t.Fatal(err)
	}
	for want, q := range map[string]admin.AuthenticateRequest{"callback_url": {Login: "alice", Callback: true}, "state is for callbacks": {Login: "alice", State: "x"}} {
		if _, err := d.Authenticate(t.Context(), admin.ProgramLeg{}, q); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if len(e.legs) != 0 {
		t.Error("something was decided")
	}
	for bad, want := range map[string]string{
		"ftp://shop.example.net/": "https://HOST", "https://u:p@shop.example.net/": "no user", "https:///x": "https://HOST", "http://shop.example.net/": "callback_networks",
		"https://0.0.0.0/": "no address to call", "https://shop.example.net/#x": "fragment", "https://shop example/": "https://HOST",
	} {
		if _, err := r.SetApplication(t.Context(), "test", "shop", admin.ApplicationChange{CallbackURL: &bad}); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", bad, err, want)
		}
	}
	if _, err := r.AddApplication(t.Context(), "test", admin.ApplicationChange{Name: ptr("bare"), Kind: ptr("api"), CallbackURL: ptr("https://shop.example.net/")}); err == nil || !strings.Contains(err.Error(), "16 bytes") {
		t.Errorf("without a secret: %v", err)
	}
}
