package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"countersign/internal/mfa"
)

func administrators(t *testing.T, r *rig) {
	ctx := t.Context()
	u, err := r.CreateUser(ctx, mfa.User{Login: "helen"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Administrator(u.ID)
	is(t, "no role yet", err, mfa.ErrNotFound)
	in := mfa.Administrator{User: u.ID, Role: mfa.RoleHelpDesk, Permissions: mfa.SetOf(mfa.MayBlock, mfa.MayManageToken),
		Reach: mfa.Reach{Tags: []string{"staff"}, Directories: []string{"corp"}}, By: "root"}
	_, err = r.CreateAdministrator(ctx, in)
	is(t, "create", err, nil)
	in.Created, in.Changed = noon, noon
	got, err := r.Administrator(u.ID)
	is(t, "read", err, nil)
	same(t, "read", got, in)
	_, err = r.CreateAdministrator(ctx, in)
	is(t, "a second role", err, mfa.ErrExists)
	_, err = r.CreateAdministrator(ctx, mfa.Administrator{User: "bbbbbbbbbbbbbbbb", Role: mfa.RoleOwner})
	is(t, "of nobody", err, mfa.ErrNotFound)
	_, err = r.UpdateAdministrator(ctx, u.ID, func(a *mfa.Administrator) error {
		a.Role, a.Permissions, a.Reach = mfa.RoleOwner, 0, mfa.Reach{}
		return nil
	})
	is(t, "update", err, nil)
	if a, err := r.Administrator(u.ID); err != nil || a.Role != mfa.RoleOwner || a.Permissions != 0 || a.Reach.Includes(u) {
		t.Errorf("updated to %+v, %v", a, err)
	}
	_, err = r.UpdateAdministrator(ctx, u.ID, func(*mfa.Administrator) error { return mfa.ErrChanged })
	is(t, "refused", err, mfa.ErrChanged)
	if all := r.Administrators(); len(all) != 1 || all[0].User != u.ID {
		t.Errorf("listed %+v", all)
	}
	is(t, "remove", r.RemoveAdministrator(ctx, u.ID, false), nil)
	is(t, "remove again", r.RemoveAdministrator(ctx, u.ID, false), mfa.ErrNotFound)
	administratorRace(t, r)
	lastOwner(t, r)
}

// A role goes with its user, also if it is given at the same moment.
func administratorRace(t *testing.T, r *rig) {
	ctx := t.Context()
	for range 12 {
		u, err := r.CreateUser(ctx, mfa.User{Login: "shortlived"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var given, gone error
		var wg sync.WaitGroup
		wg.Go(func() { _, given = r.CreateAdministrator(ctx, mfa.Administrator{User: u.ID, Role: mfa.RoleOwner}) })
		wg.Go(func() { gone = r.RemoveUser(ctx, u.ID) })
		wg.Wait()
		is(t, "remove the user", gone, nil)
		if given != nil && !errors.Is(given, mfa.ErrNotFound) {
			t.Error(given)
		}
		if a, err := r.Administrator(u.ID); !errors.Is(err, mfa.ErrNotFound) {
			t.Fatalf("a role is left of a removed user: %+v, %v", a, err)
		}
	}
}

// One owner who can sign in stays, whatever is done to them, and by however many at once.
func lastOwner(t *testing.T, r *rig) {
	ctx := t.Context()
	owner := func(login string) mfa.UserID {
		t.Helper()
		u, err := r.CreateUser(ctx, mfa.User{Login: login, State: mfa.StateProtected}, nil)
		is(t, "user", err, nil)
		_, err = r.CreateAdministrator(ctx, mfa.Administrator{User: u.ID, Role: mfa.RoleOwner})
		is(t, "owner", err, nil)
		return u.ID
	}
	demote := func(id mfa.UserID) error {
		_, err := r.UpdateAdministrator(ctx, id, func(a *mfa.Administrator) error { a.Role = mfa.RoleAuditor; return nil })
		return err
	}
	state := func(id mfa.UserID, s mfa.State) error {
		_, err := r.UpdateUser(ctx, id, func(u *mfa.User) error { u.State = s; return nil })
		return err
	}
	ada := owner("ada")
	refused := func(when string) {
		t.Helper()
		is(t, when+", demoted", demote(ada), mfa.ErrLastOwner)
		is(t, when+", role taken", r.RemoveAdministrator(ctx, ada, false), mfa.ErrLastOwner)
		is(t, when+", denied", state(ada, mfa.StateDenied), mfa.ErrLastOwner)
		is(t, when+", exempt", state(ada, mfa.StateExempt), mfa.ErrLastOwner)
		is(t, when+", removed", r.RemoveUser(ctx, ada), mfa.ErrLastOwner)
	}
	refused("alone")
	bea := owner("bea")
	is(t, "the other denied", state(bea, mfa.StateDenied), nil)
	refused("beside one who is denied")
	is(t, "the other back", state(bea, mfa.StateProtected), nil)
	is(t, "one of two denied", state(ada, mfa.StateDenied), nil)
	is(t, "who does not count is demoted", demote(ada), nil)
	is(t, "and removed", r.RemoveUser(ctx, ada), nil)
	for n := range 12 { // each takes the other's
		ada = owner(fmt.Sprint("owner", n))
		var errs [2]error
		var wg sync.WaitGroup
		wg.Go(func() { errs[0] = r.RemoveAdministrator(ctx, bea, false) })
		wg.Go(func() {
			if n%2 == 0 {
				errs[1] = r.RemoveUser(ctx, ada)
			} else {
				errs[1] = state(ada, mfa.StateDenied)
			}
		})
		wg.Wait()
		if errors.Is(errs[0], mfa.ErrLastOwner) == errors.Is(errs[1], mfa.ErrLastOwner) {
			t.Fatalf("both at once: %v, %v", errs[0], errs[1])
		}
		if errs[0] == nil {
			bea, ada = ada, bea
		}
		if err := r.RemoveUser(ctx, ada); err != nil && !errors.Is(err, mfa.ErrNotFound) {
			t.Fatal(err)
		}
	}
	is(t, "the last one, as root says", r.RemoveAdministrator(ctx, bea, true), nil)
	is(t, "the user", r.RemoveUser(ctx, bea), nil)
}
