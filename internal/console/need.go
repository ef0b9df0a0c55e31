package console

import (
	"context"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Sessions keeps people signed in; package session does. Check returns session.ErrNone for a
// token that opens nothing.
type Sessions interface {
	Begin(ctx context.Context, n mfa.Session) (secret.Text, mfa.Session, error)
	Check(ctx context.Context, token secret.Text, active bool) (mfa.Session, error)
	Renew(ctx context.Context, old mfa.Session) (secret.Text, mfa.Session, error)
	End(ctx context.Context, id mfa.SessionID) error
	Of(user mfa.UserID) []mfa.Session
	IsFresh(n mfa.Session) bool
}

// Group is the servers of the group, as this one knows them.
type Group interface {
	Overview(ctx context.Context) (group.Overview, error)
}

// Clock returns the time; time.Now outside tests.
type Clock func() time.Time
