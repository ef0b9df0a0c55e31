package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

func settleOnce(t *testing.T, r *rig) {
	u := r.user(t, "alice")
	for round := range 5 {
		a, err := r.Account(t.Context(), u.ID, round%2 == 1)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Record.Legs) != round {
			t.Errorf("round %d: %d legs are settled", round, len(a.Record.Legs))
		}
		used := []mfa.CredentialID{a.Credentials[0].ID}
		var wg sync.WaitGroup
		var mu sync.Mutex
		var revs []int64
		for i := range 64 {
			wg.Go(func() {
				next := a.Record.Clone()
				next.Legs = append(next.Legs, settlement.Leg{ID: mfa.LegID{byte(round), byte(i)}, Attempt: mfa.AttemptID{1}, Reason: mfa.OK, Time: noon})
				rev, ok, err := r.Settle(t.Context(), a, used, next)
				if err != nil {
					t.Error(err)
				}
				if ok {
					mu.Lock()
					defer mu.Unlock()
					revs = append(revs, rev)
				}
			})
		}
		wg.Wait()
		if len(revs) != 1 {
			t.Fatalf("%d of 64 settlements of one account went through", len(revs))
		}
		if b, err := r.Account(t.Context(), u.ID, false); err != nil || b.RecordRev != revs[0] {
			t.Errorf("own settlement at %d, read at %d (%v)", revs[0], b.RecordRev, err)
		}
	}
	n := 0
	if err := r.RecentLegs(noon.Truncate(1e9), func(id mfa.UserID, l settlement.Leg) bool { n++; return id == u.ID }); err != nil || n != 5 {
		t.Errorf("RecentLegs: %d, %v, want 5", n, err)
	}
	if err := r.RecentLegs(noon.Add(1e9), func(mfa.UserID, settlement.Leg) bool { t.Error("a leg from the future"); return true }); err != nil {
		t.Error(err)
	}
}

