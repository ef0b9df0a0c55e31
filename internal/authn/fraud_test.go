package authn_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// crier is a method whose users may say that it was not them: by the answer 0#.
type crier struct{ begin error }

func (crier) ID() mfa.MethodID { return "push" }
func (crier) Needs() mfa.Caps  { return mfa.CanPrompt }
func (c crier) Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error) {
	return mfa.Step{Prompt: "Approve it", State: []byte("pushed")}, c.begin
}

func (crier) Finish(_ context.Context, _ mfa.Credential, _ mfa.Floor, _ mfa.Step, answer secret.Text) (mfa.Proof, error) {
	if string(answer.Expose()) == "0#" {
		return mfa.Proof{}, mfa.FraudReported
	}
	return mfa.Proof{}, mfa.WrongCode
}

func TestFraudIsReportedOnce(t *testing.T) {
	g := newRig(t)
	g.more = append(g.more, crier{})
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = append([]mfa.Credential{{ID: "phone", User: "alice", Method: "push"}}, a.Credentials...)
	})
	var mu sync.Mutex
	var told []mfa.Fraud
	e := g.engine()
	e.Fraud = func(_ context.Context, f mfa.Fraud) error {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, f)
		if len(g.trail.verdicts()) != 1 {
			t.Error("told before it was recorded")
		}
		return errors.New("no disk")
	}
	r := firstLeg("vpn", "alice", "right")
	r.Source = "203.0.113.7"
	d := ask(t, e, r)
	if d.Verdict != mfa.Challenge {
		t.Fatalf("got %s %s", d.Verdict, d.Reason)
	}
	answer := answerTo("vpn", "alice", d, "0#")
	answer.Leg, answer.Source = mfa.LegID{7}, r.Source
	for range 2 { // the client repeats it
		if got := ask(t, e, answer); got.Verdict != mfa.Reject || got.Reason != mfa.FraudReported {
			t.Errorf("got %s %s", got.Verdict, got.Reason)
		}
	}
	if len(told) != 1 || told[0].User != "alice" || told[0].Attempt != d.Attempt || told[0].Channel != "push" || told[0].Source != r.Source || told[0].Application != "vpn" {
		t.Errorf("told %+v", told)
	}
	if n := g.store.record("alice").Fails.N; n != 0 {
		t.Errorf("counted as %d guesses", n)
	}
}

// A call that the user answers with the fraud code is not followed by another way.
func TestFraudWhileAskingEndsTheAttempt(t *testing.T) {
	g := newRig(t)
	g.more = append(g.more, crier{begin: mfa.FraudReported})
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = append([]mfa.Credential{{ID: "phone", User: "alice", Method: "push"}}, a.Credentials...)
	})
	var told mfa.Fraud
	e := g.engine()
	e.Fraud = func(_ context.Context, f mfa.Fraud) error { told = f; return nil }
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Reason != mfa.FraudReported || told.User != "alice" || told.Channel != "push" {
		t.Errorf("got %s %s, told %+v", d.Verdict, d.Reason, told)
	}
}
