package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// MaxLabel is the longest name of a credential, in bytes.
const MaxLabel = 64

// ErrLast says that a second factor is the last one, which users do not take away themselves.
var ErrLast = fmt.Errorf("the last second factor stays: enrol another one first, or have an administrator remove it: %w", mfa.ErrForbidden)

// Own is what somebody may do with credentials of their own, as far as the group's policy
// lets them. Credentials are named by their whole id; another
// user's is not found.
type Own struct {
	s  *Service
	by mfa.Caller
}

// Own returns what by.User may do with their own credentials. by.Session is the one that goes
// on when others end.
func (s *Service) Own(by mfa.Caller) Own { return Own{s, by} }

// may refuses what the policy does not let users do.
func (o Own) may(what string) error {
	if o.s.Settings().Self(what) {
		return nil
	}
	return fmt.Errorf("%s: %w: users do not do this themselves here (policy self_service lacks %s)", o.by.By, mfa.ErrForbidden, what)
}

// mine returns the user's credential of that id.
func (o Own) mine(ctx context.Context, id string) (mfa.Credential, error) {
	_, c, err := o.s.find(ctx, string(o.by.User), id)
	if err == nil && string(c.ID) != id || errors.Is(err, mfa.ErrInvalid) {
		err = fmt.Errorf("credential %q: %w", id, mfa.ErrNotFound)
	}
	return c, err
}

// List returns the user's second factors, oldest first.
func (o Own) List(ctx context.Context) (CredentialList, error) {
	return o.s.List(ctx, string(o.by.User))
}

// Begin makes a totp token that serves nobody until Prove has seen a code of it. One that was
// begun before, and not proven, goes.
func (o Own) Begin(ctx context.Context, label string) (Created, error) {
	if err := o.may(policy.SelfTOTP); err != nil {
		return Created{}, err
	}
	label, err := cleanLabel(label)
	if err != nil {
		return Created{}, err
	}
	if err := o.s.dropUnproven(ctx, o.by.By, o.by.User); err != nil {
		return Created{}, err
	}
	return o.s.add(ctx, o.by, string(o.by.User), Request{Method: mfa.MethodTOTP, Label: label}, mfa.CredentialUnproven)
}

// Prove has a token serve after one right code, which is spent by that; invitations have served
// their purpose then. For wrong codes see Service.Confirm.
func (o Own) Prove(ctx context.Context, id string, code secret.Text) (Credential, error) {
	if err := o.may(policy.SelfTOTP); err != nil {
		return Credential{}, err
	}
	c, err := o.mine(ctx, id)
	if err != nil {
		return Credential{}, err
	}
	if c.Method != mfa.MethodTOTP && c.Method != mfa.MethodHOTP {
		return Credential{}, invalid("a %s is not proven by a code", c.Method)
	}
	return o.proven(ctx, id, Codes{Codes: []secret.Wire{{Text: code}}})
}

// Rename gives a credential another label.
func (o Own) Rename(ctx context.Context, id, label string) error {
	c, err := o.mine(ctx, id)
	if err != nil {
		return err
	}
	if err := o.may(selfService(c.Method)); err != nil {
		return err
	}
	if err := o.covers(ctx, c); err != nil {
		return err
	}
	if c.Method.Reaches() {
		return invalid("the name of a %s is made of the number or address", c.Method)
	}
	label, err = cleanLabel(label)
	if err != nil {
		return err
	}
	if c, err = o.s.Store.UpdateCredential(ctx, o.by.User, c.ID, func(c *mfa.Credential) error {
		c.Label = label
		return nil
	}); err != nil {
		return fmt.Errorf("credential %s of user %s: %w", id, o.by.User, err)
	}
	return o.recorded(ctx, "credential rename", o.s.describe(c))
}

// selfService is what the policy calls it if users take care of credentials of a method.
func selfService(m mfa.MethodID) string {
	if word, ok := selfNumber(m); ok {
		return word
	}
	switch m {
	case mfa.MethodRecovery:
		return policy.SelfRecovery
	case mfa.MethodPasskey:
		return policy.SelfPasskey
	case mfa.MethodPush:
		return policy.SelfPush
	}
	return policy.SelfTOTP
}

// recorded puts an act of the user on themselves into the trail.
func (o Own) recorded(ctx context.Context, verb, detail string) error {
	u, err := o.s.Resolve(ctx, string(o.by.User))
	if err != nil {
		return err
	}
	return o.s.record(ctx, o.by.By, verb, u, detail)
}

