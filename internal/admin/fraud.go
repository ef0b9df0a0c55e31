package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Disowned is what was done about a sign-in that was not the user's.
type Disowned struct {
	Blocked  bool      // the user is kept out
	Until    time.Time // until then; zero: until that is lifted
	Sessions int       // ended
}

// ReportFraud is what is done when users say, where f.Channel names, that a sign-in was not
// theirs: if the policy wants that (fraud_blocks) they are kept out for as long as it says, and
// at least until every challenge that is open now is over; their sessions end, what is
// remembered of their sign-ins is forgotten, and what was begun to be enrolled is void; the trail has one act; alarm and notices go out.
// It works without a master too. To deny the sign-in itself is up to the caller.
func (s *Service) ReportFraud(ctx context.Context, f mfa.Fraud) (Disowned, error) {
	u, err := s.Resolve(ctx, string(f.User))
	if err != nil {
		return Disowned{}, err
	}
	return s.reportFraud(ctx, u.Login+" ("+f.Channel+")", f)
}

func (s *Service) reportFraud(ctx context.Context, by string, f mfa.Fraud) (Disowned, error) {
	set, now := s.Settings.Settings(), s.Now()
	u, err := s.Resolve(ctx, string(f.User))
	if err != nil {
		return Disowned{}, err
	}
	was, void := blocked(u.Block), s.underWay(ctx, u.ID)
	if set.FraudBlocks {
		block := mfa.Block{Reason: "the user says that sign-in " + f.Attempt.String() + " was not theirs", By: by, Since: now,
			Until: now.Add(max(set.FraudBlock.Duration(), set.Handle.Duration()))}
		if u, err = s.Users.UpdateUser(ctx, u.ID, func(u *mfa.User) error {
			was = blocked(u.Block)
			if !u.BlockedAt(now) || block.Stricter(u.Block) {
				u.Block = &block
			}
			u.Changed = now
			return nil
		}); err != nil {
			return Disowned{}, err
		}
	}
	var out Disowned
	if out.Blocked = u.BlockedAt(now); out.Blocked {
		out.Until = u.Block.Until
	}
	f.Blocked, f.Until = out.Blocked, out.Until
	act := mfa.Act{Time: now, Server: s.Server, By: by, Verb: mfa.VerbFraud, Object: u.Login, Fraud: &f,
		Detail: fmt.Sprintf("attempt %s at %s on server %s, %s: %s %s, from %s; %s -> %s", f.Attempt, f.Time.UTC().Format(time.RFC3339), f.Server,
			f.Application, or(f.Verdict, "pending"), f.Reason, or(f.Source, "an untold source"), was, blocked(u.Block)) + void}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return out, fmt.Errorf("the report of fraud could not be recorded in the trail, user %s is %s: %w", u.ID, blocked(u.Block), err)
	}
	if s.Fraud != nil {
		s.Fraud(f)
	}
	if err := errors.Join(s.forget(ctx, u.ID), unlessAlone(s.Users.VoidEnrolments(ctx, u.ID, time.Time{}))); err != nil {
		return out, err
	}
	if out.Sessions, err = s.EndSessions(ctx, by, string(u.ID), ""); err != nil {
		return out, err
	}
	return out, s.tellFraud(ctx, by, u, f)
}

// forget has nobody pass any more on what is remembered of a user's sign-ins. Without a master
// nobody does anyway.
func (s *Service) forget(ctx context.Context, user mfa.UserID) error {
	return unlessAlone(s.Users.UpdateRecordIf(ctx, user, anybody, func(r *settlement.Record) error {
		*r = r.ForgetSuccesses()
		return nil
	}))
}

// unlessAlone is err, if that is not that the database takes no writes now.
func unlessAlone(err error) error {
	if errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrReadOnly) || errors.Is(err, mfa.ErrUnknownOutcome) {
		return nil
	}
	return err
}

// underWay tells, for the trail, what of a user's is void when they are kept out, from the copy
// here; "": nothing.
func (s *Service) underWay(ctx context.Context, user mfa.UserID) string {
	a, err := s.Users.Account(ctx, user, false)
	if err != nil {
		return ""
	}
	var list []string
	for _, c := range a.Credentials {
		if c.UnderWay() {
			list = append(list, string(c.Method)+" "+string(c.ID))
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ", enrolments void: " + strings.Join(list, ", ")
}

// tellFraud leaves notices for the user, by whatever channel they have, and for the
// administrators who want them of this user. Without a master there are none: the trail and
// the alarm have it.
func (s *Service) tellFraud(ctx context.Context, by string, u mfa.User, f mfa.Fraud) error {
	to := []mfa.UserID{u.ID}
	for _, admin := range s.Administrators.Administrators() {
		if c := s.caller(admin, ""); c.Can(mfa.MayReceiveNotices) && c.Reach.Includes(u) && admin.User != u.ID {
			to = append(to, admin.User)
		}
	}
	what := fmt.Sprintf("user %s says that sign-in %s was not theirs", u.ID, f.Attempt)
	if f.Blocked {
		what += ", and is kept out"
	}
	for _, id := range to {
		if err := s.notice(ctx, id, what, by); err != nil {
			return err
		}
	}
	return nil
}

// frauds adds the sign-ins that were reported in the time of the report.
func (s *Service) frauds(ctx context.Context, r *Figures, application string) error {
	r.Frauds = []mfa.Fraud{}
	q := AuditQuery{Since: *r.Since, Until: *r.Until, Limit: MaxPage}
	for range maxFraudPages {
		found, err := s.Audit.Acts(ctx, q)
		if err != nil {
			return err
		}
		for _, a := range found.Records {
			if a.Fraud != nil && (application == "" || a.Fraud.Application == application) {
				f := *a.Fraud
				f.Login, f.Said = a.Object, a.Time
				r.Frauds = append(r.Frauds, f)
			}
		}
		if q.After = found.Next; q.After == "" {
			return nil
		}
		if len(r.Frauds) >= MaxPage {
			break
		}
	}
	r.Partly = true
	return nil
}

// maxFraudPages bounds how many acts are looked through for reports of fraud.
const maxFraudPages = 50
