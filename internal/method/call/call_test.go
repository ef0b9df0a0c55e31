package call_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/method/call"
	"countersign/internal/mfa"
	"countersign/internal/phone"
	"countersign/internal/secret"
)

// telephones answer calls: by number, what becomes of one. They keep the answer of the question.
type telephones struct {
	mu      sync.Mutex
	answers map[string]func(ctx context.Context, c call.Call) error
	rang    []string
	wait    mfa.Wait
	changed chan struct{}
	fails   int  // answers that cannot be kept
	over    bool // somebody has answered elsewhere
	full    bool
	barred  map[string]bool
}

func (p *telephones) Admit(context.Context, mfa.UserID) error {
	if p.full {
		return mfa.TooManyMessages
	}
	return nil
}

func (p *telephones) May(number string) error {
	if p.barred[number] {
		return mfa.CountryNotAllowed
	}
	return nil
}

func (p *telephones) Over(context.Context, mfa.Wait) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}

func (p *telephones) Call(ctx context.Context, c call.Call) error {
	p.mu.Lock()
	p.rang = append(p.rang, c.To+"/"+c.Extension)
	p.mu.Unlock()
	return p.answers[c.To](ctx, c)
}

func (p *telephones) AnswerWait(_ context.Context, _ mfa.UserID, _ mfa.WaitID, nonce [16]byte, a mfa.WaitAnswer) (mfa.Wait, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fails > 0 {
		p.fails--
		return p.wait, false, mfa.ErrUnavailable
	}
	if nonce != p.wait.Nonce {
		return p.wait, false, mfa.ErrNotFound
	}
	w, taken := p.wait.After(a)
	p.wait = w
	return w, taken, nil
}

func (p *telephones) WaitChange(mfa.UserID) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

// presses are keys that are pressed one by one; the call ends when they mean something.
func presses(keys string) func(context.Context, call.Call) error {
	return func(ctx context.Context, c call.Call) error {
		typed, wrong := "", 0
		for i := range len(keys) {
			typed += keys[i : i+1]
			switch c.Judge(ctx, typed) {
			case call.Right:
				return nil
			case call.Fraud:
				return mfa.FraudReported
			case call.Wrong:
				if wrong++; wrong == c.Tries {
					return mfa.CallWrongKey
				}
				typed = ""
			}
		}
		return mfa.CallNotPressed
	}
}

// then is a call that ends in another way than as what was pressed has it.
func then(first func(context.Context, call.Call) error, why error) func(context.Context, call.Call) error {
	return func(ctx context.Context, c call.Call) error {
		_ = first(ctx, c)
		return why
	}
}

func ends(why error) func(context.Context, call.Call) error {
	return func(context.Context, call.Call) error { return why }
}

// waits until it is taken back or its time is over, as a telephone that rings does.
func rings(ctx context.Context, _ call.Call) error {
	<-ctx.Done()
	if ctx.Err() == context.Canceled {
		return ctx.Err()
	}
	return mfa.CallTimedOut
}

func credential(id mfa.CredentialID, to string) mfa.Credential {
	return mfa.Credential{ID: id, User: "alice", Method: mfa.MethodCall, Secret: secret.FromString(to)}
}

type pins struct{}

func (pins) CheckPIN(_ context.Context, _ mfa.UserID, pin secret.Text) error {
	if pin.Equal(secret.FromString("2468")) {
		return nil
	}
	return mfa.WrongCode
}

