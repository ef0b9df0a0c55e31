package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// PINs judges PINs; Passwords makes their hashes.
type PINs interface {
	// MatchPIN reports whether pin is the one that hash was made of.
	MatchPIN(ctx context.Context, user mfa.UserID, hash, pin secret.Text) (bool, error)
}

// PINChange sets a user's PIN, or says that it has to be changed.
type PINChange struct {
	PIN        *secret.Wire `json:"pin,omitempty" writeOnly:"true" doc:"4 to 16 digits; empty removes it; absent: it stays"`
	MustChange *bool        `json:"must_change,omitempty" doc:"it serves at the portal only until the user has changed it; a PIN that is set here must be changed unless told otherwise"`
}

// PINState is what is shown of a user's PIN.
type PINState struct {
	Set        bool       `json:"set"`
	MustChange bool       `json:"must_change"`
	Since      *time.Time `json:"since,omitempty" doc:"when it was set"`
	Expires    *time.Time `json:"expires,omitempty" doc:"when it has to be changed; absent: never"`
	Due        bool       `json:"due,omitempty" doc:"it serves at the portal only until it is changed"`
	Wanted     bool       `json:"-"` // some rule wants one
	Own        bool       `json:"-"` // users may set their own
}

// pinOf returns the user's PIN.
func pinOf(a settlement.Account) (mfa.Credential, bool) {
	c, there := keptPIN(a)
	return c, there && !c.Disabled
}

// keptPIN returns the user's PIN or, disabled, the one that was taken away: it and those before it
// are not chosen again.
func keptPIN(a settlement.Account) (mfa.Credential, bool) {
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.Method == mfa.MethodPIN })
	if i < 0 {
		return mfa.Credential{}, false
	}
	return a.Credentials[i], true
}

func (s *Service) pinState(a settlement.Account) PINState {
	set := s.Settings.Settings()
	v := PINState{Wanted: set.WantsPIN(), Own: set.Self(policy.SelfPIN)}
	c, has := pinOf(a)
	if !has {
		return v
	}
	v.Set, v.MustChange, v.Since = true, c.MustChange, moment(c.Confirmed)
	if set.PINDays > 0 {
		v.Expires = moment(c.Confirmed.Add(time.Duration(set.PINDays) * 24 * time.Hour))
	}
	v.Due = v.MustChange || v.Expires != nil && !s.Now().Before(*v.Expires)
	return v
}

// PIN tells about a user's PIN.
func (s *Service) PIN(ctx context.Context, typed string) (PINState, error) {
	a, err := s.account(ctx, typed)
	return s.pinState(a), err
}

// SetPIN sets, removes or ages a user's PIN for somebody else. Nobody is told it in any message:
// who sets it says it, and the user changes it at the portal.
func (s *Service) SetPIN(ctx context.Context, by, typed string, c PINChange) (PINState, error) {
	a, err := s.account(ctx, typed)
	if err != nil {
		return PINState{}, err
	}
	must := c.MustChange == nil || *c.MustChange
	switch {
	case c.PIN == nil && c.MustChange == nil:
		return PINState{}, invalid("nothing to change: give a PIN, or say whether it must be changed")
	case c.PIN == nil:
		err = s.agePIN(ctx, by, a, must)
	case c.PIN.Empty():
		err = s.removePIN(ctx, by, a)
	default:
		err = s.writePIN(ctx, by, "user pin set", a, c.PIN.Text, must)
	}
	if err != nil {
		return PINState{}, err
	}
	if a, err = s.Users.Account(ctx, a.User.ID, true); err != nil {
		return PINState{}, err
	}
	return s.pinState(a), nil
}

func (s *Service) agePIN(ctx context.Context, by string, a settlement.Account, must bool) error {
	c, has := pinOf(a)
	if !has {
		return invalid("%s has no PIN", a.User.Login)
	}
	if _, err := s.Credentials.UpdateCredential(ctx, a.User.ID, c.ID, func(c *mfa.Credential) error { c.MustChange = must; return nil }); err != nil {
		return err
	}
	return s.record(ctx, by, "user pin must-change", a.User.Login, fmt.Sprintf("must change %t -> %t", c.MustChange, must))
}

func (s *Service) removePIN(ctx context.Context, by string, a settlement.Account) error {
	c, has := pinOf(a)
	if !has {
		return invalid("%s has no PIN", a.User.Login)
	}
	if s.Settings.Settings().PINHistory == 0 {
		if err := s.Credentials.RemoveCredential(ctx, a.User.ID, c.ID); err != nil {
			return err
		}
	} else if _, err := s.Credentials.UpdateCredential(ctx, a.User.ID, c.ID, func(c *mfa.Credential) error { c.Disabled, c.By = true, by; return nil }); err != nil {
		return err
	}
	return s.record(ctx, by, "user pin remove", a.User.Login, "")
}

