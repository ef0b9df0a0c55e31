package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"

	"pgregory.net/rapid"
)

// side is one epoch's store, with what was ever in it.
type side struct {
	*store.Store
	ctx context.Context
	n   byte      // of legs
	now time.Time // when what it makes is made
}

// objects returns every user, credential and token by a name.
func (s *side) objects(r *rapid.T) map[string]parking.Object {
	all := map[string]parking.Object{}
	var users []mfa.User
	if err := errors.Join(s.Sync(s.ctx), s.ListUsers(s.ctx, "", func(u mfa.User) bool { users = append(users, u); return true })); err != nil {
		r.Fatal(err)
	}
	for _, u := range users {
		all["user "+string(u.ID)] = parking.Object{User: &u}
		a, err := s.Account(s.ctx, u.ID, true)
		if err != nil {
			r.Fatal(err)
		}
		for _, c := range a.Credentials {
			all["credential "+string(c.User)+"/"+string(c.ID)] = parking.Object{Credential: &c}
		}
	}
	for _, t := range s.APITokens() {
		all["api-token "+t.ID] = parking.Object{Token: &t}
	}
	for _, a := range s.Administrators() {
		all["administrator "+string(a.User)] = parking.Object{Administrator: &a}
	}
	return all
}

// act does one thing at random; what is refused is refused.
func (s *side) act(r *rapid.T, label string) {
	if err := s.Sync(s.ctx); err != nil {
		r.Fatal(err)
	}
	var users []mfa.User
	if err := s.ListUsers(s.ctx, "", func(u mfa.User) bool { users = append(users, u); return true }); err != nil {
		r.Fatal(err)
	}
	s.n++
	fresh := fmt.Sprintf("%s%d", label, s.n)
	what := rapid.IntRange(0, 12).Draw(r, "what")
	if len(users) == 0 || what == 0 {
		_, _ = s.CreateUser(s.ctx, mfa.User{Login: fresh, State: mfa.StateProtected, Created: s.now}, nil)
		return
	}
	u := rapid.SampledFrom(users).Draw(r, "user")
	a, err := s.Account(s.ctx, u.ID, true)
	if err != nil {
		return
	}
	var c mfa.Credential
	if len(a.Credentials) > 0 {
		c = rapid.SampledFrom(a.Credentials).Draw(r, "credential")
	}
	update := func(change func(u *mfa.User)) {
		_, _ = s.UpdateUser(s.ctx, u.ID, func(u *mfa.User) error { change(u); return nil })
	}
	settle := func(ch settlement.Change) {
		ch.Leg, ch.Attempt, ch.Time = mfa.LegID{s.n, label[0]}, mfa.AttemptID{s.n, label[0]}, noon
		_ = s.UpdateRecord(s.ctx, u.ID, func(rec *settlement.Record) error {
			next, err := rec.Apply(ch, policy.Defaults().Second(), policy.Defaults().First())
			*rec = next
			return err
		})
	}
	switch what {
	case 1:
		update(func(u *mfa.User) { u.Name = fresh })
	case 2:
		update(func(u *mfa.User) {
			u.Block = &mfa.Block{By: label, Since: noon, Until: noon.Add(time.Duration(s.n) * time.Hour)}
		})
	case 3:
		update(func(u *mfa.User) { u.Block = nil })
	case 4:
		update(func(u *mfa.User) {
			u.State = rapid.SampledFrom([]mfa.State{mfa.StateDenied, mfa.StateProtected, mfa.StateExempt}).Draw(r, "state")
		})
	case 5:
		_ = s.RemoveUser(s.ctx, u.ID)
	case 6, 7:
		_ = s.AddCredential(s.ctx, mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodTOTP, Secret: secret.FromString(fresh), Digits: 6, Period: 30, Created: s.now})
	case 8:
		if c.ID != "" {
			_, _ = s.UpdateCredential(s.ctx, u.ID, c.ID, func(c *mfa.Credential) error {
				c.Disabled = rapid.Bool().Draw(r, "disabled")
				c.Label = rapid.SampledFrom([]string{c.Label, fresh}).Draw(r, "label")
				return nil
			})
		}
	case 9:
		if tokens := s.APITokens(); len(tokens) > 0 && rapid.Bool().Draw(r, "revoke") {
			_ = s.RemoveAPIToken(s.ctx, tokens[0].ID)
		} else {
			_, _ = s.CreateAPIToken(s.ctx, mfa.APIToken{Name: fresh, Created: s.now, Digest: [32]byte{s.n, label[0]}})
		}
	case 12:
		a := mfa.Administrator{User: u.ID, Role: rapid.SampledFrom([]mfa.Role{mfa.RoleHelpDesk, mfa.RoleOwner}).Draw(r, "role"), Created: s.now}
		if _, err := s.CreateAdministrator(s.ctx, a); errors.Is(err, mfa.ErrExists) {
			if rapid.Bool().Draw(r, "take away") {
				_ = s.RemoveAdministrator(s.ctx, u.ID, true)
			} else {
				_, _ = s.UpdateAdministrator(s.ctx, u.ID, func(b *mfa.Administrator) error { b.Role = a.Role; return nil })
			}
		}
	case 10:
		settle(settlement.Change{Reason: mfa.WrongCode, Fail: true})
	case 11:
		if c.ID != "" {
			settle(settlement.Change{Reason: mfa.OK, Clear: true, Credential: c.ID, Floor: mfa.Floor{Next: uint64(s.n) + 10}})
		} else if c.ID == "" {
			settle(settlement.Change{Reason: mfa.WrongPassword, FirstFail: true})
		}
	}
}

