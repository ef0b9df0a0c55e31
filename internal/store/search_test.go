package store_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// TestFindUsersLikeAPlainSearch compares searches, page by page, with a search that opens
// everybody, while users come, change and go.
func TestFindUsersLikeAPlainSearch(t *testing.T) {
	kv, ring := &storetest.Memory{}, newRing(t)
	s := open(t, kv, ring)
	r := rand.New(rand.NewPCG(7, 8)) //nolint:gosec // a test
	letters := []string{"a", "b", "c"}
	name := func() string {
		return letters[r.IntN(3)] + letters[r.IntN(3)] + " " + strings.ToUpper(letters[r.IntN(3)])
	}
	n := 0
	add := func(count int) {
		t.Helper()
		users := make([]mfa.NewUser, count)
		for i := range users {
			n++
			users[i].User = mfa.User{ID: mfa.UserID(mfa.NewID(nil)), Login: fmt.Sprintf("u%d", n), Name: name(), Email: "x" + name()[:2] + "@corp.example",
				Aliases: []string{fmt.Sprintf("%s%d", name()[:2], n)}, Tags: []string{[]string{"s", "t"}[r.IntN(2)]}, State: mfa.StateProtected}
		}
		if errs, err := s.CreateUsers(t.Context(), users); err != nil {
			t.Fatal(err, errs)
		}
	}
	users := func() (all []mfa.User) {
		if err := s.ListUsers(t.Context(), "", func(u mfa.User) bool { all = append(all, u); return true }); err != nil {
			t.Fatal(err)
		}
		return all
	}
	add(150)
	for round := range 8 {
		before := users()
		for _, i := range r.Perm(len(before))[:10] {
			one := before[i].ID
			if round%3 == 1 {
				if err := s.RemoveUser(t.Context(), one); err != nil {
					t.Fatal(err)
				}
			} else if _, err := s.UpdateUser(t.Context(), one, func(u *mfa.User) error { u.Name = name(); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if round == 5 {
			add(1100) // more than is kept aside
		}
		all := users()
		for _, text := range []string{"a", "ab", "A C", "ba c", "xa", "u1", "example", "zzz"} {
			for _, keep := range []func(mfa.User) bool{nil, func(u mfa.User) bool { return slices.Contains(u.Tags, "s") }} {
				compareSearch(t, s, all, text, keep)
			}
		}
	}
}

func compareSearch(t *testing.T, s *store.Store, all []mfa.User, text string, keep func(mfa.User) bool) {
	t.Helper()
	var begin, inside []mfa.UserID
	for _, u := range all {
		first, found := false, false
		for _, f := range append([]string{u.Login, u.Name, u.Email}, u.Aliases...) {
			f = strings.ToLower(f)
			first, found = first || strings.HasPrefix(f, strings.ToLower(text)), found || strings.Contains(f, strings.ToLower(text))
		}
		switch {
		case keep != nil && !keep(u):
		case first:
			begin = append(begin, u.ID)
		case found:
			inside = append(inside, u.ID)
		}
	}
	page := max(37, len(all)/4)
	var got []mfa.UserID
	for more := true; more; {
		var after mfa.UserID
		if len(got) > 0 {
			after = got[len(got)-1]
		}
		count := 0
		if err := s.FindUsers(t.Context(), text, keep, nil, after, func(u mfa.User) bool {
			got = append(got, u.ID)
			count++
			return count < page
		}); err != nil {
			t.Fatal(err)
		}
		more = count == page
	}
	if want := append(begin, inside...); !slices.Equal(got, want) {
		t.Fatalf("search for %q, keep %v: got %d users, want %d: they differ", text, keep != nil, len(got), len(want))
	}
}

// TestFindUsersAfterTheViewStartsOver: nobody kept account of what changed meanwhile.
func TestFindUsersAfterTheViewStartsOver(t *testing.T) {
	kv, ring := &storetest.Memory{}, newRing(t)
	s, other := open(t, kv, ring), open(t, kv, ring)
	users := people(300)
	if _, err := s.CreateUsers(t.Context(), users); err != nil {
		t.Fatal(err)
	}
	count := func(text string) (n int) {
		t.Helper()
		if err := s.FindUsers(t.Context(), text, nil, nil, "", func(mfa.User) bool { n++; return true }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := count("user0002"); n != 100 {
		t.Fatalf("found %d of 100", n)
	}
	kv.Hold()
	if _, err := other.UpdateUser(t.Context(), users[250].User.ID, func(u *mfa.User) error { u.Name = "Somebody Else"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := other.RemoveUser(t.Context(), users[251].User.ID); err != nil {
		t.Fatal(err)
	}
	kv.Compact() // what s missed is history: it starts over
	kv.Release()
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a, b, c := count("somebody"), count("user000251"), count("user0002"); a != 1 || b != 0 || c != 99 {
		t.Errorf("found %d, %d and %d; want 1, 0 and 99", a, b, c)
	}
}

// BenchmarkFindUsers is one search among 100 000 users.
func BenchmarkFindUsers(b *testing.B) {
	s := open(b, &storetest.Memory{}, newRing(b))
	if _, err := s.CreateUsers(b.Context(), people(100_000)); err != nil {
		b.Fatal(err)
	}
	find := func(text string) {
		n := 0
		if err := s.FindUsers(b.Context(), text, nil, nil, "", func(mfa.User) bool { n++; return n < 51 }); err != nil {
			b.Fatal(err)
		}
	}
	before := heap()
	find("nobody")
	b.Logf("%.0f bytes for each user", float64(heap()-before)/100_000)
	for _, text := range []string{"u", "user09", "999", "099999", "nobody", "number 77777"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				find(text)
			}
		})
	}
}

// BenchmarkFilters are pages of the list of users that one fits, and the report of who is blocked
// or locked, among 100 000 users.
func BenchmarkFilters(b *testing.B) {
	s := open(b, &storetest.Memory{}, newRing(b))
	if _, err := s.CreateUsers(b.Context(), people(100_000)); err != nil {
		b.Fatal(err)
	}
	var last mfa.UserID
	if err := s.Outlines(b.Context(), func(a settlement.Account) bool { last = a.User.ID; return true }); err != nil {
		b.Fatal(err)
	}
	if _, err := s.UpdateUser(b.Context(), last, func(u *mfa.User) error { u.State = mfa.StateDenied; return nil }); err != nil {
		b.Fatal(err)
	}
	if err := s.Kinds(b.Context(), func(settlement.Account, int) bool { return true }); err != nil {
		b.Fatal(err)
	}
	denied := func(a settlement.Account) bool { return a.User.State == mfa.StateDenied }
	for _, text := range []string{"", "u"} {
		b.Run("denied "+text, func(b *testing.B) {
			for b.Loop() {
				if err := s.FindUsers(b.Context(), text, nil, denied, "", func(mfa.User) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("restricted", func(b *testing.B) {
		for b.Loop() {
			if err := s.Restricted(b.Context(), time.Now(), func(settlement.Account) bool { return true }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("outlines", func(b *testing.B) {
		for b.Loop() {
			if err := s.Outlines(b.Context(), func(settlement.Account) bool { return true }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
