package enroll

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// CallerRequest asks for a code to be sent to somebody on the phone, who reads it back, or for their
// devices or telephones to ask for a number that is told to them.
type CallerRequest struct {
	Method mfa.MethodID `json:"method,omitempty" enum:",push,sms,call,email" doc:"how; empty: on a device, else by text message, call or mail, as the user has it"`
}

// CallerCheck is a code on its way to a caller, or a question.
type CallerCheck struct {
	ID        mfa.CredentialID `json:"id" doc:"empty for push and call: any of the user's answers"`
	Method    mfa.MethodID     `json:"method"`
	To        string           `json:"to" doc:"what of the number or address may be shown, or the names of the devices"`
	Challenge string           `json:"challenge" doc:"goes with the code that the caller reads out, or names the question"`
	Number    string           `json:"number,omitempty" doc:"push and call: told to the caller, who types it on the device or the telephone"`
	Expires   time.Time        `json:"expires"`
}

// CallerAnswer is what the caller has read out.
type CallerAnswer struct {
	ID        mfa.CredentialID `json:"id,omitempty" maxLength:"64"`
	Challenge string           `json:"challenge" maxLength:"512"`
	Code      secret.Wire      `json:"code,omitzero" writeOnly:"true" doc:"none for push and call"`
}

// CallerVerified says that the caller has what the user has.
type CallerVerified struct {
	Login    string       `json:"login"`
	Method   mfa.MethodID `json:"method"`
	To       string       `json:"to"`
	Verified time.Time    `json:"verified"`
}

// callerWays are the methods by which a caller is asked, in order.
var callerWays = []mfa.MethodID{mfa.MethodPush, mfa.MethodSMS, mfa.MethodCall, mfa.MethodEmail}

// VerifyCaller sends a code to what the user has proven to be theirs, or has it ask, so that a help
// desk learns whether they are who is on the phone.
func (s *Service) VerifyCaller(ctx context.Context, by, login string, r CallerRequest) (CallerCheck, error) {
	a, err := s.account(ctx, login)
	if err != nil {
		return CallerCheck{}, err
	}
	ways := callerWays
	if r.Method != "" {
		if ways = []mfa.MethodID{r.Method}; !slices.Contains(callerWays, r.Method) {
			return CallerCheck{}, invalid("method %q: a caller is asked by push, sms, call or email", r.Method)
		}
	}
	if a.Record.Fails.LockedAt(s.Now()) { // no answer could verify anybody
		return CallerCheck{}, fmt.Errorf("%w: %s is locked until %s and verifies nobody before that: wait, or have them unlocked (user unlock): %w", mfa.ErrInvalid, a.User.Login, a.Record.Fails.Until.UTC().Format(time.RFC3339), mfa.Locked)
	}
	if blocked := a.User.BlockedAt(s.Now()); blocked { // devices show them nothing
		if r.Method == mfa.MethodPush {
			return CallerCheck{}, invalid("%s is blocked, and devices of who is blocked show no question: verify them by sms, call or email, or unblock them (user unblock)", a.User.Login)
		}
		ways = slices.DeleteFunc(slices.Clone(ways), func(m mfa.MethodID) bool { return m == mfa.MethodPush })
	}
	for _, m := range ways {
		var able []mfa.Credential
		for _, c := range a.Credentials {
			if c.Method == m && proven(c, s.Now()) {
				able = append(able, c)
			}
		}
		switch {
		case len(able) == 0:
		case !m.Waits():
			return s.askCaller(ctx, by, a.User, able[0])
		case s.Asker != nil || r.Method != "":
			return s.questionCaller(ctx, by, a.User, able)
		}
	}
	return CallerCheck{}, invalid("%s has no device, and no number and no address, proven and switched on, that could be asked", a.User.Login)
}

// proven reports whether c is the user's for certain.
func proven(c mfa.Credential, now time.Time) bool {
	return !c.Disabled && c.Hold == mfa.ReasonNone && !c.Confirmed.IsZero() && (c.Expires.IsZero() || now.Before(c.Expires))
}