func TestWhatComesOfACall(t *testing.T) {
	const first, second = "+491701", "+491702"
	type answers = map[string]func(context.Context, call.Call) error
	for _, tt := range []struct {
		name    string
		answers answers
		number  string // to be typed
		pin     bool
		change  func(*telephones)
		want    mfa.Reason
		by      mfa.CredentialID
		unheard bool // another way may be tried
		rang    int
	}{
		{"the two digits", answers{first: presses("42")}, "42", false, nil, mfa.OK, "c1", false, 1},
		{"at the second try", answers{first: presses("4142")}, "42", false, nil, mfa.OK, "c1", false, 1},
		{"other digits", answers{first: presses("4143")}, "42", false, nil, mfa.WrongNumber, "c1", false, 1},
		{"pound alone", answers{first: presses("#")}, "", false, nil, mfa.OK, "c1", false, 1},
		{"another key", answers{first: presses("55")}, "", false, nil, mfa.CallWrongKey, "c1", false, 1},
		{"fraud", answers{first: presses("0#")}, "42", false, nil, mfa.FraudReported, "c1", false, 1},
		{"zero and something else", answers{first: presses("0102")}, "42", false, nil, mfa.WrongNumber, "c1", false, 1},
		{"a wrong number, then hung up", answers{first: then(presses("43"), mfa.CallHungUp)}, "42", false, nil, mfa.WrongNumber, "c1", false, 1},
		{"a wrong number, then nothing", answers{first: presses("43")}, "42", false, nil, mfa.WrongNumber, "c1", false, 1},
		{"a wrong number, then fraud", answers{first: presses("430#")}, "42", false, nil, mfa.FraudReported, "c1", false, 1},
		{"PIN", answers{first: presses("2468#")}, "", true, nil, mfa.OK, "c1", false, 1},
		{"wrong PIN", answers{first: presses("1111#2222#")}, "", true, nil, mfa.WrongPIN, "c1", false, 1},
		{"number and PIN", answers{first: presses("422468#")}, "42", true, nil, mfa.OK, "c1", false, 1},
		{"number and PIN, at the second try", answers{first: presses("421111#422468#")}, "42", true, nil, mfa.OK, "c1", false, 1},
		{"number, wrong PIN", answers{first: presses("421111#422222#")}, "42", true, nil, mfa.WrongPIN, "c1", false, 1},
		{"other digits, right PIN", answers{first: presses("432468#432468#")}, "42", true, nil, mfa.WrongNumber, "c1", false, 1},
		{"the number alone, where a PIN is wanted", answers{first: presses("42#42#")}, "42", true, nil, mfa.WrongPIN, "c1", false, 1},
		{"fraud, where a PIN is wanted", answers{first: presses("0#")}, "42", true, nil, mfa.FraudReported, "c1", false, 1},
		{"nobody there, then the other number", answers{first: ends(mfa.CallNoAnswer), second: presses("42")}, "42", false, nil, mfa.OK, "c2", false, 2},
		{"busy, and nobody at the other", answers{first: ends(mfa.CallBusy), second: ends(mfa.CallVoicemail)}, "42", false, nil, mfa.CallVoicemail, "c2", true, 2},
		{"hung up: no other number", answers{first: ends(mfa.CallHungUp), second: presses("42")}, "42", false, nil, mfa.CallHungUp, "c1", false, 1},
		{"the first may not be called", answers{second: presses("42")}, "42", false, func(p *telephones) { p.barred = map[string]bool{first: true} }, mfa.OK, "c2", false, 1},
		{"the master is changing", answers{first: presses("42")}, "42", false, func(p *telephones) { p.fails = 3 }, mfa.OK, "c1", false, 1},
		{"it rings until the time is over", answers{first: rings}, "42", false, nil, mfa.CallTimedOut, "c1", false, 1},
		{"answered elsewhere", answers{first: rings, second: presses("42")}, "42", false, func(p *telephones) { p.over = true }, mfa.ReasonNone, "", false, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				frauds := 0
				p := &telephones{answers: tt.answers, changed: make(chan struct{})}
				p.wait = mfa.Wait{User: "alice", Number: tt.number, PIN: tt.pin, Nonce: [16]byte{1}, Expires: time.Now().Add(time.Minute), Asked: time.Now()}
				if tt.change != nil {
					tt.change(p)
				}
				m := &call.Method{Caller: p, Answers: p, Mask: phone.Mask, Now: time.Now, PINs: pins{}, Log: slog.New(slog.DiscardHandler),
					Fraud: func(context.Context, mfa.Fraud) error { frauds++; return nil }}
				if err := m.Reach(t.Context(), p.wait, []mfa.Credential{credential("c1", first), credential("c2", second+"x,417")}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // of the bubble
				synctest.Wait()
				if got := p.wait.Answer; got.Reason != tt.want || got.Credential != tt.by || got.Unreached != tt.unheard || got.PIN != (tt.pin && tt.want == mfa.OK) {
					t.Errorf("got %s by %s, unreached %v; want %s by %s, %v", got.Reason, got.Credential, got.Unreached, tt.want, tt.by, tt.unheard)
				}
				if (frauds == 1) != (tt.want == mfa.FraudReported) {
					t.Errorf("%d frauds were reported", frauds)
				}
				if len(p.rang) != tt.rang {
					t.Errorf("rang %v", p.rang)
				}
				if err := m.Close(); err != nil {
					t.Error(err)
				}
				if err := m.Reach(t.Context(), p.wait, []mfa.Credential{credential("c1", first)}); err == nil {
					t.Error("a method that is closed calls")
				}
			})
		})
	}
}

