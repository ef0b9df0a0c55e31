package authn_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/authn"
	"countersign/internal/method/otp"
	"countersign/internal/method/sent"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// post carries codes to a test.
type post struct {
	mu    sync.Mutex
	codes []sent.Code
	fail  map[mfa.MethodID]error
	fate  mfa.Reason // of text messages
}

func (p *post) SendCode(_ context.Context, c sent.Code) (sent.Handed, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.fail[c.Method]; err != nil {
		return sent.Handed{}, err
	}
	p.codes = append(p.codes, c)
	h := sent.Handed{Gateway: "provider"}
	if c.Method == mfa.MethodSMS {
		h.Message = [6]byte{1}
	}
	return h, nil
}

func (p *post) Fate(context.Context, [6]byte) mfa.Reason {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fate
}

func (p *post) lose(why mfa.Reason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fate = why
}

func (p *post) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.codes)
}

func (p *post) last() string { return string(p.codes[len(p.codes)-1].Code.Expose()) }

// newPost is a group whose alice has a number, proven, and what else is named.
func newPost(t *testing.T, more ...mfa.MethodID) (*rig, *post) {
	t.Helper()
	g, p := newRig(t), &post{fail: map[mfa.MethodID]error{}}
	for _, way := range []mfa.MethodID{mfa.MethodSMS, mfa.MethodEmail} {
		g.more = append(g.more, sent.Method{Way: way, Sender: p, Digest: digest, Mask: func(string) string { return "***" }})
	}
	all := map[mfa.MethodID]mfa.Credential{
		mfa.MethodSMS:   {ID: "number", User: "alice", Method: mfa.MethodSMS, Secret: secret.FromString("+491701234567")},
		mfa.MethodEmail: {ID: "mailbox", User: "alice", Method: mfa.MethodEmail, Secret: secret.FromString("alice@corp.example")},
		mfa.MethodHOTP:  {ID: "token-alice", User: "alice", Method: mfa.MethodHOTP, Digits: 6},
	}
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = nil
		for _, m := range append([]mfa.MethodID{mfa.MethodSMS}, more...) {
			a.Credentials = append(a.Credentials, all[m])
		}
	})
	return g, p
}

func TestACodeIsSentAfterTheFirstFactorOnly(t *testing.T) {
	g, p := newPost(t)
	e, other := g.engine(), g.engine()
	if d := ask(t, e, firstLeg("vpn", "alice", "wrong")); d.Reason != mfa.WrongPassword || p.count() != 0 {
		t.Fatalf("wrong password: %s, %d sent", d.Reason, p.count())
	}
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge || p.count() != 1 || d.Message != "Enter the code from the text message to *** (or type resend)" {
		t.Fatalf("got %s %q, %d sent", d.Verdict, d.Message, p.count())
	}
	if c := p.codes[0]; c.Application != "vpn" || c.User != "alice" {
		t.Errorf("sent %+v", c)
	}
	if got := ask(t, other, answerTo("vpn", "alice", d, p.last())); got.Verdict != mfa.Accept || got.Attempt != d.Attempt {
		t.Errorf("answered on another server: %s %s", got.Verdict, got.Reason)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, p.last())); got.Reason != mfa.ChallengeReplayed {
		t.Errorf("the same code again: %s", got.Reason)
	}
	// Another attempt's code is not this one's.
	first, second := ask(t, e, firstLeg("vpn", "alice", "right")), ask(t, e, firstLeg("vpn", "alice", "right"))
	if string(p.codes[1].Code.Expose()) != p.last() {
		if got := ask(t, e, answerTo("vpn", "alice", first, p.last())); got.Reason != mfa.WrongCode {
			t.Errorf("the code of another attempt: %s", got.Reason)
		}
	}
	if got := ask(t, e, answerTo("vpn", "alice", second, p.last())); got.Verdict != mfa.Accept {
		t.Errorf("the second attempt: %s %s", got.Verdict, got.Reason)
	}
}

