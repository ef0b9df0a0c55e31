package node

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// pinned judges PINs that are typed where a question is answered: on a device, in a call.
type pinned struct{ s *server }

// CheckPIN implements phonecall.PINs, and is what devices have their PINs judged by. The try is
// booked as a wrong factor before it is looked at, so that nobody's guesses outrun the limit,
// whatever becomes of the sign-in; the sign-in that it lets pass clears that. So it needs the
// group's master.
func (p pinned) CheckPIN(ctx context.Context, user mfa.UserID, typed secret.Text) error {
	now := p.s.Now()
	err := p.s.store.UpdateRecord(ctx, user, func(r *settlement.Record) error {
		if r.Fails.LockedAt(now) {
			return mfa.Locked
		}
		*r = r.Miss(now, p.s.store.Settings().Second())
		return nil
	})
	if err != nil {
		return fmt.Errorf("PIN of user %s: %w", user, err)
	}
	a, err := p.s.store.Standing(ctx, user, false)
	if err != nil {
		return fmt.Errorf("PIN of user %s: %w", user, err)
	}
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.Method == mfa.MethodPIN && !c.Disabled })
	if i < 0 {
		return mfa.WrongPIN
	}
	current, _, _ := bytes.Cut(a.Credentials[i].Secret.Expose(), []byte("\n"))
	right, err := p.s.checker.MatchPIN(ctx, user, secret.New(current), typed)
	switch {
	case err != nil:
		return err
	case !right:
		return mfa.WrongPIN
	}
	return nil
}

// Guessed implements phonecall.Guesses, and is what devices have wrong numbers counted by that no
// sign-in counts.
func (p pinned) Guessed(ctx context.Context, user mfa.UserID) error {
	err := p.s.store.UpdateRecord(ctx, user, func(r *settlement.Record) error {
		*r = r.Miss(p.s.Now(), p.s.store.Settings().Second())
		return nil
	})
	if err != nil {
		return fmt.Errorf("a wrong number of user %s could not be counted: %w", user, err)
	}
	return nil
}
