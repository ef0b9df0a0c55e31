package enroll

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// A passkey is enrolled in two ceremonies: a browser makes it, and then uses it once. What makes it
// proves nothing yet (an attestation "none" has no signature), so it serves nobody before.

func shownPasskey(p mfa.Passkey, f mfa.Floor) *Passkey {
	count := uint64(p.Count)
	if f.Next > count {
		count = f.Next - 1
	}
	transports := p.Transports
	if transports == nil {
		transports = []string{}
	}
	return &Passkey{Model: p.Model, Count: count, Transports: transports, Synced: p.Synced(), BackedUp: p.BackedUp(),
		Discoverable: p.Discoverable, Attestation: p.Format}
}

// MakePasskey has the browser of a user make a passkey. Nothing is kept of it yet.
func (s *Service) MakePasskey(ctx context.Context, login string) (mfa.Ceremony, error) {
	if s.Passkeys == nil {
		return mfa.Ceremony{}, noSite(mfa.PasskeyNoSite)
	}
	a, err := s.account(ctx, login)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	if len(a.Credentials) >= maxCredentials {
		return mfa.Ceremony{}, invalid("%s has %d credentials already; remove one first", a.User.Login, len(a.Credentials))
	}
	var has []mfa.Credential
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodPasskey && c.Hold != mfa.CredentialUnproven {
			has = append(has, c)
		}
	}
	made, err := s.Passkeys.Make(a.User, mfa.CredentialID(mfa.NewID(rand.Reader)), has)
	return made, noSite(err)
}

// noSite says what to do where there are no passkeys yet.
func noSite(err error) error {
	if errors.Is(err, mfa.PasskeyNoSite) {
		return invalid("%v: name what portal and console are opened under (policy set passkey_site=mfa.corp.example)", mfa.PasskeyNoSite)
	}
	return err
}

// KeepPasskey keeps what a browser has made, held until it is proven, and has the browser use it.
// One that was kept before and never proven goes.
func (s *Service) KeepPasskey(ctx context.Context, by, login, label, ticket string, answer secret.Text) (mfa.Ceremony, error) {
	label, err := cleanLabel(label)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	a, h, err := s.ticket(ctx, login, ticket)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	c := mfa.Credential{ID: h.Credential, User: a.User.ID, Method: mfa.MethodPasskey, Label: label, Hold: mfa.CredentialUnproven, Created: s.Now(), By: by}
	if c.Secret, err = s.Passkeys.Made(h, answer); err != nil {
		return mfa.Ceremony{}, s.refused(ctx, by, "credential add", a.User, c, err)
	}
	if err := fits(c, a); err != nil {
		return mfa.Ceremony{}, err
	}
	if err := s.Store.UpdateRecord(ctx, a.User.ID, func(r *settlement.Record) error {
		if r.Spent(h.Nonce) {
			return mfa.ChallengeReplayed
		}
		*r = r.Spend(settlement.Nonce{ID: h.Nonce, Until: h.Expires}, s.Now())
		return nil
	}); err != nil {
		return mfa.Ceremony{}, s.refused(ctx, by, "credential add", a.User, c, err)
	}
	if err := s.dropUnproven(ctx, by, a.User.ID); err != nil {
		return mfa.Ceremony{}, err
	}
	if err := s.Store.AddCredential(ctx, c); err != nil {
		return mfa.Ceremony{}, err
	}
	if err := s.record(ctx, by, "credential add", a.User, s.describe(c)); err != nil {
		return mfa.Ceremony{}, err
	}
	return s.Passkeys.Show(c)
}

// fits refuses a passkey that the user has already, and one too many.
func fits(c mfa.Credential, a settlement.Account) error {
	if len(a.Credentials) >= maxCredentials {
		return invalid("%s has %d credentials already; remove one first", a.User.Login, len(a.Credentials))
	}
	made, err := mfa.ParsePasskey(c)
	if err != nil {
		return err
	}
	for _, has := range a.Credentials {
		if one, err := mfa.ParsePasskey(has); err == nil && has.Hold != mfa.CredentialUnproven && string(one.ID) == string(made.ID) {
			return invalid("%s has this passkey already, as credential %s", a.User.Login, has.ID)
		}
	}
	return nil
}

