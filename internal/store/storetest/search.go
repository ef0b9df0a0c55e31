package storetest

import (
	"slices"
	"testing"

	"countersign/internal/mfa"
)

func search(t *testing.T, r *rig) {
	ctx := t.Context()
	found := func(text string, after mfa.UserID) (logins []string) {
		t.Helper()
		if err := r.SearchUsers(ctx, text, after, func(u mfa.User) bool {
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
	is(t, "a bad id", r.SearchUsers(ctx, "x", "x", nil), mfa.ErrInvalid)

	if _, err := r.UpdateUser(ctx, ada.ID, func(u *mfa.User) error { u.Name = "Augusta King"; return nil }); err != nil {
		t.Fatal(err)
	}
	same(t, "by the name before", found("lovelace", ""), []string(nil))
	same(t, "by the name now", found("king", ""), []string{"ada"})
	is(t, "remove", r.RemoveUser(ctx, ada.ID), nil)
	same(t, "who is gone", found("king", ""), []string(nil))
}
