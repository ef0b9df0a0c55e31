package enroll

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Confirm proves a new credential with one code, which is spent by that.
func (s *Service) Confirm(ctx context.Context, by, login, id string, r Codes) (Credential, error) {
	if len(r.Codes) != 1 {
		return Credential{}, invalid("want one code")
	}
	return s.prove(ctx, by, "credential confirm", login, id, mfa.CredentialUnproven, func(c mfa.Credential, a *settlement.Record) (mfa.Floor, error) {
		f := a.Floors.Of(c.ID)
		if c.Method.Reaches() {
			return f, s.checkProof(ctx, a, c, s.Issuer, r.Challenge, r.Codes[0].Text)
		}
		return s.Passcodes.Verify(ctx, c, f, r.Codes[0].Text)
	})
}

// Resync brings a token back into step by two consecutive codes. It can only raise the floor.
func (s *Service) Resync(ctx context.Context, by, login, id string, r Codes) (Credential, error) {
	if len(r.Codes) != 2 {
		return Credential{}, invalid("want two consecutive codes")
	}
	return s.prove(ctx, by, "credential resync", login, id, mfa.ReasonNone, func(c mfa.Credential, a *settlement.Record) (mfa.Floor, error) {
		return s.Passcodes.Resync(c, a.Floors.Of(c.ID), r.Codes[0].Text, r.Codes[1].Text, s.Now())
	})
}

// prove checks codes against the record in the very write that raises its floor, so that a code
// proves once, and marks the credential as proven. One that was held for the reason releases
// (mfa.ReasonNone: whatever it is) is held no longer. Wrong codes are counted as those of a
// sign-in are, and lock the user as these do; a right one forgets none of them.
func (s *Service) prove(ctx context.Context, by, verb, login, id string, releases mfa.Reason, check func(mfa.Credential, *settlement.Record) (mfa.Floor, error)) (Credential, error) {
	a, c, err := s.find(ctx, login, id)
	if err != nil {
		return Credential{}, err
	}
	if c.Method == mfa.MethodPush {
		return Credential{}, invalid("%s %s of %s: a device proves itself when it is activated", c.Method, c.ID, a.User.Login)
	}
	if c.Awaits {
		return Credential{}, invalid("%s %s of %s awaits its approval (credential approve)", c.Method, c.ID, a.User.Login)
	}
	var floor mfa.Floor
	var wrong mfa.Reason
	err = s.Store.UpdateRecord(ctx, a.User.ID, func(r *settlement.Record) error {
		wrong = mfa.ReasonNone
		if r.Fails.LockedAt(s.Now()) {
			return mfa.Locked
		}
		f, err := check(c, r)
		if errors.As(err, &wrong) {
			switch wrong {
			case mfa.ReplayedCode, mfa.ChallengeReplayed, mfa.ChallengeInvalid, mfa.ChallengeExpired: // no guesses: no code was compared, or it was right
			default:
				*r = r.Miss(s.Now(), s.Settings().Second())
			}
			return nil
		} else if err != nil {
			return err
		}
		*r = r.Raise(c.ID, f)
		floor = r.Floors.Of(c.ID)
		return nil
	})
	var why mfa.Reason
	switch {
	case errors.As(err, &why):
		return Credential{}, refusal(c, a.User, why)
	case err != nil:
		return Credential{}, fmt.Errorf("credential %s of %s: %w", c.ID, a.User.Login, err)
	case wrong != mfa.ReasonNone:
		return Credential{}, errors.Join(refusal(c, a.User, wrong), s.record(ctx, by, verb, a.User, s.describe(c)+", refused: "+wrong.String()))
	}
	release := c.Hold != mfa.ReasonNone && (releases == mfa.ReasonNone || releases == c.Hold)
	held := c.Hold
	if c.Confirmed.IsZero() || release {
		if c, err = s.Store.UpdateCredential(ctx, a.User.ID, c.ID, func(c *mfa.Credential) error {
			if c.Confirmed.IsZero() {
				c.Confirmed = s.Now()
			}
			if release {
				c.Hold = mfa.ReasonNone
			}
			return nil
		}); err != nil {
			return Credential{}, fmt.Errorf("credential %s of %s: %w", id, a.User.Login, err)
		}
	}
	detail := s.describe(c)
	if release {
		detail += fmt.Sprintf(", hold %s -> none", held)
	}
	return s.view(c, floor), s.record(ctx, by, verb, a.User, detail)
}

// refusal says why codes did not prove a credential. It wraps mfa.ErrInvalid and the reason.
func refusal(c mfa.Credential, u mfa.User, why mfa.Reason) error {
	next := ""
	if why == mfa.Locked {
		next = " after too many wrong codes: wait, or have the user unlocked (user unlock)"
	}
	return fmt.Errorf("%w: %s %s of %s: %w%s", mfa.ErrInvalid, c.Method, c.ID, u.Login, why, next)
}
