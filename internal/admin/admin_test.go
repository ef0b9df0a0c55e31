package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/mfa"
	"countersign/internal/pki"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// rig is a service on fakes.
type rig struct {
	*admin.Service
	db    *admintest.Memory
	trail *admintest.Trail
	node  *admintest.Node
	now   time.Time
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{db: admintest.New(), trail: admintest.NewTrail(), now: noon}
	r.node = &admintest.Node{Now: func() time.Time { return r.now }}
	r.Service = admintest.Admin(r.db, r.trail, r.node, admintest.Engine(func(q mfa.Request) mfa.Decision {
		return mfa.Decision{Verdict: mfa.Accept, Reason: mfa.OK, Trace: []string{"login " + q.Login}}
	}))
	return r
}

func ptr[T any](v T) *T { return &v }

// add makes a user.
func (r *rig) add(t testing.TB, login string, aliases ...string) admin.User {
	t.Helper()
	u, err := r.AddUser(t.Context(), "test", admin.UserChange{Login: &login, Aliases: &aliases})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestUserLifeIsRecorded(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	u, err := r.AddUser(ctx, "root", admin.UserChange{Login: ptr("Alice"), Name: ptr(" Alice A. "), Email: ptr("a@corp.example"),
		Phone: ptr("+49 (170) 123-4567"), Aliases: ptr([]string{"A.Lice@Corp.Example"}), Password: secret.NewWire("right")})
	if err != nil {
		t.Fatal(err)
	}
	if u.Login != "alice" || u.Name != "Alice A." || u.Phone != "+491701234567" || u.State != "protected" ||
		!slices.Equal(u.Aliases, []string{"a.lice@corp.example"}) {
		t.Errorf("added %+v", u)
	}
	if _, err := r.SetUser(ctx, "root", "ALICE", admin.UserChange{State: ptr("exempt"), Tags: ptr([]string{"vpn"})}); err != nil {
		t.Fatal(err)
	}
	blocked, err := r.BlockUser(ctx, "root", "a.lice@corp.example", admin.BlockRequest{Seconds: 60, Reason: "lost phone"})
	if err != nil || !blocked.Blocked || blocked.Block.Reason != "lost phone" || !blocked.Block.Until.Equal(noon.Add(time.Minute)) {
		t.Errorf("blocked: %+v, %v", blocked.Block, err)
	}
	r.now = noon.Add(2 * time.Minute)
	if u, _ := r.User(ctx, "alice"); u.Blocked || !u.HasPassword {
		t.Errorf("after the block has expired: blocked %v, has a password %v", u.Blocked, u.HasPassword)
	}
	if u, err := r.UnblockUser(ctx, "root", "alice"); err != nil || u.Block != nil {
		t.Errorf("unblocked: %+v, %v", u.Block, err)
	}
	if err := r.db.UpdateRecord(ctx, u.ID, func(rec *settlement.Record) error {
		rec.Fails = settlement.Count{N: 5, Until: r.now.Add(time.Hour)}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if u, _ := r.User(ctx, "alice"); u.LockedUntil == nil || u.Failures != 5 {
		t.Errorf("locked user shows %+v", u)
	}
	if u, err := r.UnlockUser(ctx, "root", "alice"); err != nil || u.LockedUntil != nil || u.Failures != 0 {
		t.Errorf("unlocked: %+v, %v", u, err)
	}
	if err := r.RemoveUser(ctx, "root", string(u.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.User(ctx, "alice"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("after removal: %v", err)
	}
	var verbs []string
	for _, a := range r.trail.Recorded() {
		verbs = append(verbs, a.Verb)
		if a.By != "root" || a.Object != "alice" || a.Server != "nyc1" || strings.Contains(a.Detail, "right") {
			t.Errorf("act %+v", a)
		}
	}
	want := []string{"user add", "user set", "user block", "user unblock", "user unlock", "user remove"}
	if !slices.Equal(verbs, want) {
		t.Errorf("acts: got %v, want %v", verbs, want)
	}
}

func TestBadUserFields(t *testing.T) {
	long := strings.Repeat("x", 300)
	tests := []struct {
		name string
		c    admin.UserChange
		want string
	}{
		{"no login", admin.UserChange{}, "login is missing"},
		{"empty login", admin.UserChange{Login: ptr("")}, "not a user name"},
		{"login with a space", admin.UserChange{Login: ptr("a b")}, "not a user name"},
		{"login with NUL", admin.UserChange{Login: ptr("a\x00")}, "not a user name"},
		{"login too long", admin.UserChange{Login: &long}, "not a user name"},
		{"bad alias", admin.UserChange{Login: ptr("x"), Aliases: ptr([]string{"a b"})}, "aliases"},
		{"long name", admin.UserChange{Login: ptr("x"), Name: &long}, "name: longer than 256"},
		{"name with a newline", admin.UserChange{Login: ptr("x"), Name: ptr("a\nb")}, "control characters"},
		{"bad mail address", admin.UserChange{Login: ptr("x"), Email: ptr("nobody")}, "mail address"},
		{"bad number", admin.UserChange{Login: ptr("x"), Phone: ptr("0170 1234567")}, "E.164"},
		{"unknown directory", admin.UserChange{Login: ptr("x"), Directory: ptr("nowhere")}, "directory list"},
		{"bad tag", admin.UserChange{Login: ptr("x"), Tags: ptr([]string{"a b"})}, "tags"},
		{"bad state", admin.UserChange{Login: ptr("x"), State: ptr("maybe")}, "protected, exempt, denied"},
		{"long password", admin.UserChange{Login: ptr("x"), Password: secret.NewWire(long)}, "128 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			_, err := r.AddUser(t.Context(), "test", tt.c)
			if !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want one line with %q", err, tt.want)
			}
			if r.db.CountUsers() != 0 || len(r.trail.Recorded()) != 0 {
				t.Error("something was done all the same")
			}
		})
	}
}

func TestLoginFormsAreOneUser(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	if _, err := r.SetPolicy(ctx, "test", []byte(`{"login_domains":[{"netbios":"corp","upn":"corp.example"}]}`), "", ""); err != nil {
		t.Fatal(err)
	}
	u := r.add(t, "alice")
	for _, form := range []string{"alice", "ALICE", `CORP\alice`, "Alice@Corp.Example", string(u.ID)} {
		if got, err := r.Resolve(ctx, form); err != nil || got.ID != u.ID {
			t.Errorf("%s: got %v, %v", form, got.ID, err)
		}
	}
	for _, c := range []admin.UserChange{{Login: ptr("alice@corp.example")}, {Login: ptr("bob"), Aliases: ptr([]string{`corp\alice`})}} {
		if _, err := r.AddUser(ctx, "test", c); !errors.Is(err, mfa.ErrExists) || !strings.Contains(err.Error(), `user "alice" has it`) {
			t.Errorf("%s: %v", *c.Login, err)
		}
	}
	r.add(t, "bob")
	if _, err := r.SetUser(ctx, "test", "bob", admin.UserChange{Aliases: ptr([]string{"alice@corp.example"})}); !errors.Is(err, mfa.ErrExists) {
		t.Errorf("an alias that is another's: %v", err)
	}
	if rep, err := r.ImportUsers(ctx, "test", strings.NewReader("login\nalice@corp.example\ncarol\ncorp\\carol\n"), true); err != nil || rep.Created != 1 || rep.Failed != 2 {
		t.Errorf("import: %+v, %v", rep, err)
	}
	r.add(t, "bob@lab.example")
	if _, err := r.SetPolicy(ctx, "test", []byte(`{"login_domains":[{"netbios":"lab","upn":"lab.example"}]}`), "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(ctx, "bob"); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "more than one") {
		t.Errorf("a login that means two users: %v", err)
	}
	if _, err := r.Resolve(ctx, `OTHER\alice`); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("a domain that is not ours: %v", err)
	}
}

// A user whom another server has made a moment ago is found; one that nobody has made is
// not, also when there is no master to ask.
func TestAUserOfAnotherServerIsFound(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.db.Late = []mfa.User{{ID: "u1", Login: "alice", State: mfa.StateProtected}}
	if u, err := r.User(ctx, "ALICE"); err != nil || u.Login != "alice" {
		t.Errorf("made elsewhere: %+v, %v", u, err)
	}
	if _, err := r.User(ctx, "bob"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("made nowhere: %v", err)
	}
	r.db.Fail = mfa.ErrUnavailable
	if _, err := r.User(ctx, "bob"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("made nowhere, without a master: %v", err)
	}
	if u, err := r.User(ctx, "alice"); err != nil || u.Login != "alice" {
		t.Errorf("known here, without a master: %+v, %v", u, err)
	}
}

// busy cannot hash now.
type busy struct{ admintest.Passwords }

func (busy) Hash(context.Context, secret.Text) (secret.Text, error) {
	return secret.Text{}, errors.New("too many password checks are waiting")
}

// A change that is done in part leaves its record too: otherwise somebody could be made exempt
// and nobody would know by whom.
func TestHalfAChangeIsRecorded(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.add(t, "alice")
	r.Passwords = busy{}
	before := len(r.trail.Recorded())
	_, err := r.SetUser(ctx, "mallory", "alice", admin.UserChange{State: ptr("exempt"), Password: secret.NewWire("new")})
	if err == nil || !strings.Contains(err.Error(), "the rest was") {
		t.Errorf("got %v, want an error that says what was done", err)
	}
	acts := r.trail.Recorded()[before:]
	if u, err := r.User(ctx, "alice"); err != nil || u.State != "exempt" {
		t.Fatalf("alice is %s, %v", u.State, err)
	}
	if len(acts) != 1 || acts[0].By != "mallory" || !strings.Contains(acts[0].Detail, "exempt") {
		t.Errorf("the trail has %+v, want one act of mallory that tells of exempt", acts)
	}
}

func TestPasswordIsReplacedAndRemoved(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	u := r.add(t, "alice")
	for _, step := range []struct{ password, want string }{{"one", "hash of one"}, {"two", "hash of two"}, {"", ""}, {"", ""}} {
		if _, err := r.SetUser(ctx, "test", "alice", admin.UserChange{Password: secret.NewWire(step.password)}); err != nil {
			t.Fatal(err)
		}
		a, err := r.db.Account(ctx, u.ID, false)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for _, c := range a.Credentials {
			got += string(c.Secret.Expose())
		}
		if got != step.want {
			t.Errorf("after %q: got %q, want %q", step.password, got, step.want)
		}
	}
}

func TestListUsersInPages(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	want := map[mfa.UserID]bool{}
	for i := range 7 {
		u := r.add(t, fmt.Sprintf("user%d", i))
		want[u.ID] = true
	}
	var got []mfa.UserID
	for q := (admin.UserQuery{Limit: 3}); ; {
		page, err := r.ListUsers(ctx, q)
		if err != nil || len(page.Users) > 3 {
			t.Fatalf("page of %d, %v", len(page.Users), err)
		}
		for _, u := range page.Users {
			got = append(got, u.ID)
		}
		if q.After = page.Next; q.After == "" {
			break
		}
	}
	if len(got) != 7 || !slices.IsSorted(got) || len(slices.Compact(got)) != 7 {
		t.Errorf("pages hold %v", got)
	}
	if page, _ := r.ListUsers(ctx, admin.UserQuery{Search: "USER3"}); len(page.Users) != 1 {
		t.Errorf("search found %d", len(page.Users))
	}
	if page, _ := r.ListUsers(ctx, admin.UserQuery{State: "exempt"}); page.Users == nil || len(page.Users) != 0 {
		t.Errorf("no exempt users: got %v, want an empty list", page.Users)
	}
	if _, err := r.ListUsers(ctx, admin.UserQuery{Limit: admin.MaxPage + 1}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("page too large: %v", err)
	}
}

func TestListUsersByFactor(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	now := r.Now()
	for login, c := range map[string]*mfa.Credential{"anna": nil, "ben": {Method: mfa.MethodTOTP}, "cleo": {Method: mfa.MethodTOTP, Disabled: true},
		"dan": {Method: mfa.MethodTAP, Expires: now}, "eva": {Method: mfa.MethodTAP, Expires: now.Add(time.Hour)}, "finn": {Method: mfa.MethodPassword}} {
		u := r.add(t, login)
		if c == nil {
			continue
		}
		c.ID, c.User = mfa.CredentialID(mfa.NewID(nil)), u.ID
		if err := r.db.AddCredential(ctx, *c); err != nil {
			t.Fatal(err)
		}
	}
	for factor, want := range map[string]string{admin.NoFactor: "anna cleo dan finn", "totp": "ben", "tap": "eva", "hotp": ""} {
		page, err := r.ListUsers(ctx, admin.UserQuery{Factor: factor})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, u := range page.Users {
			got = append(got, u.Login)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("with factor %s: got %v, want %s", factor, got, want)
		}
	}
	if _, err := r.ListUsers(ctx, admin.UserQuery{Factor: "nonsense"}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a factor that is none: %v", err)
	}
}

// TestUnrecordedActIsAnError: no trail, no quiet success.
func TestUnrecordedActIsAnError(t *testing.T) {
	r := newRig(t)
	r.trail.Fail = errors.New("disk full")
	_, err := r.AddUser(t.Context(), "test", admin.UserChange{Login: ptr("alice")})
	if err == nil || !strings.Contains(err.Error(), "was done, but could not be recorded") {
		t.Errorf("got %v", err)
	}
}

func TestApplicationAndDirectory(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	if _, err := r.AddDirectory(ctx, "test", admin.DirectoryChange{Name: ptr("corp"), URLs: ptr([]string{"ldaps://dc1.corp.example/"}),
		BindDN: ptr("cn=svc"), BindPassword: secret.NewWire("pw"), BaseDN: ptr("dc=corp"), TimeoutSeconds: ptr(3)}); err != nil {
		t.Fatal(err)
	}
	a, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), FirstFactor: ptr("corp"),
		Addresses: ptr([]string{"10.0.0.0/24", "::ffff:10.1.2.3", "10.0.0.0/24"}), Secret: secret.NewWire("sixteen-bytes-ok")})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(a.Addresses, []string{"10.0.0.0/24", "10.1.2.3"}) || a.Passcode != "prompt" || a.UnknownUsers != "deny" ||
		a.Degraded != "allow" || a.MessageAuthenticator != "learn" || a.Methods == nil {
		t.Errorf("application %+v", a)
	}
	if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("api")}); !errors.Is(err, mfa.ErrExists) {
		t.Errorf("a name twice: %v", err)
	}
	set, err := r.SetApplication(ctx, "test", "vpn", admin.ApplicationChange{Methods: ptr([]string{"totp"}), UnknownUsers: ptr("pass"),
		Degraded: ptr("refuse"), Reply: &[]mfa.ReplyRule{{Tag: "t", Attribute: "Class", Value: "x"}}})
	if err != nil || set.UnknownUsers != "pass" || set.Degraded != "refuse" || len(set.Addresses) != 2 || len(set.Reply) != 1 {
		t.Errorf("set %+v, %v", set, err)
	}
	if err := r.RemoveDirectory(ctx, "test", "corp"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("removing a directory in use: %v", err)
	}
	if err := r.RemoveApplication(ctx, "test", "vpn"); err != nil {
		t.Error(err)
	}
	if got, err := r.TestDirectory(ctx, "test", "corp", admin.DirectoryTest{}); err != nil || !got.OK {
		t.Errorf("directory test %+v, %v", got, err)
	}
	if d, err := r.SetDirectory(ctx, "test", "corp", admin.DirectoryChange{StartTLS: ptr(true)}); err != nil || !d.StartTLS ||
		d.URLs[0] != "ldaps://dc1.corp.example" || d.TimeoutSeconds != 3 {
		t.Errorf("directory %+v, %v", d, err)
	}
	if err := r.RemoveDirectory(ctx, "test", "corp"); err != nil {
		t.Error(err)
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(fmt.Sprint(a), "sixteen") {
			t.Errorf("a secret in the trail: %+v", a)
		}
	}
}

