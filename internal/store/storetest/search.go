package storetest

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

func search(t *testing.T, r *rig) {
	ctx := t.Context()
	found := func(text string, after mfa.UserID) (logins []string) {
		t.Helper()
		if err := r.FindUsers(ctx, text, nil, nil, after, func(u mfa.User) bool {
			logins = append(logins, u.Login)
			return len(logins) < 2
		}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(logins)
		return logins
	}
	ada, err := r.CreateUser(ctx, mfa.User{Login: "ada", Name: "Ada Lovelace", Email: "countess@corp.example", Aliases: []string{"al"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bob := r.user(t, "bob")
	for text, want := range map[string][]string{"LOVE": {"ada"}, "countess": {"ada"}, "al": {"ada"}, "b": {"bob"}, "o": {"ada", "bob"}, "nobody": nil, "ada\nada": nil, "": {"ada", "bob"}} {
		same(t, "search for "+text, found(text, ""), want)
		same(t, "again", found(text, ""), want)
	}
	first, last := ada, bob
	if err := r.ListUsers(ctx, "", func(u mfa.User) bool {
		if u.ID == bob.ID {
			first, last = bob, ada
		}
		return false
	}); err != nil {
		t.Fatal(err)
	}
	same(t, "behind the first", found("", first.ID), []string{last.Login})
	same(t, "behind the last", found("", last.ID), []string(nil))
	is(t, "a bad id", r.FindUsers(ctx, "x", nil, nil, "x", nil), mfa.ErrInvalid)

	if _, err := r.UpdateUser(ctx, ada.ID, func(u *mfa.User) error { u.Name = "Augusta King"; return nil }); err != nil {
		t.Fatal(err)
	}
	same(t, "by the name before", found("lovelace", ""), []string(nil))
	same(t, "by the name now", found("king", ""), []string{"ada"})
	is(t, "remove", r.RemoveUser(ctx, ada.ID), nil)
	same(t, "who is gone", found("king", ""), []string(nil))

	seen := 0
	is(t, "outlines", r.Outlines(ctx, func(a settlement.Account) bool {
		seen++
		if a.User.ID != bob.ID || a.User.State != bob.State || a.User.Login != "" || len(a.Credentials) != 1 || a.Credentials[0].Method != mfa.MethodTOTP || !a.Credentials[0].Secret.Empty() {
			t.Errorf("an outline: %+v", a)
		}
		return true
	}), nil)
	if seen != 1 {
		t.Errorf("%d outlines of one user", seen)
	}
	is(t, "whom a filter takes", r.FindUsers(ctx, "b", nil, func(a settlement.Account) bool { return len(a.Credentials) == 1 }, "", func(u mfa.User) bool { seen++; return u.Login == "bob" }), nil)
	is(t, "whom it does not", r.FindUsers(ctx, "b", nil, func(a settlement.Account) bool { return len(a.Credentials) > 1 }, "", func(mfa.User) bool { seen += 10; return true }), nil)
	if seen != 2 {
		t.Errorf("the filters took %d users, want one", seen-1)
	}
	restricted(t, r, bob)
}

// restricted yields who is blocked or locked, as long as that holds.
func restricted(t *testing.T, r *rig, bob mfa.User) {
	ctx, now := t.Context(), time.Now().Truncate(time.Second)
	who := func(at time.Time) (ids []mfa.UserID) {
		t.Helper()
		is(t, "who is restricted", r.Restricted(ctx, at, func(a settlement.Account) bool { ids = append(ids, a.User.ID); return true }), nil)
		return ids
	}
	same(t, "nobody", who(now), []mfa.UserID(nil))
	_, err := r.UpdateUser(ctx, bob.ID, func(u *mfa.User) error { u.Block = &mfa.Block{Until: now.Add(time.Hour), By: "root"}; return nil })
	is(t, "block", err, nil)
	same(t, "who is blocked", who(now), []mfa.UserID{bob.ID})
	same(t, "after that", who(now.Add(2*time.Hour)), []mfa.UserID(nil))
	_, err = r.UpdateUser(ctx, bob.ID, func(u *mfa.User) error { u.Block = nil; return nil })
	is(t, "unblock", err, nil)
	for _, what := range []func(*settlement.Record) *settlement.Count{func(c *settlement.Record) *settlement.Count { return &c.Fails }, func(c *settlement.Record) *settlement.Count { return &c.First }} {
		a, err := r.Account(ctx, bob.ID, true)
		is(t, "account", err, nil)
		next := a.Record.Clone()
		next.Fails, next.First = settlement.Count{}, settlement.Count{}
		*what(&next) = settlement.Count{N: 5, Last: now, Until: now.Add(time.Hour)}
		_, ok, err := r.Settle(ctx, a, nil, next)
		is(t, "settle", err, nil)
		same(t, "settled", ok, true)
		same(t, "who is locked", who(now), []mfa.UserID{bob.ID})
		same(t, "when the lock is over", who(now.Add(time.Hour)), []mfa.UserID(nil))
	}
}
