package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

func userLife(t *testing.T, r *rig) {
	ctx := t.Context()
	in := mfa.User{Login: "Alice", Aliases: []string{"CORP\\Alice", "alice@corp.example", "alice"}, Name: "Alice Ä", Email: "alice@mail.example", Phone: "+4912345",
		Tags: []string{"vpn"}, Language: "de", State: mfa.StateProtected, Block: &mfa.Block{Until: noon, Reason: "lost her phone", By: "root", Since: noon}}
	cred := totp()
	cred.Label, cred.Why, cred.Scope, cred.Uses, cred.Counter, cred.Expires = "phone", "because", []string{"vpn"}, 3, 1<<63, noon
	u, err := r.CreateUser(ctx, in, []mfa.Credential{cred})
	if err != nil {
		t.Fatal(err)
	}
	want := in
	want.ID, want.Login, want.Aliases, want.Created, want.Changed = u.ID, "alice", []string{`corp\alice`, "alice@corp.example"}, noon, noon
	same(t, "created", u, want)
	cred.User = u.ID

	is(t, "sync", r.Sync(ctx), nil)
	for _, fresh := range []bool{false, true} {
		a, err := r.Account(ctx, u.ID, fresh)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("account, fresh %v", fresh), a, settlement.Account{User: want, Credentials: []mfa.Credential{cred},
			UserRev: a.UserRev, RecordRev: a.UserRev, CredRevs: settlement.CredRevs{{ID: cred.ID, Rev: a.UserRev}}, Whole: !fresh})
		a.User.Login, a.User.Aliases, a.User.Name, a.User.Email, a.User.Phone, a.User.Block.Reason = "", nil, "", "", "", ""
		standing, err := r.Standing(ctx, u.ID, fresh)
		if err != nil {
			t.Fatal(err)
		}
		same(t, fmt.Sprintf("standing, fresh %v", fresh), standing, a)
	}
	forms := func(want map[string]bool) {
		t.Helper()
		for form, known := range want {
			id, err := r.UserByForm(ctx, form)
			if known != (err == nil) || known && id != u.ID || !known && !errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("UserByForm(%s) = %q, %v; want it known: %v", form, id, err, known)
			}
		}
	}
	forms(map[string]bool{"alice": true, `corp\alice`: true, "alice@corp.example": true, "bob": false})

	changed, err := r.UpdateUser(ctx, u.ID, func(u *mfa.User) error {
		u.Login, u.Aliases, u.Block, u.Phone = "alicia", []string{"alice@corp.example"}, nil, ""
		u.ID = "ignored"
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want.Login, want.Aliases, want.Block, want.Phone = "alicia", []string{"alice@corp.example"}, nil, ""
	same(t, "changed", changed, want)
	forms(map[string]bool{"alice": false, `corp\alice`: false, "alice@corp.example": true, "alicia": true})

	_, err = r.UpdateUser(ctx, u.ID, func(*mfa.User) error { return mfa.ErrInvalid })
	is(t, "an update that its function refuses", err, mfa.ErrInvalid)
	other := r.user(t, "alice") // free again
	_, err = r.UpdateUser(ctx, other.ID, func(u *mfa.User) error { u.Aliases = []string{"alicia"}; return nil })
	is(t, "an alias that is somebody's", err, mfa.ErrExists)

	var listed []string
	if err := r.ListUsers(ctx, "", func(u mfa.User) bool { listed = append(listed, u.Login); return true }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(listed)
	if want := []string{"alice", "alicia"}; !slices.Equal(listed, want) || r.CountUsers() != 2 {
		t.Errorf("listed %q, counted %d, want %q", listed, r.CountUsers(), want)
	}

	// What a write asks of the user holds in the write itself.
	moved := func() func(mfa.User) error {
		return func(seen mfa.User) error {
			if seen.Name == "faster" {
				return mfa.ErrForbidden
			}
			_, err := r.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name = "faster"; return nil })
			return err
		}
	}
	back := func() {
		if _, err := r.UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name = "as before"; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	is(t, "removed, and somebody was faster", r.RemoveUserIf(ctx, u.ID, moved()), mfa.ErrForbidden)
	back()
	is(t, "a record, and somebody was faster", r.UpdateRecordIf(ctx, u.ID, moved(), func(s *settlement.Record) error { s.Fails.N++; s.Fails.Last = noon; return nil }), mfa.ErrForbidden)

	if err := r.RemoveUser(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	forms(map[string]bool{"alicia": false, "alice@corp.example": false})
	for _, fresh := range []bool{false, true} {
		_, err = r.Account(ctx, u.ID, fresh)
		is(t, "account of a removed user", err, mfa.ErrNotFound)
	}
	is(t, "removed twice", r.RemoveUser(ctx, u.ID), mfa.ErrNotFound)
	if left := keys(t, r.kv, "c/"+string(u.ID)); len(left) != 0 || r.CountUsers() != 1 {
		t.Errorf("left of a removed user: %q, counted %d", left, r.CountUsers())
	}
}

func userRefused(t *testing.T, r *rig) {
	ctx := t.Context()
	taken := r.user(t, "taken")
	foreign := totp()
	foreign.User = "bbbbbbbbbbbbbbbb"
	badID := totp()
	badID.ID = "UPPER"
	for name, tt := range map[string]struct {
		u    mfa.User
		c    []mfa.Credential
		want error
	}{
		"no login":                  {mfa.User{}, nil, mfa.ErrInvalid},
		"a login with NUL":          {mfa.User{Login: "a\x00b"}, nil, mfa.ErrInvalid},
		"an alias that is none":     {mfa.User{Login: "a", Aliases: []string{"b c"}}, nil, mfa.ErrInvalid},
		"a login that is taken":     {mfa.User{Login: "TAKEN"}, nil, mfa.ErrExists},
		"an alias that is taken":    {mfa.User{Login: "a", Aliases: []string{"taken"}}, nil, mfa.ErrExists},
		"an id that is none":        {mfa.User{ID: "alice", Login: "a"}, nil, mfa.ErrInvalid},
		"an id that is taken":       {mfa.User{ID: taken.ID, Login: "a"}, nil, mfa.ErrExists},
		"another's credential":      {mfa.User{Login: "a"}, []mfa.Credential{foreign}, mfa.ErrInvalid},
		"a credential without id":   {mfa.User{Login: "a"}, []mfa.Credential{badID}, mfa.ErrInvalid},
		"a directory that is not":   {mfa.User{Login: "a", Directory: "nowhere"}, nil, mfa.ErrInvalid},
		"a login of 254 characters": {mfa.User{Login: strings.Repeat("a", 254)}, nil, mfa.ErrInvalid},
	} {
		_, err := r.CreateUser(ctx, tt.u, tt.c)
		is(t, "create user with "+name, err, tt.want)
		errs, err := r.CreateUsers(ctx, []mfa.NewUser{{User: tt.u, Credentials: tt.c}})
		is(t, "create users with "+name, errs[0], tt.want)
		is(t, "then of all", err, nil)
	}
	for _, id := range []mfa.UserID{"", "alice", "bbbbbbbbbbbbbbbb", "../../../../../.."} {
		_, err := r.Account(ctx, id, true)
		is(t, fmt.Sprintf("account of %q", id), err, mfa.ErrNotFound)
		_, err = r.UpdateUser(ctx, id, func(*mfa.User) error { return nil })
		is(t, fmt.Sprintf("update of %q", id), err, mfa.ErrNotFound)
		is(t, fmt.Sprintf("removal of %q", id), r.RemoveUser(ctx, id), mfa.ErrNotFound)
	}
	if r.CountUsers() != 1 {
		t.Errorf("%d users, want the first only", r.CountUsers())
	}
	is(t, "list from a strange place", r.ListUsers(ctx, "nowhere", nil), mfa.ErrInvalid)
}

func userRace(t *testing.T, r *rig) {
	for round := range 5 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := map[mfa.UserID]bool{}
		for i := range 16 {
			wg.Go(func() {
				u := mfa.User{Login: fmt.Sprintf("own%d-%d", round, i), Aliases: []string{fmt.Sprintf("wanted%d", round)}}
				if i%2 == 0 {
					u.Login, u.Aliases = u.Aliases[0], nil
				}
				made, err := r.CreateUser(t.Context(), u, []mfa.Credential{totp()})
				if err == nil {
					mu.Lock()
					defer mu.Unlock()
					won[made.ID] = true
					return
				}
				is(t, "one of many", err, mfa.ErrExists)
			})
		}
		wg.Wait()
		id, err := r.UserByForm(t.Context(), fmt.Sprintf("wanted%d", round))
		if len(won) != 1 || !won[id] || err != nil {
			t.Errorf("winners %v, the login is %s's (%v)", slices.Collect(maps.Keys(won)), id, err)
		}
	}
	if r.CountUsers() != 5 {
		t.Errorf("%d users, want 5", r.CountUsers())
	}
}

func userChanges(t *testing.T, r *rig) {
	u := r.user(t, "alice")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 4 {
				for {
					_, err := r.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error {
						u.Tags = append(u.Tags, fmt.Sprintf("%d-%d", i, j))
						return nil
					})
					if !errors.Is(err, mfa.ErrConflict) {
						is(t, "update", err, nil)
						break
					}
				}
			}
		})
	}
	wg.Wait()
	a, err := r.Account(t.Context(), u.ID, false)
	if err != nil || len(a.User.Tags) != 24 {
		t.Errorf("%d tags after 24 parallel changes (%v): %q", len(a.User.Tags), err, a.User.Tags)
	}
}

