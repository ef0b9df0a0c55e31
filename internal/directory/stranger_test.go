package directory

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// holding is a directory with one entry, CN=Alice, whose password is "r1ght".
func holding(dn string, attributes map[string][]string) func(request) ([]byte, bool) {
	return func(r request) ([]byte, bool) {
		switch {
		case r.op == ldap.ApplicationSearchRequest:
			return append(entryWith(r, dn, attributes), result(r, 0, "")...), false
		case r.op == ldap.ApplicationBindRequest && r.name == dn && r.password != "r1ght":
			return result(r, ldap.LDAPResultInvalidCredentials, ""), false
		}
		return result(r, 0, ""), false
	}
}

func TestStrangersNames(t *testing.T) {
	const dn = "UID=alice,OU=people,DC=corp,DC=example"
	one := func(name string, values ...string) map[string][]string { return map[string][]string{name: values} }
	tests := []struct {
		name       string
		filter     string
		attributes map[string][]string
		want       []string
	}{
		{"attribute of the filter", "(employeeID={login})", one("EMPLOYEEID", "4711"), []string{"4711", "4711@corp.example", "alice", "alice@corp.example"}},
		{"usual ones besides", "(uid={user})", map[string][]string{"uid": {"alice"}, "mail": {"a.smith@mail.example"}, "sAMAccountName": {"asmith"}},
			[]string{"alice", "a.smith@mail.example", "asmith", "asmith@mail.example", "alice@corp.example"}},
		{"several values, with options", "(mail={login})", one("mail;lang-en", "one@x.example", "two@x.example"), []string{"one@x.example", "two@x.example", "alice@x.example"}},
		{"in a proxy address", "(proxyAddresses=smtp:{login})", one("proxyAddresses", "SMTP:a@x.example", "x500:/o=corp"), []string{"a@x.example"}},
		{"with something around it", "(uid=ext-{user}-1)", one("uid", "EXT-bob-1"), []string{"bob", "bob@corp.example"}},
		{"a domain before the name", `(name=CORP\5c{user})`, one("name", `CORP\bob`), []string{`CORP\bob`, "bob"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, holding(dn, tt.attributes))
			d := corp(f.url)
			d.UserFilter = tt.filter
			c, _, _ := checker(t, d)
			_, names, err := c.CheckStranger(t.Context(), "corp", "eve", secret.FromString("r1ght"))
			for _, want := range tt.want {
				if !slices.Contains(names, want) {
					t.Errorf("names %q, %v; %q is not among them", names, err, want)
				}
			}
			if _, names, err := c.CheckStranger(t.Context(), "corp", "eve", secret.FromString("wrong")); !errors.Is(err, mfa.WrongPassword) || names != nil {
				t.Errorf("wrong password: got %q, %v", names, err)
			}
		})
	}
}

func TestStrangersNamesUnclear(t *testing.T) {
	many := make([]string, maxNames+1)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	tests := []struct {
		name, filter string
		attributes   map[string][]string
		want         string
	}{
		{"part of a value", "(mail={user}@*)", map[string][]string{"mail": {"alice@x"}}, "equality"},
		{"alike", "(cn~={user})", map[string][]string{"cn": {"alice"}}, "equality"},
		{"rule", "(cn:caseExactMatch:={user})", map[string][]string{"cn": {"alice"}}, "equality"},
		{"negated", "(&(uid={user})(!(mail={login})))", map[string][]string{"uid": {"alice"}}, "equality"},
		{"one of two", "(|(uid={user})(cn=*{user}*))", map[string][]string{"uid": {"alice"}}, "equality"},
		{"may be searched, not read", "(uid={user})", map[string][]string{"mail": {"alice@x"}}, "give it the right"},
		{"made up by the server", "(anr={user})", map[string][]string{"cn": {"alice"}}, "give it the right"},
		{"too many", "(uid={user})", map[string][]string{"uid": many}, "more than 200 names"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake(t, holding("CN=Alice,DC=corp", tt.attributes))
			d := corp(f.url)
			d.UserFilter = tt.filter
			c, _, _ := checker(t, d)
			_, names, err := c.CheckStranger(t.Context(), "corp", "eve", secret.FromString("r1ght"))
			if err == nil || isReason(err) || names != nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), `directory "corp"`) {
				t.Errorf("got %q, %v; want a fault of ours with %q", names, err, tt.want)
			}
			if _, err := check(t.Context(), c, alice, "r1ght"); err != nil {
				t.Errorf("a user who is known here: %v", err)
			}
		})
	}
}