func TestBadApplication(t *testing.T) {
	good := func() admin.ApplicationChange {
		return admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), Addresses: ptr([]string{"10.0.0.1"}), Secret: secret.NewWire("long enough")}
	}
	tests := map[string]func(*admin.ApplicationChange){
		"no name":         func(c *admin.ApplicationChange) { c.Name = nil },
		"name with slash": func(c *admin.ApplicationChange) { c.Name = ptr("a/b") },
		"name of dots":    func(c *admin.ApplicationChange) { c.Name = ptr("..") },
		"flag as name":    func(c *admin.ApplicationChange) { c.Name = ptr("-x") },
		"no kind":         func(c *admin.ApplicationChange) { c.Kind = nil },
		"odd kind":        func(c *admin.ApplicationChange) { c.Kind = ptr("smtp") },
		"no address":      func(c *admin.ApplicationChange) { c.Addresses = nil },
		"no network":      func(c *admin.ApplicationChange) { c.Addresses = ptr([]string{"10.0.0.0/33"}) },
		"host bits set":   func(c *admin.ApplicationChange) { c.Addresses = ptr([]string{"10.0.0.5/24"}) },
		"mapped network":  func(c *admin.ApplicationChange) { c.Addresses = ptr([]string{"::ffff:10.0.0.0/120"}) },
		"zone":            func(c *admin.ApplicationChange) { c.Addresses = ptr([]string{"fe80::1%eth0"}) },
		"no secret":       func(c *admin.ApplicationChange) { c.Secret = nil },
		"short secret":    func(c *admin.ApplicationChange) { c.Secret = secret.NewWire("short") },
		"no directory":    func(c *admin.ApplicationChange) { c.FirstFactor = ptr("corp") },
		"empty factor":    func(c *admin.ApplicationChange) { c.FirstFactor = ptr("") },
		"unknown method":  func(c *admin.ApplicationChange) { c.Methods = ptr([]string{"pigeon"}) },
		"password twice":  func(c *admin.ApplicationChange) { c.Methods = ptr([]string{"password"}) },
		"odd passcode":    func(c *admin.ApplicationChange) { c.Passcode = ptr("sometimes") },
		"odd mode":        func(c *admin.ApplicationChange) { c.MessageAuthenticator = ptr("off") },
		"many retries":    func(c *admin.ApplicationChange) { c.Retries = ptr(99) },
		"reply, no value": func(c *admin.ApplicationChange) { c.Reply = &[]mfa.ReplyRule{{Attribute: "Class"}} },
		"reply, a typo":   func(c *admin.ApplicationChange) { c.Reply = &[]mfa.ReplyRule{{Attribute: "Filter-ld", Value: "staff"}} },
		"reply, no such value": func(c *admin.ApplicationChange) {
			c.Reply = &[]mfa.ReplyRule{{Attribute: "Service-Type", Value: "Admin"}}
		},
		"reply, more groups than a challenge carries": func(c *admin.ApplicationChange) { c.Reply = ptr(ofGroups(policy.MaxRuleGroups + 1)) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			r, c := newRig(t), good()
			spoil(&c)
			if _, err := r.AddApplication(t.Context(), "test", c); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("got %v, want invalid", err)
			}
		})
	}
	c := good()
	c.Reply = ptr(append(ofGroups(policy.MaxRuleGroups), mfa.ReplyRule{Attribute: "Vendor-Specific:9:1", Value: "shell:priv-lvl=15"},
		mfa.ReplyRule{Group: "G0", Attribute: "Tunnel-Private-Group-Id:1", Value: "7"}))
	if _, err := newRig(t).AddApplication(t.Context(), "test", c); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// ofGroups are rules of n groups.
