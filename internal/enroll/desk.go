package enroll

import (
	"context"
	"fmt"
	"slices"

	"countersign/internal/mfa"
)

// Desk is the Service as one caller may use it: each of its methods asks first whether they
// may. Allowed finds a user on whom the caller has one of the permissions; package admin's
// desk does.
type Desk struct {
	s       *Service
	by      mfa.Caller
	allowed Allowed
}

// Allowed returns the user whom login names if the caller has one of the permissions on them.
type Allowed func(ctx context.Context, login string, anyOf ...mfa.Permission) (mfa.User, error)

// As returns the desk of one caller.
func (s *Service) As(by mfa.Caller, allowed Allowed) Desk { return Desk{s, by, allowed} }

// Givers are the permissions of which each is about credentials of some methods.
var Givers = []mfa.Permission{mfa.MayManageToken, mfa.MayChangeMethod, mfa.MayIssuePass, mfa.MayChangePhone, mfa.MayActivateApp, mfa.MayDeactivateApp}

// needs is the permission that credentials of a method ask for.
func needs(m mfa.MethodID) mfa.Permission {
	switch m {
	case mfa.MethodTOTP, mfa.MethodHOTP, mfa.MethodPasskey:
		return mfa.MayManageToken
	case mfa.MethodTAP:
		return mfa.MayIssuePass
	case mfa.MethodSMS, mfa.MethodEmail, mfa.MethodCall:
		return mfa.MayChangePhone
	case mfa.MethodPush:
		return mfa.MayActivateApp
	}
	return mfa.MayChangeMethod
}

// gives reports whether who may give tokens and no more gives those of a method.
func gives(m mfa.MethodID) bool {
	return needs(m) == mfa.MayManageToken || m == mfa.MethodRecovery
}

// touches are the permissions of which one is enough to change a credential that is there.
func touches(m mfa.MethodID) []mfa.Permission {
	if m == mfa.MethodPush {
		return []mfa.Permission{mfa.MayDeactivateApp, mfa.MayActivateApp}
	}
	return []mfa.Permission{needs(m)}
}

// List returns the second factors of a user.
func (d Desk) List(ctx context.Context, login string) (CredentialList, error) {
	u, err := d.allowed(ctx, login, mfa.MayReadUsers)
	if err != nil {
		return CredentialList{}, err
	}
	return d.s.List(ctx, string(u.ID))
}

// Add gives a user a credential. A pass that lives longer, or serves more often, than by
// default asks for a permission of its own.
func (d Desk) Add(ctx context.Context, login string, r Request) (Created, error) {
	enough := []mfa.Permission{needs(r.Method)}
	if gives(r.Method) {
		enough = append(enough, mfa.MayGiveToken)
	}
	u, err := d.allowed(ctx, login, enough...)
	if err != nil {
		return Created{}, err
	}
	if r.Method == mfa.MethodTAP && (r.Seconds > int64(passLife.Seconds()) || r.Uses > 1) && !d.by.Can(mfa.MayChoosePassLife) {
		return Created{}, fmt.Errorf("a pass for more than %s or more than one use: %w", passLife, d.by.Lacks(mfa.MayChoosePassLife))
	}
	return d.s.add(ctx, d.by, string(u.ID), r, mfa.ReasonNone)
}

// Send sends a code that proves a number or an address.
func (d Desk) Send(ctx context.Context, login, id string) (Sent, error) {
	u, id, err := d.find(ctx, login, id)
	if err != nil {
		return Sent{}, err
	}
	return d.s.Send(ctx, d.by.By, u, id)
}

// Confirm proves a credential with one code.
func (d Desk) Confirm(ctx context.Context, login, id string, r Codes) (Credential, error) {
	u, id, err := d.find(ctx, login, id, mfa.MayGiveToken)
	if err != nil {
		return Credential{}, err
	}
	return d.s.Confirm(ctx, d.by.By, u, id, r)
}

// Resync brings a token back into step.
func (d Desk) Resync(ctx context.Context, login, id string, r Codes) (Credential, error) {
	u, id, err := d.find(ctx, login, id, mfa.MayGiveToken)
	if err != nil {
		return Credential{}, err
	}
	return d.s.Resync(ctx, d.by.By, u, id, r)
}

// Disable switches a credential off or, with false, on.
func (d Desk) Disable(ctx context.Context, login, id string, disabled bool) (Credential, error) {
	u, id, err := d.find(ctx, login, id)
	if err != nil {
		return Credential{}, err
	}
	c, err := d.s.Disable(ctx, d.by.By, u, id, disabled)
	if err == nil && disabled {
		err = d.signOut(ctx, u)
	}
	return c, err
}

// Remove deletes a credential.
func (d Desk) Remove(ctx context.Context, login, id string) error {
	u, id, err := d.find(ctx, login, id)
	if err != nil {
		return err
	}
	if err := d.s.Remove(ctx, d.by.By, u, id); err != nil {
		return err
	}
	return d.signOut(ctx, u)
}

// signOut ends the sessions of a user, but for the caller's own.
func (d Desk) signOut(ctx context.Context, user string) error {
	u, err := d.s.Resolve(ctx, user)
	if err != nil {
		return err
	}
	return d.s.signOut(ctx, d.by.By, u, d.by.Session)
}

// find returns the ids of a user and of one of their credentials, if the caller may change
// it, or holds also, which is enough for those that are given (gives). Whoever may not touch any
// is told nothing of them.
func (d Desk) find(ctx context.Context, login, id string, also ...mfa.Permission) (user, credential string, err error) {
	u, err := d.allowed(ctx, login, slices.Concat(Givers, also)...)
	if err != nil {
		return "", "", err
	}
	_, c, err := d.s.find(ctx, string(u.ID), id)
	if err != nil {
		return "", "", err
	}
	enough := touches(c.Method)
	if gives(c.Method) {
		enough = append(enough, also...)
	}
	_, err = d.allowed(ctx, string(u.ID), enough...)
	return string(u.ID), string(c.ID), err
}