// Whatever both sides did: of what the old one has done nothing is lost. It is merged, or it
// is so here, or it is listed as it was there. No code becomes unused and no lock ends. And
// what is listed can be applied.
func TestRejoinLosesNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ctx, stop := context.WithCancel(t.Context())
		id, err := keyring.NewIdentity()
		if err != nil {
			r.Fatal(err)
		}
		ring := newRing(t)
		thereKV := &storetest.Memory{}
		if err := store.PutKeyset(ctx, thereKV, "nyc1", id.Recipient(), ring.Keyset()); err != nil {
			r.Fatal(err)
		}
		o := store.Options{Server: "nyc1", Identity: id}
		thereStore, thereDone := start(r, ctx, thereKV, keyring.NewRing(ring.Keyset()), o)
		there := &side{Store: thereStore, ctx: ctx, now: noon}
		for range rapid.IntRange(2, 10).Draw(r, "before") {
			there.act(r, "base")
		}
		base := there.objects(r)
		hereKV, at := thereKV.Fork()
		hereStore, hereDone := start(r, ctx, hereKV, keyring.NewRing(ring.Keyset()), o)
		here := &side{Store: hereStore, ctx: ctx, now: noon.Add(time.Hour)}
		defer func() { stop(); <-thereDone; <-hereDone }()
		for range rapid.IntRange(0, 8).Draw(r, "there") {
			there.act(r, "there")
		}
		for range rapid.IntRange(0, 8).Draw(r, "here") {
			here.act(r, "here")
		}
		was, hereWas := there.objects(r), here.objects(r)
		if rapid.Bool().Draw(r, "history is gone") {
			thereKV.Compact()
		}
		rep, err := here.Rejoin(ctx, thereKV.Parked("0123456789abcdef"), store.Rejoin{Epoch: 1, Fork: at, Since: noon.Add(time.Minute)})
		if err != nil || rep.Unreadable > 0 {
			r.Fatal(rep, err)
		}
		list, err := here.ParkedChanges(ctx)
		if err != nil {
			r.Fatal(err)
		}
		now := here.objects(r)
		listed := map[string]parking.Change{}
		for _, c := range list {
			listed[string(c.Kind)+" "+c.Object] = c
			for _, cred := range c.Credentials {
				listed["credential "+string(cred.User)+"/"+string(cred.ID)] = parking.Change{What: parking.Added, After: parking.Object{Credential: &cred}}
			}
		}
		for name, o := range was {
			c, waits := listed[name]
			switch {
			case base[name].Same(o), now[name].Same(o), waits && c.After.Same(o):
			case o.User != nil && now[name].User != nil && !o.User.Block.Stricter(now[name].User.Block) && c.ID == "" && sameButRestrictions(base[name], o):
			case o.User != nil && now[name].User != nil && !o.User.Block.Stricter(now[name].User.Block) && c.ID == "" && !unblocks(base[name], o) && unblocked(o).Same(unblocked(now[name])):
				// here it is so by itself, and whoever was kept out there is kept out here
			case o.Credential != nil && now[name].Credential != nil && now[name].Credential.Disabled && c.ID == "" && sameButRestrictions(base[name], o):
			case o.Credential != nil && listed["user "+string(o.Credential.User)].What == parking.Changed && now["user "+string(o.Credential.User)].None():
				// of a user who was removed here: told with the user's own change
			case now[name].None() && hereWas[name].None() && !base[name].None() && sameButRestrictions(base[name], o):
				// restricted there, removed here
			default:
				r.Fatalf("lost: %s: there %s, at the fork %s, now %s, listed %t %+v", name, tell(o), tell(base[name]), tell(now[name]), waits, c)
			}
		}
		for name, o := range now {
			if o.User != nil && o.User.Block != nil && strings.Contains(o.User.Block.Reason, "see group parked") && listed[name].ID == "" {
				r.Fatalf("%s is blocked until something is decided that is not listed: %s", name, tell(o))
			}
		}
		for name, o := range base {
			if _, still := was[name]; still || now[name].None() || listed[name].What == parking.Removed {
				continue
			}
			if o.Credential != nil && listed["user "+string(o.Credential.User)].What == parking.Removed {
				continue
			}
			if o.Administrator != nil && !now[name].Administrator.Created.Equal(o.Administrator.Created) {
				continue // taken away on both sides, and given anew here
			}
			r.Fatalf("lost: %s was removed there, is here and not listed", name)
		}
		for name := range was {
			if was[name].User == nil || now[name].User == nil {
				continue
			}
			a, errA := there.Account(ctx, was[name].User.ID, true)
			b, errB := here.Account(ctx, was[name].User.ID, true)
			if errA != nil || errB != nil {
				r.Fatal(errA, errB)
			}
			for _, c := range b.Credentials {
				if b.Record.Floors.Of(c.ID).Next < a.Record.Floors.Of(c.ID).Next {
					r.Fatalf("%s: floor %+v, there %+v", name, b.Record.Floors.Of(c.ID), a.Record.Floors.Of(c.ID))
				}
			}
			if a.Record.Fails.LockedAt(noon) && !b.Record.Fails.LockedAt(noon) {
				r.Fatalf("%s is locked there and not here", name)
			}
		}
		apply(r, here, list)
	})
}

