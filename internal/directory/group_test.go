package directory

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func membersOf(logins, users []string) Members {
	m := Members{logins: map[string]struct{}{}, users: map[string]struct{}{}, count: len(logins) + len(users)}
	for _, l := range logins {
		m.logins[l] = struct{}{}
	}
	for _, u := range users {
		m.users[u] = struct{}{}
	}
	return m
}

// A registered login is a member if the filter would have found it by what it compares.
func TestMembersInclude(t *testing.T) {
	m := membersOf([]string{"alice@corp.example"}, []string{"bob"})
	for registered, want := range map[string]bool{
		"alice@corp.example": true, "alice": false, `corp\alice`: false, "Alice@CORP.example": true,
		"bob": true, `corp\bob`: true, "bob@elsewhere.example": true, "carol": false, "": false, "a\x00": false,
	} {
		if got := m.Include(registered); got != want {
			t.Errorf("%q: %v", registered, got)
		}
	}
	if (Members{}).Include("bob") {
		t.Error("somebody is in no group")
	}
}

// What was read holds for a while when the directory does not answer, and then nobody is reached.
func TestGroups(t *testing.T) {
	now, fault := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), error(nil)
	people, reads := membersOf(nil, []string{"alice"}), 0
	staff := mfa.DirectoryGroup{Directory: "corp", Group: "CN=Staff,DC=corp"}
	wanted := []mfa.DirectoryGroup{staff}
	g := &Groups{Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler), Wanted: func() []mfa.DirectoryGroup { return wanted },
		Members: func(_ context.Context, directory, group string) (Members, error) {
			reads++
			if directory != "corp" || group != staff.Group {
				t.Errorf("asked for %s of %s", group, directory)
			}
			return people, fault
		}}
	alice, bob := mfa.User{Login: "alice", Directory: "corp"}, mfa.User{Login: "bob", Directory: "corp"}
	in := func(what string, want bool) {
		t.Helper()
		if g.Belongs(alice, staff) != want {
			t.Errorf("%s: alice is in: %v", what, !want)
		}
		for _, u := range []mfa.User{bob, {Login: "alice"}, {Login: "alice", Directory: "other"}} {
			if g.Belongs(u, staff) {
				t.Errorf("%s: %+v is in", what, u)
			}
		}
	}
	in("before it is read", false)
	g.refresh(t.Context())
	in("when it was read", true)
	g.refresh(t.Context())
	if reads != 1 {
		t.Errorf("read %d times at once", reads)
	}
	now = now.Add(groupRefresh)
	people = membersOf(nil, nil)
	g.refresh(t.Context())
	in("when she has left", false)
	people = membersOf(nil, []string{"alice"})
	now = now.Add(groupRefresh)
	g.refresh(t.Context())
	fault = errors.New("no answer")
	now = now.Add(groupRefresh)
	g.refresh(t.Context())
	in("while the directory is away", true)
	if w := g.Warnings(); len(w) != 1 || !strings.Contains(w[0], "corp/CN=Staff,DC=corp") || !strings.Contains(w[0], "until") || !strings.Contains(w[0], "no answer") {
		t.Errorf("warnings %q", w)
	}
	now = now.Add(groupGood)
	g.refresh(t.Context())
	in("when it has been away for long", false)
	if w := g.Warnings(); len(w) != 1 || !strings.Contains(w[0], "reach nobody") {
		t.Errorf("warnings %q", w)
	}
	fault = nil
	now = now.Add(groupRetry)
	g.refresh(t.Context())
	in("when it is back", true)
	wanted = nil
	now = now.Add(groupRefresh)
	g.refresh(t.Context())
	if len(g.known) != 0 || len(g.Warnings()) != 0 {
		t.Errorf("known %v", g.known)
	}
	if n, err := g.Look(t.Context(), staff); n != 1 || err != nil {
		t.Errorf("looked: %d, %v", n, err)
	}
}