// A name that binds and a search that finds somebody else for it: the one who was found
// has to have the same password.
func TestStrangerBindsAsTheEntryFound(t *testing.T) {
	f := newFake(t, holding("CN=Bob,DC=corp", map[string][]string{"uid": {"bob"}}))
	d := corp(f.url)
	d.BindDN, d.BindPassword, d.UPNSuffix = "", secret.Text{}, "corp.example"
	c, dirs, _ := checker(t, d)
	if _, names, err := c.CheckStranger(t.Context(), "corp", "alice1", secret.FromString("of alice")); !errors.Is(err, mfa.WrongPassword) || names != nil {
		t.Errorf("found another: got %q, %v, want %v", names, err, mfa.WrongPassword)
	}
	if _, names, err := c.CheckStranger(t.Context(), "corp", "bob1", secret.FromString("r1ght")); err != nil || !slices.Contains(names, "bob@corp.example") {
		t.Errorf("found themselves: got %q, %v", names, err)
	}
	d.GroupAttr, d.BaseDN, d.UserFilter = "", "", ""
	dirs.set(d)
	if _, _, err := c.CheckStranger(t.Context(), "corp", "bob1", secret.FromString("r1ght")); err == nil || isReason(err) || !strings.Contains(err.Error(), "user_filter") {
		t.Errorf("nothing to search with: got %v, want a fault of our settings", err)
	}
}

func TestPretendAsksAsACheckDoes(t *testing.T) {
	var mu sync.Mutex
	var binds []request
	f := newFake(t, func(r request) ([]byte, bool) {
		if r.op == ldap.ApplicationBindRequest && r.name != "CN=service" {
			mu.Lock()
			binds = append(binds, r)
			mu.Unlock()
			return result(r, ldap.LDAPResultInvalidCredentials, ""), false
		}
		if r.op == ldap.ApplicationSearchRequest {
			return result(r, 0, ""), false
		}
		return result(r, 0, ""), false
	})
	c, dirs, _ := checker(t, corp(f.url))
	c.Pretend(t.Context(), "corp", "eve", secret.FromString("typed"))
	c.Pretend(t.Context(), "corp", "eve", secret.Text{})
	c.Pretend(t.Context(), "corp", "eve", secret.FromString("\x00"))
	c.Pretend(t.Context(), "elsewhere", "eve", secret.FromString("typed"))
	c.Pretend(t.Context(), "none", "eve", secret.FromString("typed"))
	if got := f.finds.Load(); got != 1 {
		t.Errorf("%d searches, want 1", got)
	}
	d := corp(f.url)
	d.BindDN, d.BindPassword, d.UPNSuffix = "", secret.Text{}, "corp.example"
	dirs.set(d)
	c.Pretend(t.Context(), "corp", "eve", secret.FromString("typed"))
	mu.Lock()
	defer mu.Unlock()
	if len(binds) != 2 || binds[0].name != "CN=countersign-nobody,DC=corp" || binds[1].name != "countersign-nobody@corp.example" {
		t.Fatalf("binds %+v, want one as nobody for each directory", binds)
	}
	for _, b := range binds {
		if b.password == "" || b.password == "typed" {
			t.Errorf("bind with %q: want a password, and nobody's", b.password)
		}
	}
}

// A flood of made-up names leaves connections to those who are somebody.
func TestPretendLeavesConnections(t *testing.T) {
	f := newFake(t, hangs)
	c, _, _ := checker(t, corp(f.url))
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	ended := make(chan struct{}, 100)
	for range 100 {
		all.Go(func() {
			c.Pretend(ctx, "corp", "eve", secret.FromString("typed"))
			ended <- struct{}{}
		})
	}
	for range 100 - maxPretended {
		<-ended
	}
	if got := f.conns.Load(); got > maxPretended {
		t.Errorf("%d connections, want at most %d", got, maxPretended)
	}
	cancel()
	all.Wait()
}
