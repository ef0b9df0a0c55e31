package enroll

import (
	"context"
	"fmt"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// Service carries out what is asked for on credentials. All fields but Prover, Passkeys, Sessions and Portal must be set; it is
// safe for concurrent use. In its methods by says who asks, login whose credential it is.
type Service struct {
	Server       string // this server's name, for the trail
	Issuer       string // shown by authenticator apps: the group's name
	Store        Store
	Applications Applications
	Resolve      func(ctx context.Context, login string) (mfa.User, error) // admin.Service.Resolve
	Passcodes    Passcodes
	Prover       Prover   // nil: nothing can be sent
	Passkeys     Passkeys // nil: there are none
	Trail        Recorder
	Settings     func() policy.Settings
	Now          func() time.Time
	Sessions     Sessions      // nil: there are none
	Portal       Portal        // nil: there is none
	Devices      Devices       // nil: there are none
	Asker        Asker         // puts questions to devices; nil: none is tried
	DevicePage   func() string // where a device is activated, with the code behind it; "": this server serves none
}

// signOut ends the sessions of a user who has lost a second factor: whoever had it may be in.
// Of who did it, the session but goes on.
func (s *Service) signOut(ctx context.Context, by string, u mfa.User, but mfa.SessionID) error {
	if s.Sessions == nil {
		return nil
	}
	ended, err := s.Sessions.EndAll(ctx, u.ID, but)
	if err != nil || ended == 0 {
		return err
	}
	return s.record(ctx, by, "user sign-out", u, fmt.Sprintf("%d sessions ended", ended))
}

// record puts an act into the trail. What was done stays done if that fails, and the
// error says so.
func (s *Service) record(ctx context.Context, by, verb string, u mfa.User, detail string) error {
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: by, Verb: verb, Object: u.Login, Detail: detail}
	// Not with the caller's context: a caller who hangs up must not keep an act out of the trail.
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Errorf("%s for %s was done, but could not be recorded in the trail: %w", verb, u.Login, err)
	}
	return nil
}

// invalid makes an error that wraps mfa.ErrInvalid and reads as one line.
func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", mfa.ErrInvalid, fmt.Sprintf(format, args...))
}
