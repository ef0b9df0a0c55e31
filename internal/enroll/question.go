package enroll

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"countersign/internal/message"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// callerName is what a device or a telephone says who asks.
const callerName = "help desk"

// errUnanswered: ask again in a moment.
var errUnanswered = fmt.Errorf("the caller has not answered yet: %w", mfa.ErrConflict)

// questionCaller has the user's devices, or telephones, ask for a number that the help desk tells.
func (s *Service) questionCaller(ctx context.Context, by string, u mfa.User, creds []mfa.Credential) (CallerCheck, error) {
	m := creds[0].Method
	if s.Asker == nil {
		return CallerCheck{}, fmt.Errorf("%s of %s: this server asks nobody: %w", m, u.Login, mfa.ErrUnavailable)
	}
	set := s.Settings()
	language := u.Language
	if language == "" {
		language = set.Language
	}
	w, err := s.question(mfa.Wait{User: u.ID, Method: m, Application: callerName, Session: mfa.SessionCaller,
		Text: message.Fill(set.Texts, message.CallerAsked, language, map[string]string{"application": s.Issuer})})
	if err != nil {
		return CallerCheck{}, err
	}
	names := make([]string, 0, len(creds))
	for _, c := range creds {
		names = append(names, c.Label)
	}
	to := strings.Join(names, ", ")
	if err := s.Asker.Ask(ctx, w, creds); err != nil {
		var why mfa.Reason
		if errors.As(err, &why) {
			err = fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		return CallerCheck{}, errors.Join(fmt.Errorf("the caller was not asked by %s (%s): %w", m, to, err),
			s.record(ctx, by, "user verify", u, fmt.Sprintf("%s %s, not asked: %s", m, to, why)))
	}
	return CallerCheck{Method: m, To: to, Challenge: string(w.ID), Number: w.Number, Expires: w.Expires},
		s.record(ctx, by, "user verify", u, fmt.Sprintf("%s %s, asked as attempt %s", m, to, w.Attempt))
}

// callerAnswered looks what a caller has said on their device or telephone. The error wraps
// mfa.ErrConflict as long as that is nothing.
func (s *Service) callerAnswered(ctx context.Context, by, login string, id mfa.WaitID) (CallerVerified, error) {
	a, err := s.account(ctx, login)
	if err != nil {
		return CallerVerified{}, err
	}
	if s.Asker == nil {
		return CallerVerified{}, fmt.Errorf("caller %s: this server asks nobody: %w", a.User.Login, mfa.ErrUnavailable)
	}
	w, err := s.Asker.Wait(ctx, a.User.ID, id, true)
	if err == nil && !w.OfCaller() {
		err = mfa.ErrNotFound
	}
	if errors.Is(err, mfa.ErrNotFound) || errors.Is(err, mfa.ErrInvalid) {
		return CallerVerified{}, invalid("no question to %s has that name, or it is over: ask once more", a.User.Login)
	}
	if err != nil {
		return CallerVerified{}, fmt.Errorf("caller %s: %w", a.User.Login, err)
	}
	why := w.Answer.Reason
	switch {
	case why == mfa.ReasonNone && w.Open(s.Now()):
		return CallerVerified{}, errUnanswered
	case why == mfa.ReasonNone:
		why = mfa.NotAnsweredInTime
	}
	if err := s.hear(ctx, a.User, w); err != nil {
		return CallerVerified{}, err
	}
	what, to := string(w.Method), ""
	for _, c := range a.Credentials {
		if c.ID == w.Answer.Credential {
			what, to = s.describe(c), c.Label
			if why == mfa.OK && !proven(c, s.Now()) {
				why = mfa.CredentialDisabled
			}
		}
	}
	if why == mfa.OK && a.Record.Fails.LockedAt(s.Now()) {
		why = mfa.Locked
	}
	if why == mfa.OK && what == string(w.Method) {
		why = mfa.NoCredential // taken away since
	}
	what += fmt.Sprintf(", attempt %s", w.Attempt)
	if why != mfa.OK {
		return CallerVerified{}, errors.Join(fmt.Errorf("%w: %s of %s: %w", mfa.ErrInvalid, w.Method, a.User.Login, why),
			s.record(ctx, by, "user verify", a.User, what+", not verified: "+why.String()))
	}
	return CallerVerified{Login: a.User.Login, Method: w.Method, To: to, Verified: w.Answer.At}, s.record(ctx, by, "user verify", a.User, what+", verified")
}

// hear takes the answer to a question, which verifies a caller once: whoever asks again for what was heard gets nothing.
func (s *Service) hear(ctx context.Context, u mfa.User, w mfa.Wait) error {
	err := s.Store.UpdateRecord(ctx, u.ID, func(r *settlement.Record) error {
		if r.Spent(w.Token()) {
			return mfa.ChallengeReplayed
		}
		*r = r.Spend(settlement.Nonce{ID: w.Token(), Until: w.Until}, s.Now())
		return nil
	})
	if errors.Is(err, mfa.ChallengeReplayed) {
		return fmt.Errorf("%w: %s of %s: %w", mfa.ErrInvalid, w.Method, u.Login, mfa.ChallengeReplayed)
	}
	return err
}