func ofGroups(n int) (rules []mfa.ReplyRule) {
	for i := range n {
		rules = append(rules, mfa.ReplyRule{Group: fmt.Sprintf("g%d", i), Attribute: "Filter-Id", Value: "x"})
	}
	return rules
}

func TestAnAddressBelongsToOneApplication(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	add := func(name string, addresses ...string) error {
		_, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: ptr("radius"), Addresses: &addresses, Secret: secret.NewWire("long enough")})
		return err
	}
	set := func(name string, c admin.ApplicationChange) error {
		_, err := r.SetApplication(ctx, "test", name, c)
		return err
	}
	for _, step := range []struct {
		name  string
		err   error
		taken bool
	}{
		{"first", add("vpn", "10.0.0.1", "10.1.0.0/16"), false},
		{"the same address", add("web", "10.0.0.2", "10.0.0.1"), true},
		{"a network around it", add("web", "10.0.0.0/8"), false},
		{"its own again", set("vpn", admin.ApplicationChange{Addresses: ptr([]string{"10.0.0.1"})}), false},
		{"one of another's", set("vpn", admin.ApplicationChange{Addresses: ptr([]string{"10.0.0.0/8"})}), true},
		{"the other off", set("web", admin.ApplicationChange{Disabled: ptr(true)}), false},
		{"now it is free", set("vpn", admin.ApplicationChange{Addresses: ptr([]string{"10.0.0.0/8"})}), false},
		{"the other on again", set("web", admin.ApplicationChange{Disabled: ptr(false)}), true},
	} {
		if errors.Is(step.err, mfa.ErrExists) != step.taken || !step.taken && step.err != nil {
			t.Errorf("%s: got %v, taken: %v", step.name, step.err, step.taken)
		}
	}
}