// settleConditions changes something that a settlement was decided from, in each of the
// ways that there are: of a user who was settled before, of a new one, and of one whom an
// older program left without a record.
func settleConditions(t *testing.T, r *rig) {
	ctx := t.Context()
	update := func(u mfa.UserID, c mfa.CredentialID, change func(*mfa.Credential)) error {
		_, err := r.UpdateCredential(ctx, u, c, func(c *mfa.Credential) error { change(c); return nil })
		return err
	}
	ways := map[string]func(u mfa.UserID, c mfa.Credential) error{
		"the user was blocked": func(u mfa.UserID, _ mfa.Credential) error {
			_, err := r.UpdateUser(ctx, u, func(u *mfa.User) error { u.Block = &mfa.Block{By: "root"}; return nil })
			return err
		},
		"the user was removed":   func(u mfa.UserID, _ mfa.Credential) error { return r.RemoveUser(ctx, u) },
		"a credential was added": func(u mfa.UserID, _ mfa.Credential) error { c := totp(); c.User = u; return r.AddCredential(ctx, c) },
		"the credential was disabled": func(u mfa.UserID, c mfa.Credential) error {
			return update(u, c.ID, func(c *mfa.Credential) { c.Disabled = true })
		},
		"the credential was replaced": func(u mfa.UserID, c mfa.Credential) error {
			return update(u, c.ID, func(c *mfa.Credential) { c.Secret = secret.FromString("another seed of 20 b") })
		},
		"the credential was removed": func(u mfa.UserID, c mfa.Credential) error { return r.RemoveCredential(ctx, u, c.ID) },
		"the credential has another hash": func(u mfa.UserID, c mfa.Credential) error {
			return r.Rehash(ctx, u, c.ID, c.Secret, secret.FromString("another form of that"))
		},
		"another leg was settled": func(u mfa.UserID, _ mfa.Credential) error {
			return r.UpdateRecord(ctx, u, func(s *settlement.Record) error { s.Fails.N, s.Fails.Last = s.Fails.N+1, noon; return nil })
		},
	}
	for name, change := range ways {
		for _, before := range []string{"settled", "new", "without a record"} {
			u := r.user(t, strings.ReplaceAll(name, " ", "-"))
			switch before {
			case "settled":
				is(t, "settle", r.UpdateRecord(ctx, u.ID, func(s *settlement.Record) error { s.Fails.N, s.Fails.Last = 1, noon; return nil }), nil)
			case "without a record":
				if _, ok, err := r.kv.Commit(ctx, nil, nil, []string{"s/" + string(u.ID)}); !ok || err != nil {
					t.Fatal(ok, err)
				}
			}
			is(t, "sync", r.Sync(ctx), nil)
			a, err := r.Account(ctx, u.ID, false)
			if err != nil {
				t.Fatal(err)
			}
			if a.Whole != (before != "without a record") {
				t.Errorf("a user %s: one revision is enough: %v", before, a.Whole)
			}
			c := a.Credentials[0]
			if err := change(u.ID, c); err != nil {
				t.Fatal(err)
			}
			if _, ok, err := r.Settle(ctx, a, []mfa.CredentialID{c.ID}, a.Record); ok || err != nil {
				t.Errorf("settled although %s (a user %s): %v, %v", name, before, ok, err)
			}
			if err := r.RemoveUser(ctx, u.ID); !errors.Is(err, mfa.ErrNotFound) {
				is(t, "remove", err, nil)
			}
		}
	}
	u := r.user(t, "bob")
	a, err := r.Account(ctx, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.Settle(ctx, a, []mfa.CredentialID{"bbbbbbbbbbbbbbbb"}, a.Record)
	is(t, "settle with a credential that was not read", err, mfa.ErrInvalid)
	_, _, err = r.Settle(ctx, settlement.Account{User: u}, nil, a.Record)
	is(t, "settle an account that was not read", err, mfa.ErrInvalid)
}

func recordChanges(t *testing.T, r *rig) {
	u := r.user(t, "alice")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				for {
					err := r.UpdateRecord(t.Context(), u.ID, func(s *settlement.Record) error { s.Fails.N++; s.Fails.Last = noon; return nil })
					if !errors.Is(err, mfa.ErrConflict) {
						is(t, "update", err, nil)
						break
					}
				}
			}
		})
	}
	wg.Wait()
	if a, err := r.Account(t.Context(), u.ID, false); err != nil || a.Record.Fails.N != 20 {
		t.Errorf("counted %d of 20 failures (%v)", a.Record.Fails.N, err)
	}
	is(t, "of nobody", r.UpdateRecord(t.Context(), "bbbbbbbbbbbbbbbb", func(*settlement.Record) error { return nil }), mfa.ErrNotFound)
	is(t, "refused", r.UpdateRecord(t.Context(), u.ID, func(*settlement.Record) error { return mfa.ErrInvalid }), mfa.ErrInvalid)
}

