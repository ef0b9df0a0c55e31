package sent_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"countersign/internal/method/sent"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// phone remembers what arrived.
type phone struct {
	got  []sent.Code
	fail error
	fate mfa.Reason // of every message
}

func (p *phone) SendCode(_ context.Context, c sent.Code) (sent.Handed, error) {
	if p.fail != nil {
		return sent.Handed{}, p.fail
	}
	p.got = append(p.got, c)
	return sent.Handed{Gateway: "provider", Message: [6]byte{1, 2, 3, 4, 5, byte(len(p.got))}}, nil
}

func (p *phone) Fate(_ context.Context, message [6]byte) mfa.Reason {
	if message != [6]byte{1, 2, 3, 4, 5, byte(len(p.got))} {
		return mfa.ReasonNone
	}
	return p.fate
}

func (p *phone) last() secret.Text { return p.got[len(p.got)-1].Code }

func digest(purpose, value string) [32]byte {
	h := hmac.New(sha256.New, []byte("group"))
	h.Write([]byte(purpose + "\x00" + value))
	return [32]byte(h.Sum(nil))
}

func method(p *phone) sent.Method {
	return sent.Method{Way: mfa.MethodSMS, Sender: p, Digest: digest, Mask: func(string) string { return "+49***67" }}
}

var (
	attempt = mfa.NewAttemptID(nil)
	number  = mfa.Credential{ID: "aaaaaaaaaaaaaaaa", User: "bbbbbbbbbbbbbbbb", Method: mfa.MethodSMS, Secret: secret.FromString("+491701234567")}
)

func TestACodeIsSentAndProven(t *testing.T) {
	p := &phone{}
	m := method(p)
	step, err := m.Begin(t.Context(), mfa.Ask{Application: "vpn", Attempt: attempt}, number)
	if err != nil || len(p.got) != 1 || len(step.State) > 64 || step.Prompt != "Enter the code from the text message to +49***67" {
		t.Fatalf("got %+v, %v; sent %+v", step, err, p.got)
	}
	if c := p.got[0]; c.To != "+491701234567" || c.Application != "vpn" || c.User != number.User || c.Code.Len() != 6 || c.Instead != 0 {
		t.Errorf("sent %+v", c)
	}
	step.Attempt = attempt
	code := string(p.last().Expose())
	for answer, right := range map[string]bool{code: true, code[:3] + " " + code[3:]: true, code[:3] + "-" + code[3:]: true, "": false, code[:5]: false, code + "0": false, "abcdef": false,
		string([]byte{code[0] ^ 1}) + code[1:]: false} {
		_, err := m.Finish(t.Context(), number, mfa.Floor{}, step, secret.FromString(answer))
		if (err == nil) != right || err != nil && !errors.Is(err, mfa.WrongCode) {
			t.Errorf("answer %q: %v, want right %v", answer, err, right)
		}
	}
	other, elsewhere := number, step
	other.ID, elsewhere.Attempt = "cccccccccccccccc", mfa.NewAttemptID(nil)
	for what, f := range map[string]func() error{
		"another credential": func() error { _, err := m.Finish(t.Context(), other, mfa.Floor{}, step, p.last()); return err },
		"another attempt":    func() error { _, err := m.Finish(t.Context(), number, mfa.Floor{}, elsewhere, p.last()); return err },
		"no challenge": func() error {
			_, err := m.Finish(t.Context(), number, mfa.Floor{}, mfa.Step{Attempt: attempt}, p.last())
			return err
		},
	} {
		if err := f(); !errors.Is(err, mfa.WrongCode) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAgainIsAnotherCode(t *testing.T) {
	p := &phone{}
	m := method(p)
	first, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt}, number)
	if err != nil {
		t.Fatal(err)
	}
	same, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt, Sent: first.State}, number)
	if err != nil || len(p.got) != 1 || string(same.State) != string(first.State) {
		t.Fatalf("after a wrong answer: %+v, %v, %d sent", same, err, len(p.got))
	}
	again, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt, Sent: first.State, Again: true}, number)
	if err != nil || len(p.got) != 2 || p.got[1].Instead != sent.GatewayTag("provider") {
		t.Fatalf("again: %+v, %v, %+v", again, err, p.got)
	}
	again.Attempt = attempt
	if !p.got[0].Code.Equal(p.got[1].Code) {
		if _, err := m.Finish(t.Context(), number, mfa.Floor{}, again, p.got[0].Code); !errors.Is(err, mfa.WrongCode) {
			t.Errorf("the first code in the second challenge: %v", err)
		}
	}
	p.fate = mfa.MessageUnconfirmed
	if _, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt, Sent: again.State}, number); err != nil {
		t.Errorf("no receipt yet: %v", err)
	}
	p.fate = mfa.MessageUndelivered
	if _, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt, Sent: again.State}, number); !errors.Is(err, mfa.MessageUndelivered) || len(p.got) != 2 {
		t.Errorf("it did not arrive: %v, %d sent", err, len(p.got))
	}
	if _, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt, Sent: again.State, Again: true}, number); err != nil || len(p.got) != 3 {
		t.Errorf("it did not arrive, and another one is wanted: %v, %d sent", err, len(p.got))
	}
	if why := m.Fate(t.Context(), again.State); why != mfa.ReasonNone {
		t.Errorf("the one before: %s", why)
	}
	p.fail = mfa.GatewayDown
	if _, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt}, number); !errors.Is(err, mfa.GatewayDown) {
		t.Errorf("no gateway: %v", err)
	}
	if _, err := m.Begin(t.Context(), mfa.Ask{}, mfa.Credential{ID: "x"}); err == nil || errors.As(err, new(mfa.Reason)) {
		t.Errorf("a credential without a number: %v", err)
	}
}

func TestNothingButTheCodeProves(t *testing.T) {
	p := &phone{}
	m := method(p)
	step, err := m.Begin(t.Context(), mfa.Ask{Attempt: attempt}, number)
	if err != nil {
		t.Fatal(err)
	}
	step.Attempt = attempt
	rapid.Check(t, func(t *rapid.T) {
		answer := rapid.OneOf(rapid.StringMatching(`[0-9]{6}`), rapid.String()).Draw(t, "answer")
		_, err := m.Finish(context.Background(), number, mfa.Floor{}, step, secret.FromString(answer))
		clean := []byte{}
		for _, c := range []byte(answer) {
			if c != ' ' && c != '-' {
				clean = append(clean, c)
			}
		}
		if (err == nil) != (string(clean) == string(p.last().Expose())) && len(answer) <= 24 {
			t.Fatalf("answer %q: %v", answer, err)
		}
	})
}