// Explain says what the engine does: a user's own directory goes before the application's,
// but not before local.
func TestExplainNamesTheFirstFactor(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, name := range []string{"corp", "lab"} {
		if _, err := r.AddDirectory(ctx, "test", admin.DirectoryChange{Name: &name, URLs: ptr([]string{"ldaps://dc1.corp.example/"}),
			BindDN: ptr("cn=svc"), BindPassword: secret.NewWire("pw"), BaseDN: ptr("dc=corp")}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.AddUser(ctx, "test", admin.UserChange{Login: ptr("alice"), Directory: ptr("lab")}); err != nil {
		t.Fatal(err)
	}
	for first, want := range map[string]string{"corp": "{first factor lab user}", "local": "{first factor local application local}"} {
		if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: &first, Kind: ptr("api"), FirstFactor: &first}); err != nil {
			t.Fatal(err)
		}
		x, err := r.Explain(ctx, "alice", admin.ExplainQuery{Application: first})
		if err != nil || !strings.Contains(fmt.Sprint(x.Rules), want) {
			t.Errorf("application with first factor %s: no %s in %v, %v", first, want, x.Rules, err)
		}
	}
}

// The ways to say which entry of a directory is the user's.
func TestUserFilters(t *testing.T) {
	r := newRig(t)
	for name, f := range map[string]string{"a": "(uid={login})", "b": "(sAMAccountName={user})", "c": "(|(sAMAccountName={user})(userPrincipalName={login}))"} {
		d, err := r.AddDirectory(t.Context(), "test", admin.DirectoryChange{Name: &name, URLs: ptr([]string{"ldaps://dc"}), BaseDN: ptr("dc=corp"), UserFilter: &f})
		if err != nil || d.UserFilter != f {
			t.Errorf("%s: %+v, %v", f, d, err)
		}
	}
}