func credentials(t *testing.T, r *rig) {
	ctx := t.Context()
	u := r.user(t, "alice")
	c := totp()
	c.User, c.Method, c.By = u.ID, mfa.MethodHOTP, "token:helpdesk"
	is(t, "add", r.AddCredential(ctx, c), nil)
	is(t, "add again", r.AddCredential(ctx, c), mfa.ErrExists)
	orphan := c
	orphan.User = "bbbbbbbbbbbbbbbb"
	is(t, "add to nobody", r.AddCredential(ctx, orphan), mfa.ErrNotFound)
	nameless := c
	nameless.ID = ""
	is(t, "add without id", r.AddCredential(ctx, nameless), mfa.ErrInvalid)

	got, err := r.UpdateCredential(ctx, u.ID, c.ID, func(c *mfa.Credential) error {
		c.Disabled, c.Label, c.User, c.Method = true, "old phone", "ignored", "ignored"
		return nil
	})
	c.Disabled, c.Label = true, "old phone"
	is(t, "update", err, nil)
	same(t, "updated", got, c)
	if err := r.UpdateRecord(ctx, u.ID, func(s *settlement.Record) error { *s = s.Raise(c.ID, mfa.Floor{Next: 7}); return nil }); err != nil {
		t.Fatal(err)
	}
	a, err := r.Account(ctx, u.ID, false)
	is(t, "account", err, nil)
	if len(a.Credentials) != 2 || a.Record.Floors.Of(c.ID).Next != 7 {
		t.Errorf("account: %+v", a)
	}
	is(t, "remove", r.RemoveCredential(ctx, u.ID, c.ID), nil)
	is(t, "remove again", r.RemoveCredential(ctx, u.ID, c.ID), mfa.ErrNotFound)
	_, err = r.UpdateCredential(ctx, u.ID, c.ID, func(*mfa.Credential) error { return nil })
	is(t, "update what is gone", err, mfa.ErrNotFound)
	for _, fresh := range []bool{false, true} {
		a, err = r.Account(ctx, u.ID, fresh)
		is(t, "account", err, nil)
		if a.Record.Floors.Of(c.ID) != (mfa.Floor{}) || len(a.Credentials) != 1 {
			t.Errorf("after removal, fresh %v: %+v", fresh, a)
		}
	}

	// The same seed again, under a new id: what was used stays used.
	same2 := totp()
	same2.User, same2.Method, same2.By, same2.Secret = u.ID, mfa.MethodHOTP, "token:helpdesk", c.Secret
	is(t, "add the seed again", r.AddCredential(ctx, same2), nil)
	other := totp()
	other.User, other.Method, other.By, other.Secret = u.ID, mfa.MethodHOTP, "token:helpdesk", secret.FromString("another seed, another")
	is(t, "add another seed", r.AddCredential(ctx, other), nil)
	a, err = r.Account(ctx, u.ID, true)
	is(t, "account", err, nil)
	if got := a.Record.Floors.Of(same2.ID).Next; got != 7 {
		t.Errorf("a seed that was removed and added again has the floor %d, want the 7 that it had", got)
	}
	if got := a.Record.Floors.Of(other.ID).Next; got != 0 {
		t.Errorf("another seed has the floor %d, want none", got)
	}
	is(t, "remove", r.RemoveCredential(ctx, u.ID, same2.ID), nil)
	is(t, "remove", r.RemoveCredential(ctx, u.ID, other.ID), nil)

	notices, err := r.Notices(ctx, 10)
	is(t, "notices", err, nil)
	var what []string
	for _, n := range notices {
		what = append(what, n.What)
		if n.User != u.ID || !n.Time.Equal(noon) {
			t.Errorf("notice %+v", n)
		}
	}
	slices.Sort(what)
	if want := []string{"credential hotp added", "credential hotp added", "credential hotp added", "credential hotp disabled",
		"credential hotp removed", "credential hotp removed", "credential hotp removed"}; !slices.Equal(what, want) {
		t.Errorf("notices %q, want %q", what, want)
	}
	is(t, "carry a notice", r.RemoveNotice(ctx, notices[0].ID), nil)
	is(t, "carry it twice", r.RemoveNotice(ctx, notices[0].ID), nil)
	if left, err := r.Notices(ctx, 1); err != nil || len(left) != 1 || left[0].ID == notices[0].ID {
		t.Errorf("notices left: %+v, %v", left, err)
	}
}

// oneStays removes two credentials at once, each only if the other one is there: one stays.
func oneStays(t *testing.T, r *rig) {
	for round := range 20 {
		u := r.user(t, fmt.Sprintf("careful%d", round))
		var errs [2]error
		var ids [2]mfa.CredentialID
		for i := range ids {
			c := totp()
			c.User, c.Secret = u.ID, secret.FromString(fmt.Sprintf("a seed of twenty %02d-%d", round, i))
			ids[i] = c.ID
			is(t, "add", r.AddCredential(t.Context(), c), nil)
		}
		a, err := r.Account(t.Context(), u.ID, true)
		is(t, "account", err, nil)
		before := len(a.Credentials)
		var wg sync.WaitGroup
		for i, id := range ids {
			wg.Go(func() {
				errs[i] = r.RemoveCredentialIf(t.Context(), u.ID, id, func(all []mfa.Credential) error {
					if len(all) < before {
						return mfa.ErrForbidden
					}
					return nil
				})
			})
		}
		wg.Wait()
		if a, err := r.Account(t.Context(), u.ID, true); err != nil || len(a.Credentials) != before-1 {
			t.Fatalf("%d of %d credentials are left (%v; %v)", len(a.Credentials), before, errs, err)
		}
	}
}
