package store

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// SettleLocal keeps entry on this server alone, if the view and what was kept before still
// are what a was read from, and reports whether it did. Account shows it at once, and it is
// merged as soon as there is a master. It returns the entry with its number and the floor
// that it was made from; the caller puts that in the trail before it answers anybody. next
// is the record after it.
func (s *Store) SettleLocal(a settlement.Account, used []mfa.CredentialID, next settlement.Record, entry mfa.Settled) (mfa.Settled, bool, error) {
	raw, ok := parseID(a.User.ID)
	if !ok || a.UserRev == 0 {
		return entry, false, fmt.Errorf("settle: the account of user %q was not read: %w", a.User.ID, mfa.ErrInvalid)
	}
	if !s.grouped() {
		return entry, false, fmt.Errorf("settle: this server has no others beside it to merge with: %w", mfa.ErrUnavailable)
	}
	if _, err := next.MarshalBinary(); err != nil {
		return entry, false, err
	}
	o := s.overlay
	o.mu.Lock()
	defer o.mu.Unlock()
	e, err := s.view.entryOf(raw)
	if err != nil {
		return entry, false, err
	}
	rev := uint64(0)
	if u := o.users[a.User.ID]; u != nil && len(u.items) > 0 {
		rev = u.items[len(u.items)-1].number()
	}
	if e.profile.rev != a.UserRev || e.record.rev != a.RecordRev || rev != a.LocalRev || !e.holds(used, a.CredRevs) {
		return entry, false, nil
	}
	if entry.Credential != "" {
		entry.Before = a.Record.Floors.Of(entry.Credential)
	}
	entry.Number = o.next(s.o.Now())
	kept := entry
	u := o.add(owed{settled: &kept})
	u.record, u.base, u.whole = next.Clone(), a.RecordRev, true
	return entry, true, nil
}

// holds reports whether e has the credentials at these revisions.
func (e entry) holds(used []mfa.CredentialID, revs settlement.CredRevs) bool {
	for _, id := range used {
		if !slices.ContainsFunc(e.creds, func(c cred) bool { return c.id.String() == string(id) && c.rev == revs.Of(id) }) {
			return false
		}
	}
	return true
}

// Restore takes back, at a start, what the trail holds behind its mark: entries with a
// number are merged unless the database says that they are, and those that the database has
// acknowledged shadow the copy here until there is contact, since it may lack the last of
// them. What was restored or made in this run is passed over, so that doing it twice does
// no harm. It needs no master.
func (s *Store) Restore(ctx context.Context, records []mfa.Record) error {
	merged, err := s.mergedHere(ctx)
	if err != nil {
		return err
	}
	var items []owed
	o := s.overlay
	o.mu.Lock()
	defer o.mu.Unlock()
	known := max(o.number, merged)
	for _, r := range records {
		switch {
		case r.Change != nil && r.Change.Number > known:
			items = append(items, owed{change: r.Change})
		case r.Settled == nil:
		case r.Settled.Number > known:
			items = append(items, owed{settled: r.Settled})
		case r.Settled.Number == 0 && r.Settled.State == mfa.Committed && s.shadowed():
			c := *r.Settled
			c.Failures, c.FirstFails = 0, 0
			u := o.user(c.User)
			u.shadows = append(u.shadows, c)
			o.some.Store(true)
		}
	}
	// In the order of their numbers, which two at the same time may not have in the trail.
	sort.SliceStable(items, func(i, j int) bool { return items[i].number() < items[j].number() })
	for i, it := range items {
		if i > 0 && it.number() == items[i-1].number() {
			continue
		}
		o.add(it)
	}
	if n := len(items); n > 0 {
		o.number = items[n-1].number()
	}
	o.number = max(o.number, merged)
	return nil
}

// shadowed reports whether the copy here may lack what the database has acknowledged.
func (s *Store) shadowed() bool {
	last, _ := s.Contact()
	return last.IsZero()
}

