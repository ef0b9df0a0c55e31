package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"

	"pgregory.net/rapid"
)

// faulty is a Memory of which the next commits go wrong in the given ways.
func faulty(next *[]storetest.Fault) *storetest.Memory {
	return &storetest.Memory{Fault: func(map[string][]byte, []string) storetest.Fault {
		if len(*next) == 0 {
			return storetest.None
		}
		f := (*next)[0]
		*next = (*next)[1:]
		return f
	}}
}

func TestLostAnswersAreReadBack(t *testing.T) {
	const before, after = storetest.LostBefore, storetest.LostAfter
	for name, faults := range map[string][]storetest.Fault{
		"lost before":               {before},
		"lost after":                {after},
		"lost before, then after":   {before, after},
		"lost before, then refused": {before, storetest.Refused},
	} {
		var next []storetest.Fault
		s := open(t, faulty(&next), newRing(t))
		next = slices.Clone(faults)
		u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
		if err != nil {
			t.Errorf("%s: create: %v", name, err)
			continue
		}
		n := 0
		next = slices.Clone(faults)
		if _, err := s.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { n++; u.Tags = append(u.Tags, "x"); return nil }); err != nil || n != 1 {
			t.Errorf("%s: update ran %d times: %v", name, n, err)
		}
		if a, err := s.Account(t.Context(), u.ID, false); err != nil || len(a.User.Tags) != 1 {
			t.Errorf("%s: tags %q, %v; want one", name, a.User.Tags, err)
		}
		next = slices.Clone(faults)
		if err := s.RemoveUser(t.Context(), u.ID); err != nil {
			t.Errorf("%s: remove: %v", name, err)
		}
		if n := s.CountUsers(); n != 0 {
			t.Errorf("%s: %d users are left", name, n)
		}
		next = slices.Clone(faults)
		errs, err := s.CreateUsers(t.Context(), []mfa.NewUser{{User: mfa.User{Login: "bob"}}, {User: mfa.User{Login: "carol"}}})
		if err != nil || errors.Join(errs...) != nil || s.CountUsers() != 2 {
			t.Errorf("%s: bulk: %v, %v", name, errs, err)
		}
	}
}

func TestSettleLeavesLostAnswersToTheEngine(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  storetest.Fault
		want   error
		landed bool
	}{
		"lost before": {storetest.LostBefore, mfa.ErrUnknownOutcome, false},
		"lost after":  {storetest.LostAfter, mfa.ErrUnknownOutcome, true},
		"refused":     {storetest.Refused, mfa.ErrUnavailable, false},
	} {
		var next []storetest.Fault
		s := open(t, faulty(&next), newRing(t))
		u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := s.Account(t.Context(), u.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		leg := settlement.Leg{ID: mfa.LegID{1}, Reason: mfa.OK, Time: noon.Truncate(1e9)}
		next = []storetest.Fault{tt.fault}
		_, ok, err := s.Settle(t.Context(), a, nil, settlement.Record{Legs: []settlement.Leg{leg}})
		if ok || !errors.Is(err, tt.want) || errors.Is(err, mfa.ErrUnknownOutcome) != (tt.want == mfa.ErrUnknownOutcome) {
			t.Errorf("%s: %v, %v, want %v", name, ok, err, tt.want)
		}
		b, err := s.Account(t.Context(), u.ID, true)
		if _, landed := b.Record.Result(leg.ID); landed != tt.landed || err != nil {
			t.Errorf("%s: read back: landed %v, want %v (%v)", name, landed, tt.landed, err)
		}
		// The engine's next try is conditional on the same revisions: only one can land.
		if _, ok, err := s.Settle(t.Context(), a, nil, settlement.Record{Legs: []settlement.Leg{leg}}); ok == tt.landed || err != nil {
			t.Errorf("%s: second try: %v, %v", name, ok, err)
		}
	}
}

