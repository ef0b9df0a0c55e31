package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"countersign/internal/admin"
	"countersign/internal/gateway"
	"countersign/internal/message"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

const (
	outboxEvery = 20 * time.Second // on each server, more or less
	outboxHold  = 2 * time.Minute  // longer than some mails take
	outboxBatch = 20
	outboxTries = 10
	outboxLife  = 7 * 24 * time.Hour // of a notice: later it would only puzzle
	quotaSweep  = time.Hour
)

// outbox carries notices to users by mail. Every server does, and each notice is claimed
// before it is sent.
type outbox struct {
	claim    func(ctx context.Context, limit int, hold time.Duration) ([]mfa.Notice, error)
	postpone func(ctx context.Context, id, why string, next time.Time) error
	remove   func(ctx context.Context, id string) error
	send     func(ctx context.Context, n mfa.Notice) error // the error may hold a mfa.Reason, or be mfa.ErrNotFound
	now      func() time.Time
	log      *slog.Logger
}

// round carries what is due now.
func (o outbox) round(ctx context.Context) error {
	due, err := o.claim(ctx, outboxBatch, outboxHold)
	for _, n := range due {
		err = errors.Join(err, o.carry(ctx, n))
	}
	return err
}

func (o outbox) carry(ctx context.Context, n mfa.Notice) error {
	late := o.now().Sub(n.Time) > outboxLife
	err := errors.New("it waited for more than a week")
	if !late {
		err = o.send(ctx, n)
	}
	switch {
	case err == nil, errors.Is(err, mfa.ErrNotFound): // carried, or the user is gone
		return o.remove(ctx, n.ID)
	case late, n.Tries >= outboxTries, errors.Is(err, mfa.RecipientRefused):
		o.log.Warn("a notice to a user is given up", "user", n.User, "what", n.What, "err", err)
		return o.postpone(ctx, n.ID, err.Error(), time.Time{})
	}
	return o.postpone(ctx, n.ID, err.Error(), o.now().Add(min(time.Minute<<min(n.Tries, 9), 6*time.Hour)))
}

var errNoAddress = fmt.Errorf("%w: the user has no mail address in the profile", mfa.RecipientRefused)

// sendNotice mails one notice.
func (p sending) sendNotice(ctx context.Context, n mfa.Notice) error {
	a, err := p.s.store.Account(ctx, n.User, false)
	if err != nil {
		return err
	}
	to := cmp.Or(n.To, a.User.Email)
	if to == "" {
		return errNoAddress
	}
	set := p.s.store.Settings()
	language := a.User.Language
	if language == "" {
		language = set.Language
	}
	values := map[string]string{"what": message.Told(n.What, language), "time": n.Time.UTC().Format("2006-01-02 15:04 UTC")}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	_, err = p.s.carrier.Send(ctx, gateway.Message{ID: n.ID, Kind: mfa.GatewayMail, To: to,
		Subject: message.Fill(set.Texts, message.NoticeSubject, language, values), Text: secret.FromString(message.Fill(set.Texts, message.Notice, language, values))})
	return err
}

// hasMail reports whether there is a gateway that notices could go by.
func (s *server) hasMail() bool {
	return s.carrier.May(gateway.Message{Kind: mfa.GatewayMail}) == nil
}

func (s *server) outbox() outbox {
	return outbox{claim: s.store.Claim, postpone: s.store.Postpone, remove: s.store.RemoveNotice, send: sending{s}.sendNotice, now: s.Now, log: s.log.Logger("gateway")}
}

// carryNotices empties the outbox while there is a mail gateway and a master, until ctx is done.
func (s *server) carryNotices(ctx context.Context) error {
	o := s.outbox()
	var swept time.Time
	for {
		wait := time.NewTimer(outboxEvery/2 + rand.N(outboxEvery)) //nolint:gosec // that servers do not all look at once
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil
		case <-wait.C:
		}
		if _, contact := s.store.Contact(); !contact {
			continue
		}
		if s.hasMail() {
			if err := o.round(ctx); err != nil && ctx.Err() == nil {
				o.log.Warn("the notices to users could not be looked at", "err", err)
			}
		}
		if now := s.Now(); now.Sub(swept) > quotaSweep {
			swept = now
			if err := errors.Join(s.store.SweepQuotas(ctx), s.store.SweepDeliveries(ctx), s.store.SweepNotices(ctx)); err != nil && ctx.Err() == nil {
				o.log.Warn("counts of messages could not be tidied", "err", err)
			}
		}
	}
}

// checkOutbox tells the doctor of notices that wait and of those that were given up.
func (s *server) checkOutbox(ctx context.Context) []admin.Check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	o, err := s.store.Outbox(ctx)
	switch {
	case err != nil:
		return []admin.Check{check("notices", "database", "outbox", err, "", "see the check of the master")}
	case o.Waiting+o.Dead == 0:
		return nil
	case !s.hasMail():
		return []admin.Check{{Name: "notices", Target: "database", Layer: "outbox", OK: true, Warning: true,
			Detail: fmt.Sprintf("%d notices to users wait, and no mail gateway is set up", o.Waiting), NextStep: "countersign gateway add NAME --kind mail"}}
	case o.Dead > 0 || o.Error != "":
		return []admin.Check{{Name: "notices", Target: "database", Layer: "outbox", OK: true, Warning: true,
			Detail: fmt.Sprintf("%d notices wait, %d were given up; last: %s", o.Waiting, o.Dead, o.Error), NextStep: "countersign gateway test NAME; give users a mail address: countersign user set LOGIN --email"}}
	}
	return []admin.Check{{Name: "notices", Target: "database", Layer: "outbox", OK: true, Detail: fmt.Sprintf("%d on their way", o.Waiting)}}
}