// Close takes back what rings.
func TestCloseStopsTheRinging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &telephones{answers: map[string]func(context.Context, call.Call) error{"+491701": rings}, changed: make(chan struct{})}
		p.wait = mfa.Wait{User: "alice", Number: "42", Expires: time.Now().Add(time.Minute)}
		m := &call.Method{Caller: p, Answers: p, Mask: phone.Mask, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		if err := m.Reach(t.Context(), p.wait, []mfa.Credential{credential("c1", "+491701")}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		began := time.Now()
		if err := m.Close(); err != nil || time.Since(began) > time.Second {
			t.Errorf("closed after %s, %v", time.Since(began), err)
		}
	})
}

func TestNobodyMayBeCalled(t *testing.T) {
	p := &telephones{barred: map[string]bool{"+491701": true}}
	m := &call.Method{Caller: p, Answers: p, Mask: phone.Mask, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	if err := m.Reach(t.Context(), mfa.Wait{}, []mfa.Credential{credential("c1", "+491701")}); err != mfa.CountryNotAllowed {
		t.Errorf("got %v", err)
	}
}

type guesses struct{ n int }

func (g *guesses) Guessed(context.Context, mfa.UserID) error { g.n++; return nil }

// A wrong number is counted here where no sign-in counts it: if it was to verify a caller.
func TestAWrongNumberOfACallerIsCounted(t *testing.T) {
	for _, tt := range []struct {
		name, session, keys string
		leg                 mfa.LegID
		want                int
	}{
		{"wrong", mfa.SessionCaller, "4343", mfa.LegID{}, 1},
		{"right", mfa.SessionCaller, "42", mfa.LegID{}, 0},
		{"a sign-in", "", "4343", mfa.LegID{1}, 0},
		{"a sign-in whose client calls its session so", mfa.SessionCaller, "4343", mfa.LegID{1}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, g := &telephones{answers: map[string]func(context.Context, call.Call) error{"+491701": presses(tt.keys)}, changed: make(chan struct{})}, &guesses{}
			p.wait = mfa.Wait{User: "alice", Number: "42", Session: tt.session, Leg: tt.leg, Expires: time.Now().Add(time.Minute)}
			m := &call.Method{Caller: p, Answers: p, Guesses: g, Mask: phone.Mask, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
			if err := m.Reach(t.Context(), p.wait, []mfa.Credential{credential("c1", "+491701")}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := m.Close(); err != nil || g.n != tt.want {
				t.Errorf("%s: %d counted, want %d; %v", tt.name, g.n, tt.want, err)
			}
		})
	}
}
