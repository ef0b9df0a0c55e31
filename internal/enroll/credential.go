package enroll

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// List returns the second factors of a user, oldest first.
func (s *Service) List(ctx context.Context, login string) (CredentialList, error) {
	a, err := s.account(ctx, login)
	if err != nil {
		return CredentialList{}, err
	}
	out := CredentialList{Credentials: []Credential{}}
	for _, c := range a.Credentials {
		if !c.Method.FirstFactor() {
			out.Credentials = append(out.Credentials, s.view(c, a.Record.Floors.Of(c.ID)))
		}
	}
	slices.SortStableFunc(out.Credentials, func(a, b Credential) int { return a.Created.Compare(b.Created) })
	return out, nil
}

func (s *Service) account(ctx context.Context, login string) (settlement.Account, error) {
	u, err := s.Resolve(ctx, login)
	if err != nil {
		return settlement.Account{}, err
	}
	return s.Store.Account(ctx, u.ID, false)
}

// find returns the user's credential that id names. It may be the beginning of an id, or
// a method, if only one credential fits.
func (s *Service) find(ctx context.Context, login, id string) (settlement.Account, mfa.Credential, error) {
	a, err := s.account(ctx, login)
	if err != nil {
		return a, mfa.Credential{}, err
	}
	var fits []mfa.Credential
	for _, c := range a.Credentials {
		switch {
		case c.Method.FirstFactor():
		case string(c.ID) == id:
			return a, c, nil
		case len(id) >= 4 && strings.HasPrefix(string(c.ID), id), string(c.Method) == id:
			fits = append(fits, c)
		}
	}
	switch len(fits) {
	case 1:
		return a, fits[0], nil
	case 0:
		return a, mfa.Credential{}, fmt.Errorf("credential %q of %s: %w", id, a.User.Login, mfa.ErrNotFound)
	}
	return a, mfa.Credential{}, invalid("%q fits %d credentials of %s; give the whole id", id, len(fits), a.User.Login)
}

// view converts for the API.
func (s *Service) view(c mfa.Credential, f mfa.Floor) Credential {
	v := Credential{ID: c.ID, Method: c.Method, Label: c.Label, Algorithm: c.Algorithm, Digits: c.Digits, Period: c.Period,
		Drift: f.Drift, Uses: c.Uses, Scope: s.scopeNames(c), Disabled: c.Disabled, Created: c.Created,
		Confirmed: moment(c.Confirmed), Expires: moment(c.Expires), By: c.By, Why: c.Why}
	if c.Method == mfa.MethodTAP {
		v.Awaits, v.Approver = c.Awaits, approver(c)
	}
	if c.Hold != mfa.ReasonNone {
		v.Hold = c.Hold.String()
	}
	if c.Method == mfa.MethodRecovery || c.Method == mfa.MethodTAP {
		left := max(c.Uses-bits.OnesCount64(f.Spent), 0)
		v.Left = &left
	}
	if p, err := mfa.ParsePasskey(c); err == nil {
		v.Passkey = shownPasskey(p, f)
	}
	return v
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Disable switches a credential off; enable switches it on again.
func (s *Service) Disable(ctx context.Context, by, login, id string, disabled bool) (Credential, error) {
	a, c, err := s.find(ctx, login, id)
	if err != nil {
		return Credential{}, err
	}
	var before bool
	if c, err = s.Store.UpdateCredential(ctx, a.User.ID, c.ID, func(c *mfa.Credential) error {
		before = c.Disabled
		c.Disabled = disabled
		return nil
	}); err != nil {
		return Credential{}, fmt.Errorf("credential %s of %s: %w", id, a.User.Login, err)
	}
	verb := map[bool]string{true: "credential disable", false: "credential enable"}[disabled]
	return s.view(c, a.Record.Floors.Of(c.ID)), s.record(ctx, by, verb, a.User, fmt.Sprintf("%s, disabled %t -> %t", s.describe(c), before, disabled))
}

// Remove deletes a credential.
func (s *Service) Remove(ctx context.Context, by, login, id string) error {
	a, c, err := s.find(ctx, login, id)
	if err != nil {
		return err
	}
	if err := s.Store.RemoveCredential(ctx, a.User.ID, c.ID); err != nil {
		return fmt.Errorf("credential %s of %s: %w", c.ID, a.User.Login, err)
	}
	return s.record(ctx, by, "credential remove", a.User, s.describe(c))
}
