package console

import (
	"context"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Sessions keeps people signed in; package session does. Check returns session.ErrNone for a
// token that opens nothing; Touch keeps from becoming idle what it returned.
type Sessions interface {
	Begin(ctx context.Context, n mfa.Session) (secret.Text, mfa.Session, error)
	Check(token secret.Text) (mfa.Session, error)
	Touch(ctx context.Context, n mfa.Session)
	Renew(ctx context.Context, old mfa.Session, m mfa.MethodID) (secret.Text, mfa.Session, error)
	End(ctx context.Context, id mfa.SessionID) error
	Of(user mfa.UserID) []mfa.Session
	IsFresh(n mfa.Session) bool
}

// Group is the servers of the group, as this one knows them, or of all groups that an
// independent coordinator watches.
type Group interface {
	Overview(ctx context.Context) (group.Overview, error)
}

// Coordinator is what the management portal of an independent coordinator does. by is who
// asks, for the trail.
type Coordinator interface {
	CreateActivation(ctx context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error)
	Retire(ctx context.Context, by string, r admin.RetireRequest) (admin.Removed, error)
}

// Clock returns the time; time.Now outside tests.
type Clock func() time.Time