// A form that has password and code together, as that of an invitation: nothing has to be asked.
func TestACodeBesideThePasswordSendsNothing(t *testing.T) {
	g, p := newPost(t, mfa.MethodHOTP)
	e := g.engine()
	leg := func(password, code string) mfa.Request {
		q := firstLeg("vpn", "alice", password)
		q.Answer = secret.FromString(code)
		return q
	}
	for _, c := range []struct {
		password, code string
		want           mfa.Reason
	}{{"wrong", code(0), mfa.WrongPassword}, {"right", "999999", mfa.WrongCode}, {"right", code(0), mfa.OK}, {"right", code(0), mfa.ReplayedCode}} {
		if d := ask(t, e, leg(c.password, c.code)); d.Reason != c.want || d.Verdict == mfa.Challenge {
			t.Errorf("%s and %s: %s %s, want %s", c.password, c.code, d.Verdict, d.Reason, c.want)
		}
	}
	if p.count() != 0 {
		t.Errorf("%d messages were sent", p.count())
	}
}

func TestAWrongAnswerSendsNothing(t *testing.T) {
	g, p := newPost(t)
	app("vpn", func(a *mfa.Application) { a.Retries = 2 })(g)
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	wrong := "000000"
	if wrong == p.last() {
		wrong = "000001"
	}
	next := ask(t, e, answerTo("vpn", "alice", d, wrong))
	if next.Verdict != mfa.Challenge || p.count() != 1 {
		t.Fatalf("after a wrong answer: %s %s, %d sent", next.Verdict, next.Reason, p.count())
	}
	if got := ask(t, e, answerTo("vpn", "alice", next, p.last())); got.Verdict != mfa.Accept {
		t.Errorf("the code that was sent: %s %s", got.Verdict, got.Reason)
	}
}

func TestResend(t *testing.T) {
	g, p := newPost(t)
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	first := p.last()
	again := ask(t, g.engine(), answerTo("vpn", "alice", d, " Resend "))
	if again.Verdict != mfa.Challenge || again.Attempt != d.Attempt || p.count() != 2 || p.codes[1].Instead != sent.GatewayTag("provider") {
		t.Fatalf("got %s %s, %d sent", again.Verdict, again.Reason, p.count())
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, first)); got.Reason != mfa.ChallengeReplayed {
		t.Errorf("the challenge before: %s %s", got.Verdict, got.Reason)
	}
	p.fail[mfa.MethodSMS] = mfa.TooManyMessages
	kept := ask(t, e, answerTo("vpn", "alice", again, "resend"))
	if kept.Verdict != mfa.Challenge || !strings.HasPrefix(kept.Message, "Nothing more can be sent now.") || p.count() != 2 {
		t.Fatalf("one too many: %s %q", kept.Verdict, kept.Message)
	}
	if got := ask(t, e, answerTo("vpn", "alice", kept, p.last())); got.Verdict != mfa.Accept {
		t.Errorf("the code that was sent: %s %s", got.Verdict, got.Reason)
	}
	if r := g.store.record("alice"); r.Fails.N != 0 {
		t.Errorf("%d failures were counted", r.Fails.N)
	}
	if v := g.trail.verdicts(); len(v) != 2 || v[len(v)-1].Method != mfa.MethodSMS {
		t.Errorf("verdicts %+v", v)
	}
}

func TestOtherWays(t *testing.T) {
	g, p := newPost(t, mfa.MethodHOTP, mfa.MethodEmail)
	g.store.change("alice", func(a *settlement.Account) { a.User.Preferred = mfa.MethodSMS })
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if !strings.Contains(d.Message, "resend or other") {
		t.Errorf("prompt %q", d.Message)
	}
	// A code of the token is an answer to a challenge for the number.
	if got := ask(t, e, answerTo("vpn", "alice", d, code(0))); got.Verdict != mfa.Accept {
		t.Errorf("the token's code: %s %s", got.Verdict, got.Reason)
	}
	d = ask(t, e, firstLeg("vpn", "alice", "right"))
	var said []string
	for range 3 {
		d = ask(t, e, answerTo("vpn", "alice", d, "other"))
		said = append(said, strings.SplitN(d.Message, " (", 2)[0])
	}
	want := "Enter your code|Enter the code from the mail to ***|Enter the code from the text message to ***"
	if got := strings.Join(said, "|"); got != want {
		t.Errorf("asked %s, want %s", got, want)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, p.last())); got.Verdict != mfa.Accept || p.codes[p.count()-2].Method != mfa.MethodEmail {
		t.Errorf("the last code: %s %s", got.Verdict, got.Reason)
	}
}