// Unmerged returns how many settlements and restrictions wait for a master.
func (s *Store) Unmerged() int {
	s.overlay.mu.Lock()
	defer s.overlay.mu.Unlock()
	return len(s.overlay.queue)
}

// restrictLocal keeps c: from now on here, and everywhere once it is merged. It returns when
// the trail has it. If that fails it holds all the same until the next start.
func (s *Store) restrictLocal(ctx context.Context, c mfa.Change) error {
	c.Time, c.Server = s.now(), s.o.Server
	s.overlay.mu.Lock()
	c.Number = s.overlay.next(s.o.Now())
	kept := c
	s.overlay.add(owed{change: &kept})
	s.overlay.mu.Unlock()
	if err := s.o.Keep(context.WithoutCancel(ctx), mfa.Record{Change: &c}); err != nil {
		return fmt.Errorf("it holds until the next start of this server, but was not recorded: %w", err)
	}
	s.o.Log.Warn("a restriction was made without a master; it holds here, and everywhere once it is merged", "what", c.What, "user", c.User,
		"credential", c.Credential, "token", c.Token, "by", c.By)
	return nil
}

// isolated reports whether changes have to be made by this server alone.
func (s *Store) isolated() bool {
	if s.o.Keep == nil || !s.grouped() {
		return false
	}
	_, now := s.Contact()
	return !now
}

// blockLocal is UpdateUser without a master, if all that change does is to block. ok is
// false if it does something else: then nothing was done.
func (s *Store) blockLocal(ctx context.Context, id mfa.UserID, change func(*mfa.User) error) (u mfa.User, ok bool, err error) {
	if !s.isolated() {
		return mfa.User{}, false, nil
	}
	a, err := s.Account(ctx, id, false)
	if err != nil {
		return mfa.User{}, false, nil
	}
	old := a.User
	u = old
	u.Aliases, u.Tags = slices.Clone(old.Aliases), slices.Clone(old.Tags)
	if old.Block != nil {
		b := *old.Block
		u.Block = &b
	}
	if change(&u) != nil || !onlyBlocks(old, u) {
		return mfa.User{}, false, nil
	}
	if !u.Block.Stricter(old.Block) {
		return old, true, nil // blocked as long already
	}
	return u, true, s.restrictLocal(ctx, mfa.Change{What: mfa.ChangeBlock, User: id, Block: u.Block, By: u.Block.By})
}

// disableLocal is UpdateCredential without a master, if all that change does is to disable.
func (s *Store) disableLocal(ctx context.Context, user mfa.UserID, id mfa.CredentialID, change func(*mfa.Credential) error) (c mfa.Credential, ok bool, err error) {
	if !s.isolated() {
		return mfa.Credential{}, false, nil
	}
	a, err := s.Account(ctx, user, false)
	if err != nil {
		return mfa.Credential{}, false, nil
	}
	i := slices.IndexFunc(a.Credentials, func(c mfa.Credential) bool { return c.ID == id })
	if i < 0 {
		return mfa.Credential{}, false, nil
	}
	old := a.Credentials[i]
	c = old
	c.Scope = slices.Clone(old.Scope)
	if change(&c) != nil || !onlyDisables(old, c) {
		return mfa.Credential{}, false, nil
	}
	if old.Disabled {
		return c, true, nil
	}
	return c, true, s.restrictLocal(ctx, mfa.Change{What: mfa.ChangeDisable, User: user, Credential: id, By: c.By})
}

// revokeLocal is RemoveAPIToken without a master.
func (s *Store) revokeLocal(ctx context.Context, id string) (ok bool, err error) {
	if _, here := s.catalog().tokens[id]; !here || !s.isolated() || s.overlay.revoked(id) {
		return false, nil
	}
	return true, s.restrictLocal(ctx, mfa.Change{What: mfa.ChangeRevoke, Token: id})
}