// ShowPasskey has the browser use a passkey that was kept and not proven yet.
func (s *Service) ShowPasskey(ctx context.Context, login, id string) (mfa.Ceremony, error) {
	_, c, err := s.find(ctx, login, id)
	if err != nil || s.Passkeys == nil {
		return mfa.Ceremony{}, errors.Join(err, noSite(mfa.PasskeyNoSite))
	}
	return s.Passkeys.Show(c)
}

// ProvePasskey has a passkey serve that the browser has used.
func (s *Service) ProvePasskey(ctx context.Context, by, login, ticket string, answer secret.Text) (Credential, error) {
	_, h, err := s.ticket(ctx, login, ticket)
	if err != nil {
		return Credential{}, err
	}
	return s.prove(ctx, by, "credential confirm", login, string(h.Credential), mfa.CredentialUnproven, func(c mfa.Credential, r *settlement.Record) (mfa.Floor, error) {
		f := r.Floors.Of(c.ID)
		if r.Spent(h.Nonce) {
			return f, mfa.ChallengeReplayed
		}
		*r = r.Spend(settlement.Nonce{ID: h.Nonce, Until: h.Expires}, s.Now())
		return s.Passkeys.Shown(ctx, h, c, f, answer)
	})
}

// ticket opens a ticket of a user's.
func (s *Service) ticket(ctx context.Context, login, ticket string) (settlement.Account, mfa.Handle, error) {
	if s.Passkeys == nil {
		return settlement.Account{}, mfa.Handle{}, noSite(mfa.PasskeyNoSite)
	}
	a, err := s.account(ctx, login)
	if err != nil {
		return a, mfa.Handle{}, err
	}
	h, err := s.Passkeys.Open(a.User.ID, ticket)
	if errors.As(err, new(mfa.Reason)) {
		err = fmt.Errorf("%w: a passkey of %s: %w (begin again)", mfa.ErrInvalid, a.User.Login, err)
	}
	return a, h, err
}

// refused is the error of a passkey that was not taken. One that the browser is to blame for has
// its record.
func (s *Service) refused(ctx context.Context, by, verb string, u mfa.User, c mfa.Credential, err error) error {
	var why mfa.Reason
	if !errors.As(err, &why) {
		return err
	}
	err = fmt.Errorf("%w: passkey %s of %s: %w", mfa.ErrInvalid, c.ID, u.Login, err)
	return errors.Join(err, s.record(ctx, by, verb, u, s.describe(c)+", refused: "+why.String()))
}

// dropUnproven removes the tokens and passkeys that a user has begun with and never proven.
func (s *Service) dropUnproven(ctx context.Context, by string, user mfa.UserID) error {
	all, err := s.List(ctx, string(user))
	if err != nil {
		return err
	}
	for _, c := range all.Credentials {
		if c.Hold == mfa.CredentialUnproven.String() && c.Method != mfa.MethodPush {
			if err := s.Remove(ctx, by, string(user), string(c.ID)); err != nil && !errors.Is(err, mfa.ErrNotFound) {
				return err
			}
		}
	}
	return nil
}

// MakePasskey has the user's browser make a passkey.
func (o Own) MakePasskey(ctx context.Context) (mfa.Ceremony, error) {
	if err := o.may(policy.SelfPasskey); err != nil {
		return mfa.Ceremony{}, err
	}
	return o.s.MakePasskey(ctx, string(o.by.User))
}

// KeepPasskey keeps what it has made, held until it is proven.
func (o Own) KeepPasskey(ctx context.Context, label, ticket string, answer secret.Text) (mfa.Ceremony, error) {
	if err := o.may(policy.SelfPasskey); err != nil {
		return mfa.Ceremony{}, err
	}
	return o.s.KeepPasskey(ctx, o.by.By, string(o.by.User), label, ticket, answer)
}

// ShowPasskey has it used once more: the time before it did not work.
func (o Own) ShowPasskey(ctx context.Context, id string) (mfa.Ceremony, error) {
	c, err := o.mine(ctx, id)
	if err != nil {
		return mfa.Ceremony{}, err
	}
	return o.s.ShowPasskey(ctx, string(o.by.User), string(c.ID))
}

// ProvePasskey has it serve; invitations have served their purpose then.
func (o Own) ProvePasskey(ctx context.Context, ticket string, answer secret.Text) (Credential, error) {
	if err := o.may(policy.SelfPasskey); err != nil {
		return Credential{}, err
	}
	proven, err := o.s.ProvePasskey(ctx, o.by.By, string(o.by.User), ticket, answer)
	if err != nil {
		return proven, err
	}
	return proven, o.enrolled(ctx, proven)
}
