package storetest

import (
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// usedSeeds takes a token away that was used, and gives its seed to somebody again, in each
// of the ways that there are.
func usedSeeds(t *testing.T, r *rig) {
	ctx := t.Context()
	const used = 7
	token := func(method mfa.MethodID, seed string) mfa.Credential {
		c := totp()
		c.Method, c.Secret = method, secret.FromString(seed)
		if method == mfa.MethodHOTP {
			c.Period = 0
		}
		return c
	}
	// spend makes a user with a token for the seed, raises its floor, and takes user or token away.
	spend := func(login string, c mfa.Credential, whole bool) {
		t.Helper()
		u, err := r.CreateUser(ctx, mfa.User{Login: login, State: mfa.StateProtected}, []mfa.Credential{c})
		is(t, "create", err, nil)
		is(t, "spend", r.UpdateRecord(ctx, u.ID, func(s *settlement.Record) error {
			*s = s.Raise(c.ID, mfa.Floor{Next: used, Drift: 1})
			return nil
		}), nil)
		if whole {
			is(t, "remove user", r.RemoveUser(ctx, u.ID), nil)
		} else {
			is(t, "remove token", r.RemoveCredential(ctx, u.ID, c.ID), nil)
			is(t, "remove user", r.RemoveUser(ctx, u.ID), nil)
		}
	}
	floor := func(user mfa.UserID, c mfa.CredentialID) uint64 {
		t.Helper()
		var next [2]uint64
		for i, fresh := range []bool{false, true} {
			a, err := r.Account(ctx, user, fresh)
			is(t, "account", err, nil)
			next[i] = a.Record.Floors.Of(c).Next
		}
		if next[0] != next[1] {
			t.Errorf("the view has the floor %d, the database %d", next[0], next[1])
		}
		return next[1]
	}
	again := map[string]func(c mfa.Credential) (mfa.UserID, error){
		"user": func(c mfa.Credential) (mfa.UserID, error) {
			u, err := r.CreateUser(ctx, mfa.User{Login: "alice"}, []mfa.Credential{c})
			return u.ID, err
		},
		"credential": func(c mfa.Credential) (mfa.UserID, error) {
			u, err := r.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
			is(t, "create", err, nil)
			c.User = u.ID
			return u.ID, r.AddCredential(ctx, c)
		},
		"import": func(c mfa.Credential) (mfa.UserID, error) {
			users := []mfa.NewUser{
				{User: mfa.User{Login: "before"}, Credentials: []mfa.Credential{token(mfa.MethodTOTP, "seed of before")}},
				{User: mfa.User{Login: "alice"}, Credentials: []mfa.Credential{token(mfa.MethodTOTP, "seed of her phone"), c}},
				{User: mfa.User{Login: "behind"}},
			}
			errs, err := r.CreateUsers(ctx, users)
			for i, e := range errs {
				is(t, users[i].User.Login, e, nil)
			}
			is(t, "remove", r.RemoveUser(ctx, users[0].User.ID), nil)
			is(t, "remove", r.RemoveUser(ctx, users[2].User.ID), nil)
			return users[1].User.ID, err
		},
	}
	for _, method := range []mfa.MethodID{mfa.MethodTOTP, mfa.MethodHOTP} {
		for how, add := range again {
			for _, whole := range []bool{true, false} {
				seed := string(method) + how + map[bool]string{true: "whole", false: "single"}[whole]
				spend("alice", token(method, seed), whole)
				c := token(method, seed)
				u, err := add(c)
				is(t, "add again", err, nil)
				if got := floor(u, c.ID); got != used {
					t.Errorf("%s, given again as %s, whole user removed %v: floor %d, want the %d that it had", method, how, whole, got, used)
				}
				is(t, "remove", r.RemoveUser(ctx, u), nil)
			}
		}
	}

	// What never had it has nothing: another seed, and the seed under another period, whose
	// steps have other numbers.
	spend("alice", token(mfa.MethodTOTP, "seed"), true)
	for name, c := range map[string]mfa.Credential{"another seed": token(mfa.MethodTOTP, "another"), "as hotp": token(mfa.MethodHOTP, "seed"),
		"another period": func() mfa.Credential { c := token(mfa.MethodTOTP, "seed"); c.Period = 60; return c }()} {
		u, err := r.CreateUser(ctx, mfa.User{Login: "bob"}, []mfa.Credential{c})
		is(t, name, err, nil)
		if got := floor(u.ID, c.ID); got != 0 {
			t.Errorf("%s: floor %d, want none", name, got)
		}
		is(t, "remove", r.RemoveUser(ctx, u.ID), nil)
	}
}
