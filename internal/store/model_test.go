package store_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store"
	"countersign/internal/store/storetest"

	"pgregory.net/rapid"
)

// Users under faults, against a simple model: whatever the database loses, refuses or
// answers too late, an operation that reports success has happened once, one that reports
// failure has not, and one whose outcome is open is one of both.
func TestStoreAgainstModel(t *testing.T) {
	logins := []string{"alice", "bob", "carol", "dave"}
	rapid.Check(t, func(r *rapid.T) {
		var next []storetest.Fault
		kv := faulty(&next)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		s, done := start(r, ctx, kv, newRing(t), store.Options{})
		defer func() { stop(); <-done }()
		if err := s.Sync(ctx); err != nil {
			r.Fatal(err)
		}
		model := map[mfa.UserID]map[string]bool{} // the login forms of each user
		owner := func(form string) mfa.UserID {
			for id, forms := range model {
				if forms[form] {
					return id
				}
			}
			return ""
		}
		anyone := func(r *rapid.T) mfa.UserID {
			ids := slices.Sorted(maps.Keys(model))
			if len(ids) == 0 {
				r.Skip("nobody")
			}
			return rapid.SampledFrom(ids).Draw(r, "user")
		}
		faults := func(r *rapid.T) {
			next = rapid.SliceOfN(rapid.SampledFrom([]storetest.Fault{storetest.None, storetest.LostBefore, storetest.LostAfter, storetest.Refused}), 0, 6).Draw(r, "faults")
		}
		// settled takes over what became of an open outcome, which must be all or nothing.
		settled := func(r *rapid.T, err error, id mfa.UserID, want map[string]bool) {
			next = nil
			if err == nil {
				model[id] = want
			} else if errors.Is(err, mfa.ErrUnknownOutcome) {
				if err := s.Sync(ctx); err != nil {
					r.Fatal(err)
				}
				a, err := s.Account(ctx, id, true)
				switch {
				case errors.Is(err, mfa.ErrNotFound):
					if want != nil && model[id] != nil {
						r.Fatalf("user %s is gone", id)
					}
					delete(model, id)
				case err != nil:
					r.Fatal(err)
				case want != nil && slices.Equal(slices.Sorted(maps.Keys(want)), forms(a.User)):
					model[id] = want
				}
			} else if !errors.Is(err, mfa.ErrExists) && !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrConflict) {
				r.Fatal(err)
			}
			if model[id] == nil {
				delete(model, id)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"create": func(r *rapid.T) {
				want := set(rapid.SliceOfNDistinct(rapid.SampledFrom(logins), 1, 2, rapid.ID).Draw(r, "logins"))
				list := slices.Sorted(maps.Keys(want))
				free := true
				for form := range want {
					free = free && owner(form) == ""
				}
				u := mfa.User{ID: mfa.UserID(mfa.NewID(nil)), Login: list[0], Aliases: list[1:]}
				faults(r)
				var err error
				if rapid.Bool().Draw(r, "bulk") {
					var errs []error
					errs, _ = s.CreateUsers(ctx, []mfa.NewUser{{User: u}})
					err = errs[0]
				} else {
					_, err = s.CreateUser(ctx, u, nil)
				}
				if free == errors.Is(err, mfa.ErrExists) {
					r.Fatalf("create %q, free %v: %v", list, free, err)
				}
				settled(r, err, u.ID, want)
			},
			"update": func(r *rapid.T) {
				id := anyone(r)
				want := set(rapid.SliceOfNDistinct(rapid.SampledFrom(logins), 1, 2, rapid.ID).Draw(r, "logins"))
				list := slices.Sorted(maps.Keys(want))
				free := true
				for form := range want {
					free = free && (owner(form) == "" || owner(form) == id)
				}
				faults(r)
				_, err := s.UpdateUser(ctx, id, func(u *mfa.User) error { u.Login, u.Aliases = list[0], list[1:]; return nil })
				if free == errors.Is(err, mfa.ErrExists) {
					r.Fatalf("update to %q, free %v: %v", list, free, err)
				}
				settled(r, err, id, want)
			},
			"remove": func(r *rapid.T) {
				id := anyone(r)
				faults(r)
				settled(r, s.RemoveUser(ctx, id), id, nil)
			},
			"compact": func(*rapid.T) { kv.Compact() },
			"": func(r *rapid.T) {
				if rapid.Bool().Draw(r, "sync") {
					if err := s.Sync(ctx); err != nil {
						r.Fatal(err)
					}
				}
				for _, form := range logins {
					id, err := s.UserByForm(ctx, form)
					if want := owner(form); id != want || (err == nil) != (want != "") {
						r.Fatalf("%q is %q's (%v), want %q", form, id, err, want)
					}
				}
				if s.CountUsers() != len(model) {
					r.Fatalf("%d users, want %d", s.CountUsers(), len(model))
				}
				for id, want := range model {
					a, err := s.Account(ctx, id, false)
					if err != nil || !slices.Equal(forms(a.User), slices.Sorted(maps.Keys(want))) {
						r.Fatalf("user %s: %q, %v; want %v", id, forms(a.User), err, want)
					}
				}
			},
		})
	})
}

func set(list []string) map[string]bool {
	m := map[string]bool{}
	for _, s := range list {
		m[s] = true
	}
	return m
}

func forms(u mfa.User) []string {
	return slices.Sorted(slices.Values(append([]string{u.Login}, u.Aliases...)))
}
