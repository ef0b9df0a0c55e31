package admin

import (
	"context"
	"errors"
	"time"

	"countersign/internal/mfa"
)

// maxLogin is the longest login that anybody may have typed, in bytes.
const maxLogin = 253

// Attempts returns one page of attempts, newest first. login selects those of one user;
// the id of a user who is gone does too.
func (s *Service) Attempts(ctx context.Context, login string, q AuditQuery) (AttemptList, error) {
	if err := s.auditQuery(ctx, login, &q); err != nil {
		return AttemptList{}, err
	}
	found, err := s.Audit.Attempts(ctx, q)
	out := AttemptList{Attempts: make([]Attempt, len(found.Records)), Next: found.Next, Silent: found.Silent}
	for i, a := range found.Records {
		out.Attempts[i] = attempt(a)
	}
	return out, err
}

func (s *Service) auditQuery(ctx context.Context, login string, q *AuditQuery) (err error) {
	if q.Limit, err = page(q.Limit); err != nil {
		return err
	}
	if q.Reason != "" {
		if err := new(mfa.Reason).UnmarshalText([]byte(q.Reason)); err != nil {
			return invalid("%v", err)
		}
	}
	if len(q.Login) > maxLogin {
		return invalid("login: at most %d bytes", maxLogin)
	}
	if q.Verdict != "" && q.Verdict != mfa.Accept.String() && q.Verdict != mfa.Reject.String() {
		return invalid("verdict %q: want accept or reject", clip(q.Verdict))
	}
	if login == "" {
		return nil
	}
	u, err := s.Resolve(ctx, login)
	switch {
	case errors.Is(err, mfa.ErrNotFound) && len(login) == len(mfa.NewID(nil)):
		q.User = mfa.UserID(login)
	case err != nil:
		return err
	default:
		q.User = u.ID
	}
	return nil
}

// attempt converts for the API.
func attempt(a mfa.Attempt) Attempt {
	return Attempt{AttemptID: a.ID, Time: a.Time, Server: a.Server, Application: a.Application, FrontEnd: a.FrontEnd,
		User: a.User, Login: a.Login, Source: a.Source, Peer: a.Peer, Verdict: a.Verdict.String(), Reason: a.Reason.String(),
		Method: string(a.Method), Credential: string(a.Credential), Degraded: a.Degraded, Unreplicated: a.Unreplicated,
		DurationMS: float64(a.Duration/time.Microsecond) / 1000, Trace: a.Trace}
}

// Acts returns one page of administrative acts, newest first.
func (s *Service) Acts(ctx context.Context, q AuditQuery) (ActList, error) {
	if err := s.auditQuery(ctx, "", &q); err != nil {
		return ActList{}, err
	}
	found, err := s.Audit.Acts(ctx, q)
	return ActList{Acts: list(found.Records), Next: found.Next, Silent: found.Silent}, err
}

// TailAttempts yields every attempt from now on until ctx is done or yield returns false.
func (s *Service) TailAttempts(ctx context.Context, yield func(Attempt) bool) error {
	return s.Audit.Tail(ctx, func(a mfa.Attempt) bool { return yield(attempt(a)) })
}

// VerifyAudit reads the whole trail again.
func (s *Service) VerifyAudit(ctx context.Context) (AuditVerification, error) {
	return s.Audit.Verify(ctx)
}
