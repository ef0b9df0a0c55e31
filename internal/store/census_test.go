package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// likeness says what Kinds tells apart.
func likeness(a settlement.Account) string {
	creds := []string{}
	for _, c := range a.Credentials {
		creds = append(creds, fmt.Sprint(c.Method, c.Disabled, c.Expires.UnixNano()))
	}
	slices.Sort(creds)
	return fmt.Sprint(a.User.Directory, a.User.State, a.User.Tags, creds)
}

// TestKindsLikeAFullCount compares the census, asked for at random moments, with looking at everybody,
// while users and credentials come, change and go.
func TestKindsLikeAFullCount(t *testing.T) {
	ctx := t.Context()
	s := open(t, &storetest.Memory{}, newRing(t))
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	method := func() mfa.MethodID { return mfa.MethodID(one("totp", "sms", "password")) }
	var ids []mfa.UserID
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.CreateDirectory(ctx, mfa.Directory{Name: "corp", Kind: "ldap"})
	must(err)
	n := 0
	cred := func(u mfa.UserID) mfa.Credential {
		n++
		c := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u, Method: method(), Created: time.Unix(int64(n), 0)}
		if r.IntN(4) == 0 {
			c.Expires = time.Unix(int64(1e9+r.IntN(2)), 0)
		}
		return c
	}
	step := func() {
		if len(ids) < 20 || r.IntN(8) == 0 {
			n++
			u, err := s.CreateUser(ctx, mfa.User{Login: fmt.Sprintf("u%d", n), Directory: one("", "corp"), State: mfa.StateProtected, Tags: []string{one("a", "b")}}, nil)
			must(err)
			ids = append(ids, u.ID)
			return
		}
		i := r.IntN(len(ids))
		a, err := s.Account(ctx, ids[i], false)
		must(err)
		switch what := r.IntN(6); {
		case what == 0:
			must(s.RemoveUser(ctx, ids[i]))
			ids = slices.Delete(ids, i, i+1)
		case what == 1:
			_, err = s.UpdateUser(ctx, ids[i], func(u *mfa.User) error {
				u.Tags, u.State = []string{one("a", "b"), "c"}, []mfa.State{mfa.StateProtected, mfa.StateExempt, mfa.StateDenied}[r.IntN(3)]
				return nil
			})
			must(err)
		case what < 4 || len(a.Credentials) == 0:
			must(s.AddCredential(ctx, cred(ids[i])))
		case what == 4:
			_, err = s.UpdateCredential(ctx, ids[i], a.Credentials[0].ID, func(c *mfa.Credential) error { c.Disabled = !c.Disabled; return nil })
			must(err)
		default:
			must(s.RemoveCredential(ctx, ids[i], a.Credentials[0].ID))
		}
	}
	for range 60 {
		for range r.IntN(12) {
			step()
		}
		compareKinds(t, s)
	}
	var others sync.WaitGroup // who count meanwhile, and see half of it, leave nothing wrong behind
	stop := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = s.Kinds(ctx, func(settlement.Account, int) bool { return true })
			}
		}
	})
	for range 300 {
		step()
	}
	close(stop)
	others.Wait()
	compareKinds(t, s)
}

func compareKinds(t *testing.T, s *store.Store) {
	t.Helper()
	got, want := map[string]int{}, map[string]int{}
	if err := s.Kinds(t.Context(), func(a settlement.Account, n int) bool {
		if got[likeness(a)] != 0 || n <= 0 {
			t.Errorf("%s twice, or %d times", likeness(a), n)
		}
		got[likeness(a)] += n
		return true
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Outlines(t.Context(), func(a settlement.Account) bool { want[likeness(a)]++; return true }); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(got, want) {
		t.Fatalf("counted %v, want %v", got, want)
	}
	for name, like := range map[string]func(settlement.Account) bool{
		"state":     func(a settlement.Account) bool { return a.User.State == mfa.StateDenied },
		"tag":       func(a settlement.Account) bool { return slices.Contains(a.User.Tags, "a") },
		"directory": func(a settlement.Account) bool { return a.User.Directory == "corp" },
		"factor":    func(a settlement.Account) bool { return len(a.Credentials) > 0 && !a.Credentials[0].Disabled },
	} {
		found, fit := map[mfa.UserID]bool{}, map[mfa.UserID]bool{}
		if err := s.FindUsers(t.Context(), "", nil, like, "", func(u mfa.User) bool { found[u.ID] = true; return true }); err != nil {
			t.Fatal(err)
		}
		if err := s.Outlines(t.Context(), func(a settlement.Account) bool {
			if like(a) {
				fit[a.User.ID] = true
			}
			return true
		}); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(found, fit) {
			t.Fatalf("by %s found %v, want %v", name, found, fit)
		}
	}
}
