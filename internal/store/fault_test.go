package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
	"countersign/internal/store/storetest"
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
	_, parked := s.ParkedChanges(t.Context())
	if parked == nil || !strings.Contains(parked.Error(), "countersign doctor") {
		t.Errorf("ParkedChanges: %v, which names no next step", parked)
	}
	for name, err := range map[string]error{"fresh Account": fresh, "Settle": settle, "CreateUser": create, "CreateUsers": all, "of it bob": errs[0],
		"Notices": notices, "ParkedChanges": parked, "RemoveUser": s.RemoveUser(t.Context(), u.ID), "Reseal": s.Reseal(t.Context(), nil), "Sync": s.Sync(t.Context()),
		"UpdateSettings": s.UpdateSettings(t.Context(), func(*policy.Settings) error { return nil })} {
		if !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, mfa.ErrUnknownOutcome) {
			t.Errorf("%s: %v, want ErrUnavailable", name, err)
		}
	}
	if !errors.Is(errs[1], mfa.ErrInvalid) {
		t.Errorf("of CreateUsers the invalid one: %v", errs[1])
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