// cleanLabel returns a label as it is kept.
func cleanLabel(label string) (string, error) {
	label = strings.TrimSpace(label)
	if len(label) > MaxLabel || !utf8.ValidString(label) || strings.IndexFunc(label, unicode.IsControl) >= 0 {
		return "", invalid("name: want one short line of text, at most %d bytes", MaxLabel)
	}
	return label, nil
}

// worth is what somebody must have proven who changes c, of all the credentials that they have:
// what c itself gives. Who has recovery codes has a way around all that there is.
func worth(c mfa.Credential, all []mfa.Credential) mfa.Assurance {
	switch {
	case c.Hold == mfa.CredentialUnproven: // serves nobody
		return mfa.AssuranceStopgap
	case c.Method == mfa.MethodRecovery:
		return mfa.AssuranceOf(all)
	}
	return c.Method.Assurance()
}

// covers refuses to change c for less than it is worth.
func (o Own) covers(ctx context.Context, c mfa.Credential) error {
	a, err := o.s.Store.Account(ctx, o.by.User, true)
	if err != nil {
		return err
	}
	return o.by.Proves(worth(c, a.Credentials))
}

// Remove deletes a credential, for what proves as much as it does (mfa.ErrWeakProof). The last second factor stays (ErrLast), unless the policy lets
// users remove it: recovery codes and passes are none that anybody could live on. With a
// factor that served, the user's other sessions end.
func (o Own) Remove(ctx context.Context, id string) error {
	c, err := o.mine(ctx, id)
	if err != nil {
		return err
	}
	if err := o.may(selfService(c.Method)); err != nil {
		return err
	}
	err = o.s.Store.RemoveCredentialIf(ctx, o.by.User, c.ID, func(all []mfa.Credential) error {
		if err := o.by.Proves(worth(c, all)); err != nil {
			return err
		}
		if !stands(c) || o.s.Settings().Self(policy.SelfRemoveLast) {
			return nil
		}
		for _, other := range all {
			if other.ID != c.ID && stands(other) && o.instead(c, other) {
				return nil
			}
		}
		return ErrLast
	})
	if err != nil {
		return fmt.Errorf("credential %s of user %s: %w", c.ID, o.by.User, err)
	}
	if err := o.recorded(ctx, "credential remove", o.s.describe(c)); err != nil || !stands(c) {
		return err
	}
	u, err := o.s.Resolve(ctx, string(o.by.User))
	if err != nil {
		return err
	}
	return o.s.signOut(ctx, o.by.By, u, o.by.Session)
}

// instead reports whether other may be what is left when c is gone: a mailbox alone is a way back and no second
// factor where it is not named as one, and a passkey of a model that is denied signs nobody in.
func (o Own) instead(c, other mfa.Credential) bool {
	switch other.Method {
	case mfa.MethodEmail:
		return c.Method == mfa.MethodEmail
	case mfa.MethodPasskey:
		k, err := mfa.ParsePasskey(other)
		return err == nil && !o.s.Settings().PasskeyDenied(k.Model)
	}
	return true
}

// stands reports whether somebody can sign in with a credential for good.
func stands(c mfa.Credential) bool {
	switch c.Method {
	case mfa.MethodPassword, mfa.MethodPIN, mfa.MethodRecovery, mfa.MethodTAP:
		return false
	}
	return !c.Disabled && c.Hold == mfa.ReasonNone && c.Expires.IsZero()
}

// Recovery makes recovery codes, in place of any that there were; not for one of them, or a pass
// (mfa.ErrWeakProof).
func (o Own) Recovery(ctx context.Context) (Created, error) {
	if err := o.may(policy.SelfRecovery); err != nil {
		return Created{}, err
	}
	if err := o.covers(ctx, mfa.Credential{Method: mfa.MethodRecovery}); err != nil {
		return Created{}, err
	}
	before, err := o.List(ctx)
	if err != nil {
		return Created{}, err
	}
	made, err := o.s.Add(ctx, o.by.By, string(o.by.User), Request{Method: mfa.MethodRecovery})
	if err != nil {
		return Created{}, err
	}
	for _, c := range before.Credentials {
		if c.Method == mfa.MethodRecovery {
			if err := o.s.Remove(ctx, o.by.By, string(o.by.User), string(c.ID)); err != nil && !errors.Is(err, mfa.ErrNotFound) {
				return Created{}, err
			}
		}
	}
	return made, nil
}
