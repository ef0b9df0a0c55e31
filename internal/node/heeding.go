package node

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
)

// heeding is the engine of a server that heeds what it hears. One that is set aside decides
// nothing: not what needs no settlement, and not what was on its way when it heard of a later
// epoch. The error keeps the front-end silent, so that its client asks another server.
type heeding struct {
	engine mfa.Authenticator
	aside  func() *aside
}

// Authenticate implements mfa.Authenticator.
func (h heeding) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	if err := h.refusal(); err != nil {
		return mfa.Decision{}, err
	}
	decision, err := h.engine.Authenticate(ctx, r)
	if err == nil {
		err = h.refusal()
	}
	if err != nil {
		return mfa.Decision{}, err
	}
	return decision, nil
}

func (h heeding) refusal() error {
	if a := h.aside(); a != nil {
		return fmt.Errorf("this server decides nothing: %s: %w", a.why, mfa.ErrUnavailable)
	}
	return nil
}

func (s *server) heeding() heeding { return heeding{s.engine, s.aside.Load} }
