package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"

	"pgregory.net/rapid"
)

func settledOnce(r *settlement.Record) error { r.Fails.N, r.Fails.Last = r.Fails.N+1, noon; return nil }

// This server learns of a settlement record by a write of its own while its view lacks what
// another server did before: then the record's revision stands for nothing but itself.
func TestAnOwnWriteDoesNotHideAnotherServers(t *testing.T) {
	for name, write := range map[string]func(s *store.Store, id mfa.UserID) error{
		"of the user": func(s *store.Store, id mfa.UserID) error {
			_, err := s.UpdateUser(t.Context(), id, func(u *mfa.User) error { u.Name = "Alice"; return nil })
			return err
		},
		"of the record": func(s *store.Store, id mfa.UserID) error { return s.UpdateRecord(t.Context(), id, settledOnce) },
	} {
		kv, ring := &storetest.Memory{}, newRing(t)
		one, two := open(t, kv, ring), open(t, kv, ring)
		p := people(1)[0]
		u, err := one.CreateUser(t.Context(), p.User, p.Credentials)
		if err != nil {
			t.Fatal(err)
		}
		if err := one.UpdateRecord(t.Context(), u.ID, settledOnce); err != nil {
			t.Fatal(err)
		}
		if err := two.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		kv.Hold()
		c := p.Credentials[0].ID
		if _, err := one.UpdateCredential(t.Context(), u.ID, c, func(c *mfa.Credential) error { c.Disabled = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if err := write(two, u.ID); err != nil {
			t.Fatal(err)
		}
		a, err := two.Account(t.Context(), u.ID, false)
		if err != nil || a.Credentials[0].Disabled {
			t.Fatalf("the view should lag: %+v, %v", a, err)
		}
		if _, ok, err := two.Settle(t.Context(), a, []mfa.CredentialID{c}, a.Record); ok || err != nil {
			t.Errorf("own write %s: a disabled credential was settled with: %v, %v", name, ok, err)
		}
	}
}

// An answer that got lost is not taken for given because somebody else has touched the
// record: both write the content that it had.
func TestATouchIsNoReceipt(t *testing.T) {
	var next []storetest.Fault
	kv := faulty(&next)
	s := open(t, kv, newRing(t))
	p := people(1)[0]
	u, err := s.CreateUser(t.Context(), p.User, p.Credentials)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.UpdateRecord(t.Context(), u.ID, settledOnce); err != nil {
		t.Fatal(err)
	}
	fault, first := kv.Fault, true
	kv.Fault = func(puts map[string][]byte, deletes []string) storetest.Fault {
		if !first {
			return fault(puts, deletes)
		}
		first = false
		if _, err := s.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.Name = "Alice"; return nil }); err != nil {
			t.Error(err)
		}
		return storetest.LostBefore
	}
	_, err = s.UpdateCredential(t.Context(), u.ID, p.Credentials[0].ID, func(c *mfa.Credential) error { c.Disabled = true; return nil })
	a, err2 := s.Account(t.Context(), u.ID, true)
	if err2 != nil {
		t.Fatal(err2)
	}
	if disabled := a.Credentials[0].Disabled; disabled != (err == nil) || a.User.Name != "Alice" {
		t.Errorf("disabled %v, reported %v", disabled, err)
	}
}