// Each reason why nothing can be sent ends in the next way or, if there is none, in itself.
func TestFallbackWhenNothingCanBeSent(t *testing.T) {
	for _, why := range []mfa.Reason{mfa.NoGateway, mfa.GatewayDown, mfa.GatewaySlow, mfa.GatewayRefused, mfa.GatewayNoCredit, mfa.RecipientRefused,
		mfa.CountryNotAllowed, mfa.SpendCapReached, mfa.TooManyMessages} {
		g, p := newPost(t)
		p.fail[mfa.MethodSMS] = why
		if d := ask(t, g.engine(), firstLeg("vpn", "alice", "right")); d.Verdict != mfa.Reject || d.Reason != why {
			t.Errorf("%s: got %s %s", why, d.Verdict, d.Reason)
		}
		if v := g.trail.verdicts(); len(v) != 1 || v[0].Reason != why || v[0].Method != mfa.MethodSMS || v[0].Credential != "number" {
			t.Errorf("%s: recorded %+v", why, v)
		}
		g, p = newPost(t, mfa.MethodHOTP)
		p.fail[mfa.MethodSMS] = why
		if d := ask(t, g.engine(), firstLeg("vpn", "alice", "right")); d.Verdict != mfa.Challenge || !strings.HasPrefix(d.Message, "Enter your code") {
			t.Errorf("%s, with a token: got %s %s %q", why, d.Verdict, d.Reason, d.Message)
		}
		g, p = newPost(t, mfa.MethodEmail)
		p.fail[mfa.MethodSMS] = why
		if d := ask(t, g.engine(), firstLeg("vpn", "alice", "right")); d.Verdict != mfa.Challenge || p.count() != 1 || p.codes[0].Method != mfa.MethodEmail {
			t.Errorf("%s, with a mailbox: got %s %s", why, d.Verdict, d.Reason)
		}
	}
}

// A code that did not arrive ends in the next way or, if there is none, in its own reason; it
// is still good if it arrives after all.
func TestFallbackWhenACodeDidNotArrive(t *testing.T) {
	for _, tt := range []struct {
		name    string
		more    []mfa.MethodID
		answer  string // "": none; "right": the code
		retries int
		verdict mfa.Verdict
		reason  mfa.Reason
		message string
		fails   int
	}{
		{"the code, after all", nil, "right", 1, mfa.Accept, mfa.OK, "", 0},
		{"a wrong one, and a token", []mfa.MethodID{mfa.MethodHOTP}, "999999", 1, mfa.Challenge, mfa.ReasonNone, "Enter your code", 1},
		{"none, and a mailbox", []mfa.MethodID{mfa.MethodEmail}, "", 1, mfa.Challenge, mfa.ReasonNone, "Enter the code from the mail", 0},
		{"a wrong one, and nothing else", nil, "999999", 1, mfa.Reject, mfa.MessageUndelivered, "", 1},
		{"none, and nothing else", nil, "", 1, mfa.Reject, mfa.MessageUndelivered, "", 0},
		{"a wrong one, and no other try", nil, "999999", 0, mfa.Reject, mfa.WrongCode, "", 1},
		{"another one is wanted", nil, "resend", 1, mfa.Challenge, mfa.ReasonNone, "Enter the code from the text message", 0},
	} {
		g, p := newPost(t, tt.more...)
		app("vpn", func(a *mfa.Application) { a.Retries = tt.retries })(g)
		d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"))
		p.lose(mfa.MessageUndelivered)
		answer := tt.answer
		if answer == "right" {
			answer = p.last()
		}
		got := ask(t, g.engine(), answerTo("vpn", "alice", d, answer)) // at another server
		if got.Verdict != tt.verdict || got.Reason != tt.reason || tt.message != "" && !strings.HasPrefix(got.Message, tt.message) {
			t.Errorf("%s: got %s %s %q", tt.name, got.Verdict, got.Reason, got.Message)
		}
		if n := g.store.record("alice").Fails.N; int(n) != tt.fails {
			t.Errorf("%s: %d failures counted, want %d", tt.name, n, tt.fails)
		}
		if tt.verdict == mfa.Reject {
			if late := ask(t, g.engine(), answerTo("vpn", "alice", d, p.last())); late.Reason != mfa.ChallengeReplayed {
				t.Errorf("%s: the code after the verdict: %s %s", tt.name, late.Verdict, late.Reason)
			}
			if v := g.trail.verdicts(); v[0].Reason != tt.reason || tt.reason != mfa.WrongCode && v[0].Method != mfa.MethodSMS {
				t.Errorf("%s: recorded %+v", tt.name, v)
			}
		}
	}
}

