package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
)

// pinned judges PINs that are typed where a question is answered: on a device, in a call. All
// fields must be set.
type pinned struct {
	server string
	store  *store.Store
	match  func(ctx context.Context, user mfa.UserID, hash, typed secret.Text) (bool, error)
	trail  interface {
		Append(ctx context.Context, records ...mfa.Record) error
	}
	now func() time.Time
}

func (s *server) pinned() pinned {
	return pinned{server: s.Config.Name, store: s.store, match: s.checker.MatchPIN, trail: s.ledger, now: s.Now}
}

// CheckPIN implements phonecall.PINs, and is what devices have their PINs judged by. What is typed
// is judged and then booked, in one conditional write, before anybody learns what came of it: a
// wrong one as a wrong factor; a right one with a mark that changes nothing else, so that it takes
// its turn among the wrong ones, and none that comes behind a lock is told from these.
func (p pinned) CheckPIN(ctx context.Context, user mfa.UserID, typed secret.Text) error {
	a, err := p.store.Standing(ctx, user, false)
	if err != nil {
		return fmt.Errorf("PIN of user %s: %w", user, err)
	}
	if a.Record.Fails.LockedAt(p.now()) { // nothing is worth the work
		return mfa.Locked
	}
	right, err := p.right(ctx, a, typed)
	if err != nil {
		return err
	}
	if err := p.book(ctx, user, right); err != nil {
		return fmt.Errorf("PIN of user %s: %w", user, err)
	}
	if !right {
		return mfa.WrongPIN
	}
	return nil
}

func (p pinned) right(ctx context.Context, a settlement.Account, typed secret.Text) (bool, error) {
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.Method == mfa.MethodPIN && !c.Disabled })
	if i < 0 {
		return false, nil
	}
	current, _, _ := bytes.Cut(a.Credentials[i].Secret.Expose(), []byte("\n"))
	return p.match(ctx, a.User.ID, secret.New(current), typed)
}

// Guessed implements phonecall.Guesses, and is what devices have wrong numbers counted by that no
// sign-in counts.
func (p pinned) Guessed(ctx context.Context, user mfa.UserID) error {
	if err := p.book(ctx, user, false); err != nil && !errors.Is(err, mfa.Locked) {
		return fmt.Errorf("a wrong number of user %s could not be counted: %w", user, err)
	}
	return nil
}

// book writes a try into the user's record. The error is mfa.Locked if enough wrong ones were
// written before. Without a master this server books it alone.
func (p pinned) book(ctx context.Context, user mfa.UserID, right bool) error {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	mark := settlement.Nonce{ID: binary.BigEndian.Uint64(b[:]) | 1, Until: p.now().Add(time.Second).Truncate(time.Second)}
	change := func(r *settlement.Record) error {
		switch {
		case r.Fails.LockedAt(p.now()):
			return mfa.Locked
		case right:
			*r = r.Spend(mark, p.now())
		default:
			*r = r.Miss(p.now(), p.store.Settings().Second())
		}
		return nil
	}
	err := p.store.UpdateRecord(ctx, user, change)
	if _, contact := p.store.Contact(); contact || !errors.Is(err, mfa.ErrUnavailable) {
		return err
	}
	entry := mfa.Settled{User: user, Time: p.now(), Server: p.server, Reason: mfa.OK, State: mfa.Local, Epoch: p.store.Epoch()}
	_, _ = rand.Read(entry.Leg[:])
	if !right {
		entry.Reason, entry.Failures = mfa.WrongPIN, 1
	}
	return p.bookAlone(ctx, user, entry, change)
}

// aloneTries bounds how often a try is booked again because something else was booked meanwhile.
const aloneTries = 16

func (p pinned) bookAlone(ctx context.Context, user mfa.UserID, entry mfa.Settled, change func(*settlement.Record) error) error {
	for range aloneTries {
		a, err := p.store.Standing(ctx, user, false)
		if err != nil {
			return err
		}
		next := a.Record.Clone()
		if err := change(&next); err != nil {
			return err
		}
		numbered, ok, err := p.store.SettleLocal(a, nil, next, entry)
		switch {
		case err != nil:
			return err
		case ok:
			return p.trail.Append(context.WithoutCancel(ctx), mfa.Record{Settled: &numbered})
		}
	}
	return fmt.Errorf("%w %d times", mfa.ErrConflict, aloneTries)
}