// Two servers, the watch of one or both lagging, accounts read at any time and settled
// later: what is settled was decided from what was in the database at that moment.
func TestSettlementsStandOnWhatIs(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		kv := &storetest.Memory{}
		w := &storetest.Watched{KV: kv, Report: func(key string) { r.Errorf("%s was changed and the record not touched", key) }}
		ring := newRing(t)
		ctx := t.Context()
		run, stop := context.WithCancel(ctx)
		defer stop()
		var servers []*store.Store
		for range 2 {
			s, done := start(r, run, w, ring, store.Options{})
			defer func() { stop(); <-done }()
			if err := s.Sync(ctx); err != nil {
				r.Fatal(err)
			}
			servers = append(servers, s)
		}
		p := people(1)[0]
		second := people(2)[1].Credentials[0]
		second.User = ""
		u, err := servers[0].CreateUser(ctx, p.User, append(p.Credentials, second))
		if err != nil {
			r.Fatal(err)
		}
		if rapid.Bool().Draw(r, "by an older program") {
			forget(ctx, r, kv, u.ID)
		}
		creds := []mfa.CredentialID{p.Credentials[0].ID, second.ID}
		server := func(r *rapid.T) *store.Store { return servers[rapid.IntRange(0, 1).Draw(r, "server")] }
		ok := func(r *rapid.T, err error) {
			if err != nil && !errors.Is(err, mfa.ErrNotFound) {
				r.Fatal(err)
			}
		}
		type read struct {
			by *store.Store
			settlement.Account
		}
		var accounts []read
		n := byte(0)
		r.Repeat(map[string]func(*rapid.T){
			"read": func(r *rapid.T) {
				s := server(r)
				a, err := s.Account(ctx, u.ID, rapid.Bool().Draw(r, "fresh"))
				ok(r, err)
				accounts = append(accounts, read{s, a})
			},
			"settle": func(r *rapid.T) {
				if len(accounts) == 0 {
					r.Skip("nothing read")
				}
				a := accounts[rapid.IntRange(0, len(accounts)-1).Draw(r, "account")]
				var used []mfa.CredentialID
				for _, c := range a.Credentials {
					used = append(used, c.ID)
				}
				n++
				next := a.Record.Clone()
				next.Legs = append(next.Legs[:min(len(next.Legs), 3)], settlement.Leg{ID: mfa.LegID{n}, Attempt: mfa.AttemptID{n}, Reason: mfa.OK, Time: noon})
				_, done, err := a.by.Settle(ctx, a.Account, used, next)
				ok(r, err)
				if !done {
					return
				}
				if _, rev, err := kv.Get(ctx, "u/"+string(u.ID)); err != nil || rev != a.UserRev {
					r.Fatalf("settled from revision %d of the user, there is %d (%v)", a.UserRev, rev, err)
				}
				for _, c := range a.CredRevs {
					if _, now, err := kv.Get(ctx, "c/"+string(u.ID)+"/"+string(c.ID)); err != nil || now != c.Rev {
						r.Fatalf("settled from revision %d of a credential, there is %d (%v)", c.Rev, now, err)
					}
				}
			},
			"change user": func(r *rapid.T) {
				_, err := server(r).UpdateUser(ctx, u.ID, func(u *mfa.User) error { u.Name += "x"; return nil })
				ok(r, err)
			},
			"change credential": func(r *rapid.T) {
				id := rapid.SampledFrom(creds).Draw(r, "credential")
				_, err := server(r).UpdateCredential(ctx, u.ID, id, func(c *mfa.Credential) error { c.Disabled = !c.Disabled; return nil })
				ok(r, err)
			},
			"remove and add credential": func(r *rapid.T) {
				s := server(r)
				ok(r, s.RemoveCredential(ctx, u.ID, creds[1]))
				second.User, second.Secret = u.ID, secret.FromString("a seed of 20 bytes"+mfa.NewID(nil))
				if err := s.AddCredential(ctx, second); !errors.Is(err, mfa.ErrExists) {
					ok(r, err)
				}
			},
			"change record": func(r *rapid.T) {
				ok(r, server(r).UpdateRecord(ctx, u.ID, func(r *settlement.Record) error { r.Fails.N++; r.Fails.Last = noon; return nil }))
			},
			"remove and create user": func(r *rapid.T) {
				s := server(r)
				ok(r, s.RemoveUser(ctx, u.ID))
				if _, err := s.CreateUser(ctx, p.User, append(slices.Clone(p.Credentials), mfa.Credential{ID: creds[1], Method: mfa.MethodHOTP,
					Secret: secret.FromString("a seed of 20 bytes"), Digits: 6, Algorithm: "SHA1"})); err != nil {
					r.Fatal(err)
				}
			},
			"lag":      func(*rapid.T) { kv.Hold() },
			"catch up": func(*rapid.T) { kv.Release() },
			"miss":     func(*rapid.T) { kv.Compact() },
			"in step": func(r *rapid.T) {
				kv.Release()
				for _, s := range servers {
					ok(r, s.Sync(ctx))
				}
			},
		})
		kv.Release()
	})
}