func TestBadDirectory(t *testing.T) {
	good := func() admin.DirectoryChange {
		return admin.DirectoryChange{Name: ptr("corp"), URLs: ptr([]string{"ldaps://dc"}), BaseDN: ptr("dc=corp")}
	}
	tests := map[string]func(*admin.DirectoryChange){
		"no name":           func(c *admin.DirectoryChange) { c.Name = nil },
		"taken by a word":   func(c *admin.DirectoryChange) { c.Name = ptr("local") },
		"no url":            func(c *admin.DirectoryChange) { c.URLs = nil },
		"http":              func(c *admin.DirectoryChange) { c.URLs = ptr([]string{"http://dc"}) },
		"url with password": func(c *admin.DirectoryChange) { c.URLs = ptr([]string{"ldap://u:p@dc"}) },
		"url with a path":   func(c *admin.DirectoryChange) { c.URLs = ptr([]string{"ldap://dc/dc=x"}) },
		"in the clear":      func(c *admin.DirectoryChange) { c.URLs = ptr([]string{"ldaps://a.example", "ldap://dc1.corp.example"}) },
		"no base":           func(c *admin.DirectoryChange) { c.BaseDN = nil },
		"anonymous bind":    func(c *admin.DirectoryChange) { c.BindDN = ptr("cn=svc") },
		"filter, no login":  func(c *admin.DirectoryChange) { c.UserFilter = ptr("(uid=alice)") },
		"filter, who":       func(c *admin.DirectoryChange) { c.UserFilter = ptr("(|(uid={login})(cn={who}))") },
		"filter, open":      func(c *admin.DirectoryChange) { c.UserFilter = ptr("(uid={login)") },
		"filter, unclosed":  func(c *admin.DirectoryChange) { c.UserFilter = ptr("((uid={login})") },
		"no certificate":    func(c *admin.DirectoryChange) { c.CAs = ptr("hello") },
		"long time-out":     func(c *admin.DirectoryChange) { c.TimeoutSeconds = ptr(3600) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			r, c := newRig(t), good()
			spoil(&c)
			if _, err := r.AddDirectory(t.Context(), "test", c); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("got %v, want invalid", err)
			}
		})
	}
	if _, err := newRig(t).AddDirectory(t.Context(), "test", good()); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

