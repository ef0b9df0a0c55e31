package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"countersign/internal/mfa"
)

const (
	contactEvery   = time.Second            // between two looks at the master
	contactTimeout = time.Second            // of one of them
	contactDoubt   = 300 * time.Millisecond // the same, when a call has just failed
)

// contact is what this server knows of the master. The zero contact never had one.
type contact struct {
	mu     sync.Mutex
	last   time.Time // the view held everything that was acknowledged before
	lost   bool      // the last look failed
	behind bool      // the master answers, but the copy here does not come up to it
}

// errBehind: there is contact, but nothing may be decided from the copy here.
var errBehind = fmt.Errorf("the master answers, but the copy of the database here is behind: %w", mfa.ErrUnavailable)

// Contact reports whether the group has a master that answers, and when it last did; zero:
// never since this store was opened. A server alone is always in contact.
func (s *Store) Contact() (last time.Time, now bool) {
	c := &s.contact
	c.mu.Lock()
	last, now = c.last, c.behind || !c.last.IsZero() && !c.lost
	c.mu.Unlock()
	if now || s.grouped() { // each sign-in asks; to look at the members is dear, and this way seldom needed
		return last, now
	}
	return s.now(), true
}

// Behind reports that the master answers while the copy here lacks what it has acknowledged:
// what the copy says of a user may have ended long ago, and this server is not without a
// master either, so that it must not settle alone.
func (s *Store) Behind() bool {
	s.contact.mu.Lock()
	defer s.contact.mu.Unlock()
	return s.contact.behind
}

func (s *Store) grouped() bool { return s.o.Group != nil && s.o.Group() }

// Touch asks the master for its revision and waits, at most so long, until the view has come
// up to it. An error says that there is no contact, or that the view is behind. A copy that
// is far behind and a master that is gone look the same to the database, so the master is
// asked by another way which of the two it is.
func (s *Store) Touch(ctx context.Context, within time.Duration) error {
	began := s.now()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	err := s.Sync(ctx)
	behind := err != nil && s.o.Ping != nil && s.grouped() && s.o.Ping(context.WithoutCancel(ctx))
	c := &s.contact
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = err != nil && !behind
	if behind && !c.behind {
		s.o.Log.Warn("the master answers, but the copy of the database here is behind: each sign-in asks the master until it has caught up", "error", err)
	}
	if c.behind = behind; behind {
		return errBehind
	}
	if err == nil {
		c.last = began
	}
	return err
}

// found notes that a master has just answered.
func (c *contact) found() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost = false
}

// noticed looks at the master at once after a call that failed for want of one.
func (s *Store) noticed(ctx context.Context, err error) {
	if !errors.Is(err, mfa.ErrUnavailable) || !s.grouped() {
		return
	}
	if _, now := s.Contact(); now {
		_ = s.Touch(context.WithoutCancel(ctx), contactDoubt) // what it found is kept in s.contact
	}
}

// keepInTouch looks at the master each second, and merges what was settled without one,
// until ctx is done.
func (s *Store) keepInTouch(ctx context.Context) {
	failing := false
	for {
		if err := s.Touch(ctx, contactTimeout); err == nil {
			s.overlay.dropShadows()
			err := errors.Join(s.Merge(ctx), s.mergeWaits(ctx))
			if err != nil && !failing && ctx.Err() == nil {
				s.o.Log.Warn("what this server settled alone is not merged yet; trying again each second", "entries", s.Unmerged(), "error", err)
			}
			failing = err != nil
		}
		if !pause(ctx, contactEvery) {
			return
		}
	}
}

// refused says what to do about a change that failed for want of a master.
func (s *Store) refused(ctx context.Context, err error) error {
	if err == nil || !errors.Is(err, mfa.ErrUnavailable) || !s.grouped() {
		return err
	}
	s.noticed(ctx, err)
	if errors.Is(err, mfa.ErrUnknownOutcome) {
		return told{"the master went away with the change on its way to it, so it may have been made or be made yet: look at what there is once the group has a master again (countersign status names it), and repeat the change if it is missing", err}
	}
	if s.Behind() {
		return told{"this server's copy of the database is behind the master's, so nothing was changed: make the change on another server, or wait until this one has caught up (countersign status shows the lag)", err}
	}
	return told{"the group has no master that this server reaches, so nothing was changed: bring the missing servers or the links to them back (countersign group members names them), or make the change on a server that reaches the master; " +
		"blocking a user, disabling a credential and revoking a token work without", err}
}

// told is an error in words that whoever made the change understands; is, with the keys that
// were read, is for errors.Is alone.
type told struct {
	text string
	is   error
}

func (t told) Error() string { return t.text }
func (t told) Unwrap() error { return t.is }