func userRemoveRace(t *testing.T, r *rig) {
	for round := range 10 {
		u := r.user(t, fmt.Sprintf("user%d", round))
		a, err := r.Account(t.Context(), u.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				c := totp()
				c.User = u.ID
				if err := r.AddCredential(t.Context(), c); err != nil && !errors.Is(err, mfa.ErrNotFound) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, _, err := r.Settle(t.Context(), a, nil, settlement.Record{Legs: []settlement.Leg{{ID: mfa.LegID{1}, Time: noon}}}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Go(func() { is(t, "remove", r.RemoveUser(t.Context(), u.ID), nil) })
		wg.Wait()
		left := slices.Concat(keys(t, r.kv, "u/"), keys(t, r.kv, "c/"), keys(t, r.kv, "l/"), keys(t, r.kv, "s/"))
		if len(left) != 0 {
			t.Fatalf("left of a removed user: %q", left)
		}
	}
}

func bulk(t *testing.T, r *rig) {
	ctx := t.Context()
	r.user(t, "user0007")
	var users []mfa.NewUser
	for i := range 1000 {
		users = append(users, mfa.NewUser{User: mfa.User{Login: fmt.Sprintf("user%04d", i), Aliases: []string{fmt.Sprintf("u%d@corp.example", i)},
			State: mfa.StateProtected}, Credentials: []mfa.Credential{totp()}})
	}
	users = append(users, mfa.NewUser{User: mfa.User{Login: "USER0008"}}, mfa.NewUser{User: mfa.User{Login: "new", Aliases: []string{"u9@corp.example"}}},
		mfa.NewUser{User: mfa.User{Login: "bad login"}}, mfa.NewUser{User: mfa.User{Login: "stray", Directory: "nowhere"}})
	bad := map[int]error{7: mfa.ErrExists, 1000: mfa.ErrExists, 1001: mfa.ErrExists, 1002: mfa.ErrInvalid, 1003: mfa.ErrInvalid}
	errs, err := r.CreateUsers(ctx, users)
	if err != nil || len(errs) != len(users) {
		t.Fatalf("%d results for %d users, %v", len(errs), len(users), err)
	}
	for i, err := range errs {
		is(t, users[i].User.Login, err, bad[i])
	}
	if r.CountUsers() != 1000 { // 999 and the one from before
		t.Errorf("%d users, want 1000", r.CountUsers())
	}
	for _, i := range []int{0, 500, 999} {
		id, err := r.UserByForm(ctx, fmt.Sprintf("u%d@corp.example", i))
		if err != nil || id != users[i].User.ID {
			t.Errorf("alias of user %d: %s, %v; want %s", i, id, err, users[i].User.ID)
		}
		a, err := r.Account(ctx, id, true)
		if err != nil || len(a.Credentials) != 1 || !a.Credentials[0].Secret.Equal(secret.FromString("12345678901234567890")) {
			t.Errorf("account of user %d: %v, %v", i, a, err)
		}
	}
	for i := range users {
		users[i].User.ID = "" // as a second run of the same import
	}
	errs, err = r.CreateUsers(ctx, users)
	for i := range errs {
		if errs[i] == nil || err != nil {
			t.Fatalf("second run: user %d was created again (%v)", i, err)
		}
	}
	if n := len(keys(t, r.kv, "u/")); n != 1000 {
		t.Errorf("%d users in the database after a second run, want 1000", n)
	}
	parallelBulk(t, r)
}

// parallelBulk imports overlapping lists at the same time.
func parallelBulk(t *testing.T, r *rig) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[string]int{}
	for range 4 {
		wg.Go(func() {
			var users []mfa.NewUser
			for i := range 300 {
				users = append(users, mfa.NewUser{User: mfa.User{Login: fmt.Sprintf("both%03d", i)}})
			}
			for busy := true; busy && t.Context().Err() == nil; {
				errs, err := r.CreateUsers(t.Context(), users)
				if busy = errors.Is(err, mfa.ErrUnavailable); err != nil && !busy { // a busy machine's queue was too long; nothing was written of these
					t.Error(err)
				}
				mu.Lock()
				for i, err := range errs {
					switch {
					case err == nil:
						made[users[i].User.Login]++
					case !busy || !errors.Is(err, mfa.ErrUnavailable):
						is(t, users[i].User.Login, err, mfa.ErrExists)
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for login, n := range made {
		if n != 1 {
			t.Errorf("%s was created %d times", login, n)
		}
	}
	if len(made) != 300 {
		t.Errorf("%d of 300 users that several imports hold were created", len(made))
	}
}
