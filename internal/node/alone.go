package node

import (
	"context"
	"time"
)

// meetTimeout is how long a start in a group waits for a master before it goes on without.
const meetTimeout = 3 * time.Second

// grouped reports whether this server has others beside it, so that it can be without a
// master and has to merge later what it settled alone. A sole voter is the master itself; a
// server that was removed, or knows of a later epoch, has nobody to merge with, and settles
// nothing.
func (s *server) grouped() bool { return s.aside.Load() == nil && s.hasOthers() }

// hasOthers is grouped by what the database says.
func (s *server) hasOthers() bool {
	st, err := s.node.Status()
	return err == nil && st.Role != "removed" && (!st.Voter || st.Voters > 1)
}

// load waits for the records: up to what the master has, or those of the local copy if no
// master answers.
func (s *server) load(ctx context.Context) error {
	if s.aside.Load() != nil {
		s.isolated = true
		return s.store.Ready(ctx, 0)
	}
	if !s.grouped() {
		return s.store.Sync(ctx)
	}
	if err := s.store.Ready(ctx, 0); err != nil {
		return err
	}
	err := s.store.Touch(ctx, meetTimeout)
	if s.isolated = err != nil; s.store.Behind() {
		s.own.Warn("the master answers, but the copy here is behind: each sign-in asks the master until it has caught up", "error", err)
	} else if s.isolated {
		s.own.Warn("no master answers: this server starts with its local copy, signs people in and refuses changes; it goes on looking", "error", err)
	}
	return ctx.Err()
}