// writePIN checks a new PIN against the rules and those before, and keeps it.
func (s *Service) writePIN(ctx context.Context, by, verb string, a settlement.Account, pin secret.Text, must bool) error {
	set := s.Settings.Settings()
	if err := policy.CheckPIN(pin, set, numbersOf(a)...); err != nil {
		return fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	old, kept := keptPIN(a)
	before := splitPINs(old.Secret)
	for _, hash := range before[:min(len(before), max(set.PINHistory, min(len(before), 1)))] { // the present one never again
		same, err := s.PINs.MatchPIN(ctx, a.User.ID, hash, pin)
		if err != nil {
			return err
		}
		if same {
			return fmt.Errorf("%w: %w", mfa.ErrInvalid, policy.ErrPINUsed)
		}
	}
	hash, err := s.Passwords.Hash(ctx, pin)
	if err != nil {
		return fmt.Errorf("PIN: %w", err)
	}
	all := append([]secret.Text{hash}, before...)
	made := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: a.User.ID, Method: mfa.MethodPIN, Secret: joinPINs(all[:min(len(all), set.PINHistory+1)]),
		Digits: pin.Len(), MustChange: must, Created: s.Now(), Confirmed: s.Now(), By: by}
	did := "set"
	if !kept {
		err = s.Credentials.AddCredential(ctx, made)
	} else {
		if !old.Disabled {
			did = "replaced"
		}
		_, err = s.Credentials.UpdateCredential(ctx, a.User.ID, old.ID, func(c *mfa.Credential) error {
			if !c.Secret.Equal(old.Secret) {
				return fmt.Errorf("PIN of %s: %w", a.User.Login, mfa.ErrConflict)
			}
			c.Secret, c.Digits, c.MustChange, c.Confirmed, c.By, c.Disabled = made.Secret, made.Digits, must, made.Confirmed, by, false
			return nil
		})
	}
	if err != nil {
		return err
	}
	detail := did
	if must {
		detail += ", must be changed"
	}
	return s.record(ctx, by, verb, a.User.Login, detail)
}

// numbersOf are the telephone numbers that are known of a user: those that they are reached at, too.
func numbersOf(a settlement.Account) []string {
	numbers := []string{a.User.Phone}
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodSMS || c.Method == mfa.MethodCall {
			numbers = append(numbers, string(c.Secret.Expose()))
		}
	}
	return numbers
}

func splitPINs(kept secret.Text) (hashes []secret.Text) {
	for line := range bytes.SplitSeq(kept.Expose(), []byte("\n")) {
		if len(line) > 0 {
			hashes = append(hashes, secret.New(line))
		}
	}
	return hashes
}

func joinPINs(hashes []secret.Text) secret.Text {
	var b []byte
	for i, h := range hashes {
		if i > 0 {
			b = append(b, '\n')
		}
		b = append(b, h.Expose()...)
	}
	return secret.New(b)
}

// PIN tells about the user's own.
func (o Own) PIN(ctx context.Context) (PINState, error) {
	a, err := o.s.Users.Account(ctx, o.by.User, false)
	return o.s.pinState(a), err
}

// SetPIN changes the user's own PIN, or gives them one. Who changes it has proven both factors,
// and the old PIN with them.
func (o Own) SetPIN(ctx context.Context, pin secret.Text) error {
	if err := o.may(policy.SelfPIN); err != nil {
		return err
	}
	if err := o.Guards(ctx); err != nil {
		return err
	}
	a, err := o.s.Users.Account(ctx, o.by.User, true)
	if err != nil {
		return err
	}
	return o.s.writePIN(ctx, o.by.By, "user pin set", a, pin, false)
}

// SetPreferred keeps which second factor the user is asked for first; "": none.
func (o Own) SetPreferred(ctx context.Context, method string) error {
	_, err := o.s.SetUser(ctx, o.by.By, o.id(), UserChange{PreferredMethod: &method})
	return err
}

// WeakPIN returns which of the rules for new PINs err is about, for pages that say it in another
// language; nil: none.
func WeakPIN(err error) error {
	for _, rule := range []error{policy.ErrPINDigits, policy.ErrPINLength, policy.ErrPINRepeat, policy.ErrPINSequence, policy.ErrPINPhone, policy.ErrPINUsed} {
		if errors.Is(err, rule) {
			return rule
		}
	}
	return nil
}
