package admin

import (
	"context"
	"crypto/rand"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// TestSignIn makes one leg of a real authentication, as the named application would, and
// tells the trace of every decision. It counts as any other: a wrong code is a wrong code.
func (s *Service) TestSignIn(ctx context.Context, by string, r TestRequest) (TestResult, error) {
	app, err := s.Applications.ApplicationByName(r.Application)
	if err != nil {
		return TestResult{}, err
	}
	if err := s.record(ctx, by, "test", app.Name, "login "+clip(fmt.Sprintf("%q", r.Login))); err != nil {
		return TestResult{}, err
	}
	q := mfa.Request{Application: app.ID, FrontEnd: "test", Login: r.Login, Handle: r.Handle, Caps: mfa.CanPrompt,
		Source: r.Source, Trace: true, Password: text(r.Password), Answer: text(r.Answer)}
	if _, err := rand.Read(q.Leg[:]); err != nil {
		return TestResult{}, err
	}
	d, err := s.Engine.Authenticate(ctx, q)
	if err != nil {
		return TestResult{}, fmt.Errorf("no decision was possible (radius would stay silent): %w", err)
	}
	return TestResult{Verdict: d.Verdict.String(), Reason: d.Reason.String(), Message: d.Message, AttemptID: d.Attempt,
		Handle: d.Handle, Reply: list(d.Reply), Trace: list(d.Trace)}, nil
}

// text returns the secret that came, or an empty one.
func text(w *secret.Wire) secret.Text {
	if w == nil {
		return secret.Text{}
	}
	return w.Text
}