func unblocked(o parking.Object) parking.Object {
	u := *o.User
	u.Block = nil
	return parking.Object{User: &u}
}

// unblocks reports whether a block of before is gone or another one after.
func unblocks(before, after parking.Object) bool {
	return before.User != nil && before.User.Block != nil && (after.User.Block == nil || *after.User.Block != *before.User.Block)
}

// tell shows what is in an object.
func tell(o parking.Object) string {
	b, err := json.Marshal(o)
	return fmt.Sprint(string(b), err)
}

func sameButRestrictions(a, b parking.Object) bool {
	return parking.Change{What: parking.Changed, BaseKnown: true, Before: a, After: b}.Restricted()
}

// apply applies what is listed, by force; only what can be told of, names what is gone or would take
// the last owner may be refused.
func apply(r *rapid.T, here *side, list []parking.Change) {
	for _, c := range list {
		_, err := here.ApplyParked(here.ctx, c.ID, false)
		if c.Standing == parking.Conflict && errors.Is(err, mfa.ErrConflict) {
			_, err = here.ApplyParked(here.ctx, c.ID, true)
		}
		if err != nil && !errors.Is(err, mfa.ErrNotFound) && !errors.Is(err, mfa.ErrLastOwner) {
			r.Fatalf("%s %s %s: %v", c.Kind, c.What, c.Object, err)
		}
	}
	now := here.objects(r)
	left, err := here.ParkedChanges(here.ctx)
	if err != nil {
		r.Fatal(err)
	}
	for _, c := range list {
		if slices.ContainsFunc(left, func(l parking.Change) bool { return l.ID == c.ID }) {
			continue
		}
		if o := now[string(c.Kind)+" "+c.Object]; o.None() != c.After.None() {
			r.Fatalf("%s %s %s was applied and is not so: %+v", c.Kind, c.What, c.Object, o)
		}
	}
}