func TestALaggingViewReadsThrough(t *testing.T) {
	kv := &storetest.Memory{}
	ring := newRing(t)
	master := open(t, kv, ring)
	u, err := master.CreateUser(t.Context(), mfa.User{Login: "alice", State: mfa.StateProtected}, nil)
	if err != nil {
		t.Fatal(err)
	}
	replica := open(t, kv, ring)
	kv.Hold()
	if _, err := master.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.State = mfa.StateDenied; return nil }); err != nil {
		t.Fatal(err)
	}
	c := people(1)[0].Credentials[0]
	c.User = u.ID
	if err := master.AddCredential(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	stale, err := replica.Account(t.Context(), u.ID, false)
	if err != nil || stale.User.State != mfa.StateProtected {
		t.Fatalf("the view should lag: %+v, %v", stale, err)
	}
	if _, ok, err := replica.Settle(t.Context(), stale, nil, stale.Record); ok || err != nil {
		t.Errorf("a decision from a lagging view was settled: %v, %v", ok, err)
	}
	for _, fresh := range []bool{true, false} { // the view has learnt it
		a, err := replica.Account(t.Context(), u.ID, fresh)
		if err != nil || a.User.State != mfa.StateDenied || len(a.Credentials) != 1 {
			t.Errorf("fresh %v: %+v, %v", fresh, a, err)
		}
	}
	// A user whom the view does not have yet is read through in any case.
	v, err := master.CreateUser(t.Context(), mfa.User{Login: "bob"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := replica.Account(t.Context(), v.ID, false); err != nil || a.User.Login != "bob" {
		t.Errorf("a user of a moment ago: %+v, %v", a, err)
	}
	if err := master.RemoveUser(t.Context(), u.ID); err != nil {
		t.Fatal(err)
	}
	for _, fresh := range []bool{true, false} {
		if _, err := replica.Account(t.Context(), u.ID, fresh); !errors.Is(err, mfa.ErrNotFound) {
			t.Errorf("removed elsewhere, fresh %v: %v", fresh, err)
		}
	}
	kv.Compact() // what it missed is history: it starts over
	kv.Release()
	if err := replica.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.UserByForm(t.Context(), "alice"); !errors.Is(err, mfa.ErrNotFound) || replica.CountUsers() != 1 {
		t.Errorf("after catching up: %v, %d users", err, replica.CountUsers())
	}
}

func TestWithoutAMaster(t *testing.T) {
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Account(t.Context(), u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	kv.Offline(true)
	if id, err := s.UserByForm(t.Context(), "alice"); err != nil || id != u.ID {
		t.Errorf("UserByForm: %v", err)
	}
	if _, err := s.Account(t.Context(), u.ID, false); err != nil {
		t.Errorf("Account: %v", err)
	}
	if _, err := s.Account(t.Context(), "bbbbbbbbbbbbbbbb", false); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a stranger: %v", err)
	}
	_, fresh := s.Account(t.Context(), u.ID, true)
	_, _, settle := s.Settle(t.Context(), a, nil, a.Record)
	_, create := s.CreateUser(t.Context(), mfa.User{Login: "bob"}, nil)
	errs, all := s.CreateUsers(t.Context(), []mfa.NewUser{{User: mfa.User{Login: "bob"}}, {User: mfa.User{Login: "x y"}}})
	_, notices := s.Notices(t.Context(), 1)
	for name, err := range map[string]error{"fresh Account": fresh, "Settle": settle, "CreateUser": create, "CreateUsers": all, "of it bob": errs[0],
		"Notices": notices, "RemoveUser": s.RemoveUser(t.Context(), u.ID), "Reseal": s.Reseal(t.Context(), nil), "Sync": s.Sync(t.Context()),
		"UpdateSettings": s.UpdateSettings(t.Context(), func(*policy.Settings) error { return nil })} {
		if !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if !errors.Is(errs[1], mfa.ErrInvalid) {
		t.Errorf("of CreateUsers the invalid one: %v", errs[1])
	}
}

func TestAServerReadsItsOwnWrites(t *testing.T) {
	kv := &storetest.Memory{}
	s := open(t, kv, newRing(t))
	kv.Hold() // the watch tells nothing of it
	ctx := t.Context()
	u, err := s.CreateUser(ctx, mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := s.UserByForm(ctx, "alice"); id != u.ID || err != nil || s.CountUsers() != 1 {
		t.Errorf("created: %q, %v", id, err)
	}
	a, err := s.Account(ctx, u.ID, false)
	if err != nil {
		t.Fatal(err)
	}
	rev, ok, err := s.Settle(ctx, a, nil, a.Record)
	if b, berr := s.Account(ctx, u.ID, false); !ok || err != nil || berr != nil || b.RecordRev != rev {
		t.Errorf("settled at %d (%v, %v), read at %d", rev, ok, err, b.RecordRev)
	}
	app, err := s.CreateApplication(ctx, mfa.Application{Name: "vpn"})
	if err != nil {
		t.Fatal(err)
	}
	gen := s.ApplicationsGeneration()
	if _, err := s.UpdateApplication(ctx, app.ID, func(a *mfa.Application) error { a.Rate = 7; return nil }); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Application(app.ID); err != nil || got.Rate != 7 || s.ApplicationsGeneration() == gen {
		t.Errorf("application: %+v, %v", got, err)
	}
	if err := s.RemoveUser(ctx, u.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UserByForm(ctx, "alice"); !errors.Is(err, mfa.ErrNotFound) || s.CountUsers() != 0 {
		t.Errorf("removed: %v", err)
	}
	gen = s.ApplicationsGeneration()
	kv.Compact()
	kv.Release()
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := s.UserByForm(ctx, "alice"); !errors.Is(err, mfa.ErrNotFound) || s.ApplicationsGeneration() <= gen {
		t.Errorf("after starting over: %v, generation %d after %d", err, s.ApplicationsGeneration(), gen)
	}
}

// A credential that is added while its user is being removed must not be left behind.
func TestNoCredentialOutlivesItsUser(t *testing.T) {
	kv := &storetest.Memory{}
	var between func()
	kv.Fault = func(_ map[string][]byte, deletes []string) storetest.Fault {
		if f := between; f != nil && len(deletes) > 0 {
			between = nil
			f()
		}
		return storetest.None
	}
	s := open(t, kv, newRing(t))
	u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	added := false
	between = func() {
		added = true
		if err := s.AddCredential(t.Context(), mfa.Credential{ID: "aaaaaaaaaaaaaaaa", User: u.ID, Method: mfa.MethodTOTP}); err != nil {
			t.Error(err)
		}
	}
	if err := s.RemoveUser(t.Context(), u.ID); err != nil || !added {
		t.Fatal(added, err)
	}
	if _, rev, _ := kv.Get(t.Context(), "c/"+string(u.ID)+"/aaaaaaaaaaaaaaaa"); rev != 0 {
		t.Error("the credential is left without its user")
	}
}

// An application that begins to name a directory while that is being removed is refused.
func TestNothingNamesADirectoryThatGoes(t *testing.T) {
	kv := &storetest.Memory{}
	var between func()
	kv.Fault = func(_ map[string][]byte, deletes []string) storetest.Fault {
		if f := between; f != nil && len(deletes) > 0 {
			between = nil
			f()
		}
		return storetest.None
	}
	s := open(t, kv, newRing(t))
	if _, err := s.CreateDirectory(t.Context(), mfa.Directory{Name: "corp"}); err != nil {
		t.Fatal(err)
	}
	var named error
	between = func() { _, named = s.CreateApplication(t.Context(), mfa.Application{Name: "vpn", FirstFactor: "corp"}) }
	if err := s.RemoveDirectory(t.Context(), "corp"); err != nil || between != nil {
		t.Fatal(err)
	}
	if !errors.Is(named, mfa.ErrInvalid) || len(s.Applications()) != 0 {
		t.Errorf("an application that names it was created: %v", named)
	}
}

// late is a KV whose watchers are told nothing until somebody scans it.
type late struct{ *storetest.Memory }

func (l late) Scan(ctx context.Context, prefix string, yield func(key string, value []byte, rev int64) bool) (int64, error) {
	l.Release()
	return l.Memory.Scan(ctx, prefix, yield)
}

// A record sealed under a key that another server has just made can be read at the master
// before the view is told of the keyset.
func TestARecordCanComeBeforeItsKey(t *testing.T) {
	for name, read := range map[string]func(s *store.Store, id mfa.UserID) error{
		"Account": func(s *store.Store, id mfa.UserID) error { _, err := s.Account(t.Context(), id, true); return err },
		"UpdateUser": func(s *store.Store, id mfa.UserID) error {
			_, err := s.UpdateUser(t.Context(), id, func(*mfa.User) error { return nil })
			return err
		},
		"GetSealed": func(s *store.Store, _ mfa.UserID) error { _, _, err := s.GetSealed(t.Context(), "ca"); return err },
	} {
		kv := &storetest.Memory{}
		one, keyset := withIdentity(t, kv)
		id, err := keyring.NewIdentity()
		if err != nil {
			t.Fatal(err)
		}
		ring := keyring.NewRing(keyset)
		if err := store.PutKeyset(t.Context(), kv, "test2", id.Recipient(), ring.Keyset()); err != nil {
			t.Fatal(err)
		}
		two := openNamed(t, late{kv}, ring, id, "test2")
		kv.Hold()
		if err := one.RotateKeys(t.Context()); err != nil {
			t.Fatal(err)
		}
		u, err := one.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
		if err == nil {
			_, err = one.PutSealed(t.Context(), "ca", 0, []byte("x"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := read(two, u.ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The texts that a thief of the database must not find.
var clearTexts = []string{"alice", "Liddell", "wonder@land.example", "+4915112345678", "12345678901234567890", "$argon2id$", "radius-secret", "bind-password",
	"ca-private-key", "lost her phone", "blue phone"}

// writeSecrets puts all of them into the database.
func writeSecrets(t testing.TB, s *store.Store) mfa.UserID {
	t.Helper()
	u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice", Aliases: []string{"alice@corp.example"}, Name: "Alice Liddell", Email: "wonder@land.example",
		Phone: "+4915112345678", Block: &mfa.Block{Reason: "lost her phone"}}, []mfa.Credential{
		{Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890"), Label: "blue phone"},
		{Method: mfa.MethodPassword, Secret: secret.FromString("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA")}})
	if err == nil {
		_, err = s.CreateApplication(t.Context(), mfa.Application{Name: "vpn", Secret: secret.FromString("radius-secret")})
	}
	if err == nil {
		_, err = s.CreateDirectory(t.Context(), mfa.Directory{Name: "corp", BindPassword: secret.FromString("bind-password")})
	}
	if err == nil {
		_, err = s.PutSealed(t.Context(), "ca", 0, []byte("ca-private-key"))
	}
	if err == nil {
		_, err = s.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.Name = "Alice P. Liddell"; return nil })
	}
	if err == nil {
		err = s.AddCredential(t.Context(), mfa.Credential{ID: "aaaaaaaaaaaaaaaa", User: u.ID, Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890")})
	}
	if err == nil {
		err = s.RotateKeys(t.Context())
	}
	if err == nil {
		err = s.Reseal(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func TestAStolenDatabaseShowsNothing(t *testing.T) {
	kv := &storetest.Memory{}
	s, _ := withIdentity(t, kv)
	id := writeSecrets(t, s)
	stolen := kv.Bytes()
	for _, text := range clearTexts {
		if bytes.Contains(stolen, []byte(text)) {
			t.Errorf("the database shows %q", text)
		}
	}
	if !bytes.Contains(stolen, []byte(id)) {
		t.Error("the database does not show what it must: this test looks at the wrong thing")
	}
}

// withIdentity opens a store that can rotate its keys.
func withIdentity(t testing.TB, kv store.KV) (*store.Store, keyring.Keyset) {
	t.Helper()
	id, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ring := newRing(t)
	if err := store.PutKeyset(t.Context(), kv, "test", id.Recipient(), ring.Keyset()); err != nil {
		t.Fatal(err)
	}
	return openAs(t, kv, ring, id), ring.Keyset()
}

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

func TestBrokenRecordsAreSaid(t *testing.T) {
	kv := &storetest.Memory{}
	ring := newRing(t)
	s := open(t, kv, ring)
	u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.CreateUser(t.Context(), mfa.User{Login: "bob"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	bob, _, _ := kv.Get(t.Context(), "u/"+string(v.ID))
	for name, tt := range map[string]struct{ value, want string }{
		"a newer schema":       {`{"v":9,"state":"protected"}`, "schema version 9"},
		"no JSON":              {"nonsense", "alice"},
		"another's record":     {string(bob), "belongs to another record"},
		"an empty sealed part": {`{"v":1,"state":"protected","sealed":""}`, "damaged"},
	} {
		if _, _, err := kv.Commit(t.Context(), nil, map[string][]byte{"u/" + string(u.ID): []byte(tt.value)}, nil); err != nil {
			t.Fatal(err)
		}
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, fresh := range []bool{false, true} {
			_, err := s.Account(t.Context(), u.ID, fresh)
			if err == nil || name != "no JSON" && !strings.Contains(err.Error(), tt.want) || errors.Is(err, mfa.ErrNotFound) {
				t.Errorf("%s, fresh %v: %v, want %q in it", name, fresh, err, tt.want)
			}
		}
		n := 0
		if err := s.ListUsers(t.Context(), "", func(mfa.User) bool { n++; return true }); err == nil || n != 1 {
			t.Errorf("%s: listed %d with error %v, want bob and an error", name, n, err)
		}
	}
	a, err := s.CreateApplication(t.Context(), mfa.Application{Name: "vpn"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := kv.Commit(t.Context(), nil, map[string][]byte{"a/" + string(a.ID): []byte(`{"v":2}`)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Application(a.ID); err == nil || !strings.Contains(fmt.Sprint(err), "upgrade this server") {
		t.Errorf("application of a newer schema: %v", err)
	}
}
