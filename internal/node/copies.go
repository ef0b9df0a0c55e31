package node

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"countersign/internal/mfa"
)

const (
	copiedNotice = "a passkey answered as if there were a copy of it"
	copiedEvery  = time.Hour // at most one notice of a passkey: whoever has a copy may go on trying
	copiedTime   = 10 * time.Second
	copiedQueue  = 64
)

// copies tells users of passkeys of whom there may be two. The sign-in does not wait for it.
type copies struct {
	queue  chan mfa.Attempt
	take   func(ctx context.Context, q ...mfa.Quota) error
	notice func(ctx context.Context, user mfa.UserID, what, by string) error
	log    *slog.Logger
}

func (s *server) newCopies() *copies {
	return &copies{queue: make(chan mfa.Attempt, copiedQueue), take: s.store.Take, notice: s.store.AddNotice, log: s.own}
}

// seen takes an attempt if it is about such a passkey. It does not block.
func (c *copies) seen(a *mfa.Attempt) {
	if a.Reason != mfa.PasskeyCounterBack || a.User == "" {
		return
	}
	select {
	case c.queue <- *a:
	default: // so many are no accident, and the log has each of them
	}
}

// run leaves the notices, until ctx is done.
func (c *copies) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-c.queue:
			c.tell(ctx, a)
		}
	}
}

func (c *copies) tell(ctx context.Context, a mfa.Attempt) {
	ctx, cancel := context.WithTimeout(ctx, copiedTime)
	defer cancel()
	err := c.take(ctx, mfa.Quota{Name: "copied/" + string(a.User) + "/" + string(a.Credential), Window: copiedEvery, Most: 1, N: 1, Full: mfa.TooManyMessages})
	if errors.Is(err, mfa.TooManyMessages) {
		return
	}
	if err == nil {
		err = c.notice(ctx, a.User, copiedNotice, "sign-in at "+a.Application)
	}
	if err != nil {
		c.log.Warn("a user could not be told that there may be a copy of their passkey; tell them", "user", a.User, "credential", a.Credential, "attempt", a.ID, "err", err)
	}
}
