package portal

import (
	"context"
	"time"

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
	IsFresh(n mfa.Session) bool
}

// Clock returns the time; time.Now outside tests.
type Clock func() time.Time
