package admin

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
)

// Sessions are those of people who are signed in to pages; package session keeps them.
type Sessions interface {
	// EndAll ends every session of a user but one ("" spares none), and reports how many.
	EndAll(ctx context.Context, user mfa.UserID, but mfa.SessionID) (int, error)
}

// EndSessions signs a user out everywhere, but for one session ("" spares none). That nobody
// was signed in is not recorded.
func (s *Service) EndSessions(ctx context.Context, by, typed string, but mfa.SessionID) (int, error) {
	u, err := s.Resolve(ctx, typed)
	if err != nil {
		return 0, err
	}
	return s.endSessions(ctx, by, u, but)
}

func (s *Service) endSessions(ctx context.Context, by string, u mfa.User, but mfa.SessionID) (int, error) {
	if s.Sessions == nil { // a server without pages has none
		return 0, nil
	}
	ended, err := s.Sessions.EndAll(ctx, u.ID, but)
	if err != nil || ended == 0 {
		return ended, err
	}
	return ended, s.record(ctx, by, "user sign-out", u.Login, fmt.Sprintf("%d sessions ended", ended))
}

// signOut ends every session of somebody who has just been kept out, so that none comes back
// when that is lifted.
func (s *Service) signOut(ctx context.Context, by string, u mfa.User) error {
	if _, err := s.endSessions(ctx, by, u, ""); err != nil {
		return fmt.Errorf("%s is kept out from now on, but their sessions are not ended, so that they may come back (user sign-out ends them): %w", u.Login, err)
	}
	return nil
}

// EndSessions signs a user out everywhere; of their own, the caller may spare one.
func (d Desk) EndSessions(ctx context.Context, login string, but mfa.SessionID) (int, error) {
	u, err := d.Allowed(ctx, login, mfa.MayBlock, mfa.MayChangePassword, mfa.MayManageToken)
	if err != nil {
		return 0, err
	}
	return d.s.EndSessions(ctx, d.by.By, string(u.ID), but)
}
