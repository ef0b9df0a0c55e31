package admin

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// MinOwnPassword is the shortest local password that users give themselves, in characters.
const MinOwnPassword = 10

// Own is what somebody may do with their own account, as far as the group's policy lets them;
// what there is on second factors has package enroll.
type Own struct {
	s  *Service
	by Caller
}

// Own returns what by.User may do with their own account. by.Session is the one that goes on.
func (s *Service) Own(by Caller) Own { return Own{s, by} }

func (o Own) id() string { return string(o.by.User) }

// may refuses what the policy does not let users do.
func (o Own) may(what string) error {
	if o.s.Settings.Settings().Self(what) {
		return nil
	}
	return fmt.Errorf("%s: %w: users do not do this themselves here (policy self_service lacks %s)", o.by.By, mfa.ErrForbidden, what)
}

// Guards refuses to change what guards the whole account (password, PIN, recovery codes, phone
// number) for less than what that has (mfa.ErrWeakProof).
func (o Own) Guards(ctx context.Context) error {
	a, err := o.s.Users.Account(ctx, o.by.User, true)
	if err != nil {
		return err
	}
	return o.by.Proves(mfa.AssuranceOf(a.Credentials))
}

// SetPhone changes the user's phone number; "" removes it.
func (o Own) SetPhone(ctx context.Context, phone string) error {
	if err := o.may(policy.SelfPhone); err != nil {
		return err
	}
	if err := o.Guards(ctx); err != nil {
		return err
	}
	_, err := o.s.SetUser(ctx, o.by.By, o.id(), UserChange{Phone: &phone})
	return err
}

// SetLanguage changes the language of pages and messages.
func (o Own) SetLanguage(ctx context.Context, language string) error {
	_, err := o.s.SetUser(ctx, o.by.By, o.id(), UserChange{Language: &language})
	return err
}

// HasPassword reports whether the portal checks a local password of the user's.
func (o Own) HasPassword(ctx context.Context) (has bool, local bool, err error) {
	app, err := o.s.BuiltIn(ctx, PortalApplication)
	if err != nil {
		return false, false, err
	}
	a, err := o.s.Users.Account(ctx, o.by.User, false)
	return hasPassword(a), app.FirstFactor == mfa.FirstFactorLocal, err
}

func hasPassword(a settlement.Account) bool {
	for _, c := range a.Credentials {
		if c.Method == mfa.MethodPassword {
			return true
		}
	}
	return false
}

// SetPassword replaces the user's local password and ends their other sessions. A password
// that a directory checks is changed there.
func (o Own) SetPassword(ctx context.Context, password secret.Text) error {
	if err := o.may(policy.SelfPassword); err != nil {
		return err
	}
	if _, local, err := o.HasPassword(ctx); err != nil {
		return err
	} else if !local {
		return fmt.Errorf("%s: %w: a directory checks the password; it is changed there", o.by.By, mfa.ErrForbidden)
	}
	if err := o.Guards(ctx); err != nil {
		return err
	}
	if utf8.RuneCount(password.Expose()) < MinOwnPassword {
		return invalid("password: want %d characters or more", MinOwnPassword)
	}
	if _, err := o.s.SetUser(ctx, o.by.By, o.id(), UserChange{Password: &secret.Wire{Text: password}}); err != nil {
		return err
	}
	_, err := o.s.EndSessions(ctx, o.by.By, o.id(), o.by.Session)
	return err
}

// Attempts returns the user's latest sign-ins at all servers of the group, newest first, and
// whether those are all: of servers that do not answer none are there.
func (o Own) Attempts(ctx context.Context, limit int) (list []Attempt, all bool, err error) {
	found, err := o.s.Attempts(ctx, o.id(), AuditQuery{Limit: limit})
	return found.Attempts, len(found.Silent) == 0, err
}

const (
	disownedFor  = 31 * 24 * time.Hour // how old a sign-in may be
	disownedPage = 200
	maxDisowned  = 2000 // sign-ins that are looked through
)

// Disown is what users do about a sign-in of theirs, by its id, that was not them. Another
// user's sign-in is not found.
func (o Own) Disown(ctx context.Context, id string) (Disowned, error) {
	attempt, err := o.attempt(ctx, id)
	if err != nil {
		return Disowned{}, err
	}
	return o.s.reportFraud(ctx, o.by.By, mfa.Fraud{User: o.by.User, Attempt: attempt.ID, Channel: mfa.FraudPortal, Time: attempt.Time, Server: attempt.Server,
		Application: attempt.Application, Source: or(attempt.Source, attempt.Peer), Verdict: attempt.Verdict.String(), Reason: attempt.Reason.String()})
}

// attempt finds a sign-in of the user's.
func (o Own) attempt(ctx context.Context, id string) (mfa.Attempt, error) {
	none := fmt.Errorf("sign-in %.32q: %w", id, mfa.ErrNotFound)
	var want mfa.AttemptID
	if want.UnmarshalText([]byte(id)) != nil || want == (mfa.AttemptID{}) {
		return mfa.Attempt{}, none
	}
	q := AuditQuery{User: o.by.User, Since: o.s.Now().Add(-disownedFor), Limit: disownedPage}
	for range maxDisowned / disownedPage {
		found, err := o.s.Audit.Attempts(ctx, q)
		if err != nil {
			return mfa.Attempt{}, err
		}
		for _, a := range found.Records {
			if a.ID == want && a.User == o.by.User {
				return a, nil
			}
		}
		if q.After = found.Next; found.Next == "" {
			break
		}
	}
	return mfa.Attempt{}, none
}

// notice leaves a notice for a user; not without a master.
func (s *Service) notice(ctx context.Context, to mfa.UserID, what, by string) error {
	if s.Notices == nil {
		return nil
	}
	err := s.Notices.AddNotice(ctx, to, what, by)
	if errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrReadOnly) || errors.Is(err, mfa.ErrUnknownOutcome) {
		return nil
	}
	return err
}
