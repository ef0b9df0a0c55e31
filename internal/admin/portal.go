package admin

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
)

const (
	// PortalApplication is the name of the application that users sign in to the portal as.
	PortalApplication = "portal"
	// InvitationApplication is that for those who have no password anywhere: a pass for it, made
	// by an invitation, is enough.
	InvitationApplication = "invitation"
)

// PortalURL is where users find the portal on this server; "": it serves none.
func (s *Service) PortalURL() string {
	if s.Portal == nil {
		return ""
	}
	return s.Portal()
}

// EntranceOf returns the application that a user comes into the portal by: the portal itself,
// which checks their password, or, for who has none, the one for invitations.
func (s *Service) EntranceOf(ctx context.Context, user mfa.UserID) (application string, password bool, err error) {
	app, err := s.BuiltIn(ctx, PortalApplication)
	if err != nil {
		return "", false, err
	}
	if _, err := s.BuiltIn(ctx, InvitationApplication); err != nil {
		return "", false, err
	}
	switch {
	case app.FirstFactor == mfa.FirstFactorNone:
		return "", false, invalid("application %q checks no password: give it a first factor (`countersign application set %[1]s --first-factor local`)", app.Name)
	case app.FirstFactor != mfa.FirstFactorLocal:
		return PortalApplication, true, nil
	}
	a, err := s.Users.Account(ctx, user, true)
	if err != nil {
		return "", false, err
	}
	if hasPassword(a) {
		return PortalApplication, true, nil
	}
	return InvitationApplication, false, nil
}

// Invited returns nil if somebody whom the application for invitations has let in may come in
// by that. Who has a password since then has to prove it.
func (s *Service) Invited(ctx context.Context, user mfa.UserID) error {
	by, _, err := s.EntranceOf(ctx, user)
	if err == nil && by != InvitationApplication {
		err = fmt.Errorf("user %s has a password, which the link does not replace: %w", user, mfa.ErrForbidden)
	}
	return err
}

// Notices wait in the database until a gateway carries them to their user.
type Notices interface {
	AddNotice(ctx context.Context, user mfa.UserID, what, by string) error
}