func (s *Service) askCaller(ctx context.Context, by string, u mfa.User, c mfa.Credential) (CallerCheck, error) {
	if s.Prover == nil {
		return CallerCheck{}, fmt.Errorf("%s %s of %s: this server sends nothing: %w", c.Method, c.ID, u.Login, mfa.ErrUnavailable)
	}
	challenge, err := s.Prover.SendProof(ctx, c, "", ProofLife)
	if err != nil {
		var why mfa.Reason
		if errors.As(err, &why) {
			err = fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
		}
		return CallerCheck{}, errors.Join(fmt.Errorf("the code for the caller was not sent by %s to %s: %w", c.Method, c.Label, err),
			s.record(ctx, by, "user verify", u, s.describe(c)+", not sent: "+why.String()))
	}
	out := CallerCheck{ID: c.ID, Method: c.Method, To: c.Label, Challenge: challenge, Expires: s.Now().Add(ProofLife)}
	return out, s.record(ctx, by, "user verify", u, s.describe(c)+", sent")
}

// CheckCaller compares what a caller has read out with what was sent, which verifies once. Wrong codes
// are counted as those of a sign-in are. Either way the trail has it.
func (s *Service) CheckCaller(ctx context.Context, by, login string, r CallerAnswer) (CallerVerified, error) {
	if r.ID == "" {
		return s.callerAnswered(ctx, by, login, mfa.WaitID(r.Challenge))
	}
	a, c, err := s.find(ctx, login, string(r.ID))
	if err != nil {
		return CallerVerified{}, err
	}
	if !proven(c, s.Now()) {
		return CallerVerified{}, invalid("%s %s of %s: it is not proven, or switched off", c.Method, c.ID, a.User.Login)
	}
	var wrong mfa.Reason
	err = s.Store.UpdateRecord(ctx, a.User.ID, func(rec *settlement.Record) error {
		wrong = mfa.ReasonNone
		if rec.Fails.LockedAt(s.Now()) {
			return mfa.Locked
		}
		if err := s.checkProof(ctx, rec, c, "", r.Challenge, r.Code.Text); errors.As(err, &wrong) {
			if wrong == mfa.WrongCode { // a code was compared; what is no challenge, or is over, is no guess
				*rec = rec.Miss(s.Now(), s.Settings().Second())
			}
			return nil
		} else {
			return err
		}
	})
	var why mfa.Reason
	switch {
	case errors.As(err, &why):
		return CallerVerified{}, refusal(c, a.User, why)
	case err != nil:
		return CallerVerified{}, fmt.Errorf("caller %s: %w", a.User.Login, err)
	case wrong != mfa.ReasonNone:
		return CallerVerified{}, errors.Join(refusal(c, a.User, wrong), s.record(ctx, by, "user verify", a.User, s.describe(c)+", not verified: "+wrong.String()))
	}
	out := CallerVerified{Login: a.User.Login, Method: c.Method, To: c.Label, Verified: s.Now()}
	return out, s.record(ctx, by, "user verify", a.User, s.describe(c)+", verified")
}

// VerifyCaller sends a code to a caller.
func (d Desk) VerifyCaller(ctx context.Context, login string, r CallerRequest) (CallerCheck, error) {
	u, err := d.allowed(ctx, login, mfa.MayVerifyCaller)
	if err != nil {
		return CallerCheck{}, err
	}
	return d.s.VerifyCaller(ctx, d.by.By, string(u.ID), r)
}

// CheckCaller compares what they have read out.
func (d Desk) CheckCaller(ctx context.Context, login string, r CallerAnswer) (CallerVerified, error) {
	u, err := d.allowed(ctx, login, mfa.MayVerifyCaller)
	if err != nil {
		return CallerVerified{}, err
	}
	return d.s.CheckCaller(ctx, d.by.By, string(u.ID), r)
}
