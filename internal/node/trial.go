package node

import (
	"context"
	"fmt"

	"countersign/internal/authn"
	"countersign/internal/mfa"
)

// trials put questions to people that let nobody in, by the means of sign-ins.
type trials struct{ s *server }

// reacher is what asks people by one method.
type reacher interface {
	Admit(ctx context.Context, w mfa.Wait) error
	Reach(ctx context.Context, w mfa.Wait, creds []mfa.Credential) error
}

// Ask implements enroll.Asker: devices and telephones are asked as a sign-in asks them.
func (p trials) Ask(ctx context.Context, w mfa.Wait, creds []mfa.Credential) error {
	by, ok := map[mfa.MethodID]reacher{mfa.MethodPush: p.s.push, mfa.MethodCall: p.s.calls}[w.Method]
	if !ok {
		return fmt.Errorf("method %s asks nobody: %w", w.Method, mfa.ErrInvalid)
	}
	w.Epoch = p.s.store.Epoch()
	if err := by.Admit(ctx, w); err != nil {
		return err
	}
	// It is one more time that they are asked: who is asked often enough says yes in the end.
	if err := p.s.store.Take(ctx, authn.PromptQuota(w.User, p.s.store.Settings().Prompts)); err != nil {
		return fmt.Errorf("prompts of user %s: %w", w.User, err)
	}
	if _, _, err := p.s.store.OpenWait(ctx, w, func(there mfa.Wait) (mfa.Wait, bool) { return there, false }); err != nil {
		return err
	}
	return by.Reach(ctx, w, creds)
}

// Wait implements enroll.Asker.
func (p trials) Wait(ctx context.Context, user mfa.UserID, id mfa.WaitID, fresh bool) (mfa.Wait, error) {
	return p.s.store.Wait(ctx, user, id, fresh)
}
