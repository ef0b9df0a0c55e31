package storetest

import (
	"errors"
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
	is(t, "remove", r.RemoveAdministrator(ctx, u.ID), nil)
	is(t, "remove again", r.RemoveAdministrator(ctx, u.ID), mfa.ErrNotFound)
	administratorRace(t, r)
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