func TestAPITokens(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	made, err := r.CreateAPIToken(ctx, "root", admin.APITokenRequest{Name: "ci", Scopes: []string{"read"}, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	token := made.Token.Text
	if !strings.HasPrefix(string(token.Expose()), "cs_") || token.Len() != len("cs_")+43 {
		t.Errorf("token has the form %d bytes", token.Len())
	}
	c, err := r.TokenCaller(token)
	if err != nil || c.By != "token:ci" || c.Permissions != mfa.RoleAuditor.Permissions() || !c.Reach.All || c.Role != mfa.RoleNone {
		t.Errorf("got %+v, %v", c, err)
	}
	if kept := fmt.Sprintf("%+v", r.db.APITokens()); strings.Contains(kept, string(token.Expose())) {
		t.Error("the token itself is kept")
	}
	list, _ := r.ListAPITokens(ctx)
	if len(list.APITokens) != 1 || list.APITokens[0].Token != nil {
		t.Errorf("the list shows %+v", list)
	}
	for _, bad := range []string{"", "cs_", "cs_AAAA", string(token.Expose()) + "A", "xx" + string(token.Expose())[2:], strings.Repeat("x", 9999)} {
		if _, err := r.TokenCaller(secret.FromString(bad)); !errors.Is(err, admin.ErrToken) {
			t.Errorf("token %.10q: %v", bad, err)
		}
	}
	for name, q := range map[string]admin.APITokenRequest{
		"name taken":     {Name: "ci", Scopes: []string{"read"}, Seconds: 3600},
		"owner's scope":  {Name: "x", Scopes: []string{"owner"}, Seconds: 3600},
		"no scope":       {Name: "x", Seconds: 3600},
		"no end":         {Name: "x", Scopes: []string{"read"}},
		"ends too late":  {Name: "x", Scopes: []string{"read"}, Seconds: 1 << 40},
		"negative":       {Name: "x", Scopes: []string{"read"}, Seconds: -5},
		"impossible one": {Name: "", Scopes: []string{"read"}, Seconds: 3600},
	} {
		if _, err := r.CreateAPIToken(ctx, "root", q); err == nil {
			t.Errorf("%s: a token was made", name)
		}
	}
	r.now = noon.Add(time.Hour)
	if _, err := r.TokenCaller(token); !errors.Is(err, admin.ErrToken) {
		t.Errorf("expired: %v", err)
	}
	r.now = noon
	if err := r.RevokeAPIToken(ctx, "root", "ci"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.TokenCaller(token); !errors.Is(err, admin.ErrToken) {
		t.Errorf("revoked: %v", err)
	}
	if err := r.RevokeAPIToken(ctx, "root", "ci"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestPolicy(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	p, err := r.SetPolicy(ctx, "root", []byte(`{"tries":3,"lock_seconds":60}`), "", "")
	if err != nil || p.Tries != 3 || p.Lock != 60 || p.FirstTries != 10 {
		t.Errorf("set %+v, %v", p, err)
	}
	if d := r.trail.Recorded()[0].Detail; d != "lock_seconds 900 -> 60, tries 5 -> 3" {
		t.Errorf("detail %q", d)
	}
	for _, bad := range []string{`{"tries":0}`, `{"trys":3}`, `{"tries":"x"}`, `[]`, `{}{}`, ``, `{"tries":3}x`, `{"tries":1e9}`} {
		if _, err := r.SetPolicy(ctx, "root", []byte(bad), "", ""); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if got := r.db.Settings(); got.Tries != 3 {
		t.Errorf("a refused change was kept: %+v", got)
	}
}

func TestExplain(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	u := r.add(t, "alice")
	if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("web"), Kind: ptr("api"), Methods: ptr([]string{"totp"}),
		Exempt: ptr([]string{"192.0.2.0/24"})}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []mfa.Credential{{ID: "t1", Method: mfa.MethodTOTP}, {ID: "t2", Method: mfa.MethodTOTP, Disabled: true}, {ID: "h1", Method: mfa.MethodHOTP}} {
		c.User = u.ID
		if err := r.db.AddCredential(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	x, err := r.Explain(ctx, "alice", admin.ExplainQuery{Application: "web", Source: "192.0.2.7"})
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprint(x.Rules)
	for _, want := range []string{"totp: serves credential t1", "totp: credential_disabled", "this method is not allowed",
		"passes on the first factor: exempt_network", "open: not denied"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if _, err := r.BlockUser(ctx, "test", "alice", admin.BlockRequest{}); err != nil {
		t.Fatal(err)
	}
	if x, _ := r.Explain(ctx, "alice", admin.ExplainQuery{Application: "web"}); !strings.Contains(fmt.Sprint(x.Rules), "refused: blocked") {
		t.Errorf("blocked user: %v", x.Rules)
	}
}

func TestBlastRADIUS(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	var ids []mfa.ApplicationID
	for i, mode := range []string{"learn", "warn", "require"} {
		a, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: &mode, Kind: ptr("radius"), MessageAuthenticator: &mode,
			Addresses: ptr([]string{fmt.Sprintf("10.0.%d.0/24", i)}), Secret: secret.NewWire("long enough")})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, a.ID)
	}
	if _, err := r.SetApplication(ctx, "test", "learn", admin.ApplicationChange{Addresses: ptr([]string{"10.0.0.0/24", "10.9.0.0/24"})}); err != nil {
		t.Fatal(err)
	}
	r.db.SetNASes(
		mfa.NAS{Application: ids[0], Address: netip.MustParseAddr("10.0.0.1"), FirstSeen: noon, Proven: noon},
		mfa.NAS{Application: ids[0], Address: netip.MustParseAddr("10.0.0.2"), FirstSeen: noon, Without: noon},
		mfa.NAS{Application: ids[1], Address: netip.MustParseAddr("10.0.1.1"), FirstSeen: noon, Proven: noon},
		mfa.NAS{Application: ids[2], Address: netip.MustParseAddr("10.0.2.1"), FirstSeen: noon, Without: noon})
	got := map[string]string{}
	report, err := r.BlastRADIUS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range report.Clients {
		got[c.Address] = c.State
	}
	want := map[string]string{"10.0.0.1": "safe", "10.0.0.2": "unsafe", "10.9.0.0/24": "unknown", "10.0.1.1": "unsafe", "10.0.2.1": "safe"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// What was changed is in the trail with its value before and after; no secret is, and of
// what a person is called and reached by only that it was changed.
func TestActsTellValues(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	hush := func(n string) *secret.Wire { return secret.NewWire("hush-hush-" + n) }
	ca, err := pki.NewCA("test", noon)
	if err != nil {
		t.Fatal(err)
	}
	pem := string(ca.CertificatePEM())
	for _, step := range []struct {
		act  string
		do   func() error
		want string // detail; # stands for an id
	}{
		{"application add vpn", func() error {
			_, err := r.AddApplication(ctx, "root", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), Addresses: ptr([]string{"10.0.0.0/24"}), Secret: hush("1"), FirstFactor: ptr("none")})
			return err
		}, `addresses ["10.0.0.0/24"], degraded "allow", first_factor "none", kind "radius", message_authenticator "learn", name "vpn", passcode "prompt", unknown_users "deny", waiting "prompt"`},
		{"application set vpn", func() error {
			_, err := r.SetApplication(ctx, "root", "vpn", admin.ApplicationChange{UnknownUsers: ptr("pass"), Exempt: ptr([]string{"0.0.0.0/0"}), Secret: hush("2"), Rate: ptr(0)})
			return err
		}, `exempt [] -> ["0.0.0.0/0"], unknown_users "deny" -> "pass", unknown_users_until none -> "2027-02-23T12:00:00Z", secret`},
		{"application set vpn", func() error {
			_, err := r.SetApplication(ctx, "root", "vpn", admin.ApplicationChange{UnknownUsers: ptr("deny")})
			return err
		}, `unknown_users "pass" -> "deny", unknown_users_until "2027-02-23T12:00:00Z" -> none`},
		{"application remove vpn", func() error { return r.RemoveApplication(ctx, "root", "vpn") },
			`id #, addresses ["10.0.0.0/24"], degraded "allow", exempt ["0.0.0.0/0"], first_factor "none", kind "radius", message_authenticator "learn", name "vpn", passcode "prompt", unknown_users "deny", waiting "prompt"`},
		{"directory add corp", func() error {
			_, err := r.AddDirectory(ctx, "root", admin.DirectoryChange{Name: ptr("corp"), URLs: ptr([]string{"ldaps://dc1"}), BaseDN: ptr("dc=corp"), CAs: &pem})
			return err
		}, `base_dn "dc=corp", ca_pem, kind "ldap", name "corp", urls ["ldaps://dc1"], user_filter "(uid={login})"`},
		{"directory set corp", func() error {
			_, err := r.SetDirectory(ctx, "root", "corp", admin.DirectoryChange{StartTLS: ptr(true), BindDN: ptr("cn=svc"), BindPassword: hush("3"), CAs: ptr("")})
			return err
		}, `bind_dn "" -> "cn=svc", ca_pem changed, start_tls false -> true, bind_password`},
		{"user add alice", func() error {
			_, err := r.AddUser(ctx, "root", admin.UserChange{Login: ptr("alice"), Aliases: ptr([]string{"hush"}), Name: ptr("hush"), Password: hush("4")})
			return err
		}, `aliases, login "alice", name, state "protected"`},
		{"user set alice", func() error {
			_, err := r.SetUser(ctx, "root", "alice", admin.UserChange{State: ptr("exempt"), Tags: ptr([]string{"it"}), Directory: ptr("corp"),
				Name: ptr("hush 2"), Email: ptr("hush@corp.example"), Phone: ptr("+491701234567"), Aliases: ptr([]string{}), Password: hush("5")})
			return err
		}, `aliases changed, directory "" -> "corp", email changed, name changed, phone changed, state "protected" -> "exempt", tags [] -> ["it"], password replaced`},
		{"user set alice", func() error {
			_, err := r.SetUser(ctx, "root", "alice", admin.UserChange{Login: ptr("alicia"), State: ptr("exempt"), Password: secret.NewWire("")})
			return err
		}, `login "alice" -> "alicia", password removed`},
		{"user block alicia", func() error {
			_, err := r.BlockUser(ctx, "root", "alicia", admin.BlockRequest{Reason: "lost phone"})
			return err
		}, "not blocked -> blocked until lifted: lost phone"},
		{"user block alicia", func() error {
			_, err := r.BlockUser(ctx, "root", "alicia", admin.BlockRequest{Seconds: 60})
			return err
		}, "blocked until lifted -> blocked until 2026-11-25T12:01:00Z"},
		{"user unblock alicia", func() error { _, err := r.UnblockUser(ctx, "root", "alicia"); return err }, "was blocked until 2026-11-25T12:01:00Z"},
		{"user unblock alicia", func() error { _, err := r.UnblockUser(ctx, "root", "alicia"); return err }, "was not blocked"},
		{"user remove alicia", func() error { return r.RemoveUser(ctx, "root", "alicia") },
			`id #, directory "corp", email, login "alicia", name, phone, state "exempt", tags ["it"]`},
		{"directory remove corp", func() error { return r.RemoveDirectory(ctx, "root", "corp") },
			`base_dn "dc=corp", bind_dn "cn=svc", kind "ldap", name "corp", start_tls true, urls ["ldaps://dc1"], user_filter "(uid={login})"`},
		{"policy set group", func() error {
			_, err := r.SetPolicy(ctx, "root", []byte(`{"tries":5,"totp_window":2,"login_domains":[{"netbios":"corp","upn":"corp.example"}]}`), "", "")
			return err
		}, `login_domains null -> [{"netbios":"corp","upn":"corp.example"}], totp_window 1 -> 2`},
		{"api-token create ci", func() error {
			_, err := r.CreateAPIToken(ctx, "root", admin.APITokenRequest{Name: "ci", Scopes: []string{"read"}, Seconds: 60})
			return err
		}, "id #, read, until 2026-11-25T12:01:00Z"},
		{"api-token revoke ci", func() error { return r.RevokeAPIToken(ctx, "root", "ci") }, "id #, read, until 2026-11-25T12:01:00Z"},
	} {
		before := len(r.trail.Recorded())
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.act, err)
		}
		acts := r.trail.Recorded()[before:]
		if len(acts) != 1 {
			t.Fatalf("%s: %d acts", step.act, len(acts))
		}
		detail := regexp.MustCompile(`^id [a-z2-7]{16}`).ReplaceAllString(acts[0].Detail, "id #")
		if act := acts[0].Verb + " " + acts[0].Object; act != step.act || detail != step.want {
			t.Errorf("act %s: %s\nwant %s: %s", act, detail, step.act, step.want)
		}
		if strings.Contains(fmt.Sprint(acts), "hush") {
			t.Errorf("%s tells a secret: %+v", step.act, acts)
		}
	}
}