// Where nobody answered, what is known of the message is the reason.
func TestUnansweredBecauseNothingArrived(t *testing.T) {
	for _, tt := range []struct{ fate, want mfa.Reason }{{mfa.ReasonNone, mfa.ChallengeUnanswered}, {mfa.MessageUndelivered, mfa.MessageUndelivered}, {mfa.MessageUnconfirmed, mfa.MessageUnconfirmed}} {
		synctest.Test(t, func(t *testing.T) {
			g, p := newPost(t)
			e := g.engine()
			ask(t, e, firstLeg("vpn", "alice", "right"))
			p.lose(tt.fate)
			g.advance(121 * time.Second)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			synctest.Wait()
			if v := g.trail.verdicts(); len(v) != 1 || v[0].Reason != tt.want || v[0].Method != mfa.MethodSMS {
				t.Errorf("got %+v, want %s", v, tt.want)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMailIsRecoveryUnlessNamed(t *testing.T) {
	g, p := newPost(t, mfa.MethodEmail)
	only := func(a *settlement.Account) { a.Credentials = a.Credentials[1:] }
	g.store.change("alice", only)
	if d := ask(t, g.engine(), firstLeg("vpn", "alice", "right")); d.Reason != mfa.NoCredential || p.count() != 0 {
		t.Errorf("mail alone: %s %s", d.Verdict, d.Reason)
	}
	app("vpn", func(a *mfa.Application) { a.Methods = []mfa.MethodID{mfa.MethodEmail} })(g)
	d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge || p.count() != 1 {
		t.Fatalf("mail where it is named: %s %s", d.Verdict, d.Reason)
	}
	if got := ask(t, g.engine(), answerTo("vpn", "alice", d, p.last())); got.Verdict != mfa.Accept {
		t.Errorf("its code: %s %s", got.Verdict, got.Reason)
	}
}

// Nothing is sent, and nobody pays, where no answer could be accepted.
func TestNothingIsSentWithoutAMasterThatTheApplicationWants(t *testing.T) {
	g, p := newPost(t)
	g.store.contact = func() (time.Time, bool) { return time.Time{}, false }
	for allow, want := range map[bool]int{false: 0, true: 1} {
		app("vpn", func(a *mfa.Application) { a.DegradedAllow = allow })(g)
		if _, err := g.engine().Authenticate(t.Context(), firstLeg("vpn", "alice", "right")); (err == nil) != allow || p.count() != want {
			t.Errorf("degraded allow %t: %v, %d sent, want %d", allow, err, p.count(), want)
		}
		p.codes = nil
	}
}

// Many answers at once to one challenge: one is decided.
func TestOneAnswerToASentCode(t *testing.T) {
	g, p := newPost(t)
	d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	accepts := 0
	for range 8 {
		e := g.engine()
		wg.Go(func() {
			got, err := e.Authenticate(context.Background(), answerTo("vpn", "alice", d, p.last()))
			if err == nil && got.Verdict == mfa.Accept {
				mu.Lock()
				accepts++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if accepts != 1 {
		t.Errorf("one code was accepted %d times", accepts)
	}
}

var _ authn.Method = sent.Method{}

// A pass that is used up is asked for no longer, although it stands first; typed, it is recorded as
// what it is.
func TestAUsedUpPassIsNotAskedFor(t *testing.T) {
	g, p := newPost(t)
	g.more = append(g.more, otp.TAP{})
	pass, kept, err := otp.GenerateTAP(nil, "pass")
	if err != nil {
		t.Fatal(err)
	}
	g.store.change("alice", func(a *settlement.Account) {
		a.User.Preferred = mfa.MethodTAP
		a.Credentials = append(a.Credentials, mfa.Credential{ID: "pass", User: "alice", Method: mfa.MethodTAP, Secret: kept, Uses: 1})
	})
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Method != mfa.MethodTAP || p.count() != 0 {
		t.Fatalf("asked for %s, %d sent", d.Method, p.count())
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, string(pass.Expose()))); got.Verdict != mfa.Accept {
		t.Fatalf("the pass: %s %s", got.Verdict, got.Reason)
	}
	if d = ask(t, e, firstLeg("vpn", "alice", "right")); d.Method != mfa.MethodSMS || p.count() != 1 || d.Others {
		t.Fatalf("once it is used up: asked for %s, %d sent, others %t", d.Method, p.count(), d.Others)
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, string(pass.Expose()))); got.Reason != mfa.ReplayedCode {
		t.Errorf("the pass again: %s %s", got.Verdict, got.Reason)
	}
}
