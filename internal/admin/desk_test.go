package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// staffed is a rig with users inside and outside a help desk's reach, and one of each role.
func staffed(t *testing.T) *rig {
	t.Helper()
	r, ctx := newRig(t), t.Context()
	for login, tags := range map[string][]string{"inside": {"staff"}, "outside": {"board"}, "olga": {"staff"}, "adam": {"staff"}, "helen": {"staff"}} {
		if _, err := r.AddUser(ctx, "test", admin.UserChange{Login: &login, Tags: &tags}); err != nil {
			t.Fatal(err)
		}
	}
	for login, role := range map[string]string{"olga": "owner", "adam": "administrator"} {
		if _, err := r.AddAdministrator(ctx, "test", admin.AdministratorChange{Login: &login, Role: &role}); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// helpDesk is one for users tagged staff.
func helpDesk(ps ...mfa.Permission) admin.Caller {
	return mfa.Administrator{Role: mfa.RoleHelpDesk, Permissions: mfa.SetOf(ps...), Reach: mfa.Reach{Tags: []string{"staff"}}}.Caller("helen (console)")
}

// acts on one user, each with the one permission that it asks for.
var onUsers = []struct {
	name  string
	needs mfa.Permission
	do    func(ctx context.Context, d admin.Desk, login string) error
}{
	{"show", mfa.MayReadUsers, func(ctx context.Context, d admin.Desk, login string) error { _, err := d.User(ctx, login); return err }},
	{"explain", mfa.MayReadUsers, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.Explain(ctx, login, admin.ExplainQuery{Application: "vpn"})
		return err
	}},
	{"attempts", mfa.MayReadUsers, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.Attempts(ctx, login, admin.AuditQuery{})
		return err
	}},
	{"name", mfa.MayChangeInfo, set(admin.UserChange{Name: ptr("N")})},
	{"mail", mfa.MayChangeInfo, set(admin.UserChange{Email: ptr("a@corp.example")})},
	{"aliases", mfa.MayChangeInfo, set(admin.UserChange{Aliases: &[]string{}})},
	{"phone", mfa.MayChangePhone, set(admin.UserChange{Phone: ptr("+491701234567")})},
	{"language", mfa.MayChangeLanguage, set(admin.UserChange{Language: ptr("de")})},
	{"password", mfa.MayChangePassword, set(admin.UserChange{Password: secret.NewWire("a pass word")})},
	{"state", mfa.MayChangeState, set(admin.UserChange{State: ptr("denied")})},
	{"tags", mfa.MayChangeScope, set(admin.UserChange{Tags: &[]string{"staff", "x"}})},
	{"directory", mfa.MayChangeScope, set(admin.UserChange{Directory: ptr("local")})},
	{"block", mfa.MayBlock, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.BlockUser(ctx, login, admin.BlockRequest{})
		return err
	}},
	{"unblock", mfa.MayBlock, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.UnblockUser(ctx, login)
		return err
	}},
	{"unlock", mfa.MayBlock, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.UnlockUser(ctx, login)
		return err
	}},
	{"test", mfa.MayTest, func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.TestSignIn(ctx, admin.TestRequest{Login: login, Application: "vpn"})
		return err
	}},
	{"remove", mfa.MayRemoveUser, func(ctx context.Context, d admin.Desk, login string) error { return d.RemoveUser(ctx, login) }},
}

func set(c admin.UserChange) func(context.Context, admin.Desk, string) error {
	return func(ctx context.Context, d admin.Desk, login string) error {
		_, err := d.SetUser(ctx, login, c)
		return err
	}
}

// Every act on a user asks for its own permission, on the users within reach only, and never
// on somebody of the same or a higher role. Who is out of reach reads as who is not there.
func TestDeskOnUsers(t *testing.T) {
	r := staffed(t)
	radius := admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), Addresses: &[]string{"10.0.0.1"}, Secret: secret.NewWire("long enough")}
	if _, err := r.AddApplication(t.Context(), "test", radius); err != nil {
		t.Fatal(err)
	}
	for _, act := range onUsers {
		t.Run(act.name, func(t *testing.T) {
			ctx := t.Context()
			with := r.As(admin.Caller{By: "x", Role: mfa.RoleHelpDesk, Permissions: mfa.SetOf(act.needs), Reach: mfa.Reach{Tags: []string{"staff"}}})
			without := r.As(admin.Caller{By: "x", Role: mfa.RoleOwner, Permissions: mfa.RoleOwner.Permissions() &^ mfa.SetOf(act.needs, mfa.MayReadAudit), Reach: mfa.Reach{All: true}})
			if err := act.do(ctx, without, "inside"); !errors.Is(err, mfa.ErrForbidden) {
				t.Errorf("without %s: %v", act.needs, err)
			}
			away, gone := act.do(ctx, with, "outside"), act.do(ctx, with, "nobody")
			if !errors.Is(away, mfa.ErrNotFound) || !errors.Is(gone, mfa.ErrNotFound) || strings.ReplaceAll(away.Error(), "outside", "nobody") != gone.Error() {
				t.Errorf("out of reach: %v; not there: %v", away, gone)
			}
			if err := act.do(ctx, with, "olga"); act.needs != mfa.MayReadUsers && !errors.Is(err, mfa.ErrForbidden) {
				t.Errorf("on an owner: %v", err)
			}
			if err := act.do(ctx, r.As(mfa.Administrator{Role: mfa.RoleAdministrator}.Caller("adam")), "adam"); act.needs != mfa.MayReadUsers && !errors.Is(err, mfa.ErrForbidden) {
				t.Errorf("on the same role: %v", err)
			}
			if err := act.do(ctx, with, "inside"); err != nil {
				t.Errorf("with it: %v", err)
			}
		})
	}
}

// inStaff is a directory of which the user inside is in the group staff, and the administrators.
type inStaff struct{ fault error }

var staff = mfa.DirectoryGroup{Directory: "corp", Group: "CN=Staff,DC=corp"}

func (inStaff) Belongs(u mfa.User, in mfa.DirectoryGroup) bool {
	return in == staff && u.Directory == "corp" && u.Login != "outside" && u.Login != "a2"
}

func (g inStaff) Look(_ context.Context, in mfa.DirectoryGroup) (int, error) {
	if in != staff {
		return 0, g.fault
	}
	return 4, g.fault
}

// grouped is staffed with a help desk, helen, who is limited to a group of a directory.
func grouped(t *testing.T, ps ...string) (*rig, admin.Caller) {
	t.Helper()
	r, ctx := staffed(t), t.Context()
	corp := admin.DirectoryChange{Name: ptr("corp"), URLs: &[]string{"ldaps://dc.corp.example"}, BaseDN: ptr("DC=corp"), BindDN: ptr("CN=service,DC=corp"), BindPassword: secret.NewWire("bind"), GroupAttribute: ptr("memberOf")}
	if _, err := r.AddDirectory(ctx, "test", corp); err != nil {
		t.Fatal(err)
	}
	for _, login := range []string{"inside", "outside", "olga", "adam"} {
		if _, err := r.SetUser(ctx, "test", login, admin.UserChange{Directory: ptr("corp"), Tags: &[]string{}}); err != nil {
			t.Fatal(err)
		}
	}
	r.Groups = inStaff{}
	if _, err := r.AddAdministrator(ctx, "test", admin.AdministratorChange{Login: ptr("helen"), Role: ptr("help-desk"), Permissions: &ps, Groups: &[]string{staff.String()}}); err != nil {
		t.Fatal(err)
	}
	u, err := r.Resolve(ctx, "helen")
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.AdministratorCaller(ctx, u.ID, "console")
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// A help desk that is limited by a directory group has each of the 18 permissions on the users
// in it, those of others on nobody, and whoever is outside reads as who is not there.
func TestDeskOnDirectoryGroup(t *testing.T) {
	for _, p := range mfa.HelpDeskPermissions() {
		t.Run(p.String(), func(t *testing.T) {
			r, helen := grouped(t, p.String())
			radius := admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), Addresses: &[]string{"10.0.0.1"}, Secret: secret.NewWire("long enough")}
			if _, err := r.AddApplication(t.Context(), "test", radius); err != nil {
				t.Fatal(err)
			}
			for _, act := range onUsers {
				d, ctx := r.As(helen), t.Context()
				away := act.do(ctx, d, "outside")
				has := helen.Can(act.needs)
				if has != (act.needs == p || act.needs == mfa.MayReadUsers) {
					t.Fatalf("%s gives %s: %v", p, act.needs, has)
				}
				if away == nil || has && !errors.Is(away, mfa.ErrNotFound) {
					t.Errorf("%s on a user outside the group: %v", act.name, away)
				}
				if act.name == "remove" && has {
					continue // the last: below
				}
				if err := act.do(ctx, d, "inside"); has != (err == nil) {
					t.Errorf("%s on a user in the group: %v", act.name, err)
				}
			}
			if p == mfa.MayRemoveUser {
				if err := r.As(helen).RemoveUser(t.Context(), "inside"); err != nil {
					t.Error(err)
				}
			}
			r.Groups = nil // a server that knows nothing of the group
			u, err := r.Resolve(t.Context(), "helen")
			if err != nil {
				t.Fatal(err)
			}
			if c, err := r.AdministratorCaller(t.Context(), u.ID, "console"); err != nil {
				t.Error(err)
			} else if list, err := r.As(c).ListUsers(t.Context(), admin.UserQuery{}); err != nil || len(list.Users) != 0 {
				t.Errorf("without the group %d users are seen, %v", len(list.Users), err)
			}
		})
	}
}

// Who is limited by a group sees the users in it and makes such alone; a group that cannot be
// read, or has nobody, limits nobody.
func TestDirectoryGroups(t *testing.T) {
	r, helen := grouped(t, "user.add")
	ctx := t.Context()
	if list, err := r.As(helen).ListUsers(ctx, admin.UserQuery{}); err != nil || len(list.Users) != 3 {
		t.Errorf("%d users, %v", len(list.Users), err)
	}
	for login, want := range map[string]error{"a1": nil, "a2": mfa.ErrForbidden} {
		if _, err := r.As(helen).AddUser(ctx, admin.UserChange{Login: &login, Directory: ptr("corp")}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", login, err, want)
		}
	}
	a, err := r.Administrator(ctx, "helen")
	if err != nil || len(a.Groups) != 1 || a.Groups[0] != "corp/CN=Staff,DC=corp" || a.AllUsers {
		t.Errorf("%+v, %v", a, err)
	}
	for groups, want := range map[string]string{"staff": "DIRECTORY/GROUP", "nowhere/CN=Staff": "nowhere", "corp/": "DIRECTORY/GROUP", "corp/CN=Nobody": "has nobody in CN=Nobody"} {
		_, err := r.SetAdministrator(ctx, "test", "helen", admin.AdministratorChange{Groups: &[]string{groups}})
		if !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", groups, err, want)
		}
	}
	r.Groups = inStaff{errors.New("no answer from dc")}
	if _, err := r.SetAdministrator(ctx, "test", "helen", admin.AdministratorChange{Groups: &[]string{staff.String()}}); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "no answer from dc") {
		t.Errorf("a group that cannot be read: %v", err)
	}
	if _, err := r.SetAdministrator(ctx, "test", "helen", admin.AdministratorChange{Role: ptr("auditor")}); err != nil {
		t.Error(err)
	}
	if a, err := r.Administrator(ctx, "helen"); err != nil || len(a.Groups) != 0 {
		t.Errorf("an auditor: %+v, %v", a, err)
	}
}

// A list holds whom the caller may see.
func TestDeskLists(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	list, err := r.As(helpDesk()).ListUsers(ctx, admin.UserQuery{})
	if err != nil || len(list.Users) != 4 {
		t.Errorf("%d users, %v", len(list.Users), err)
	}
	if list, err = r.As(mfa.Owner("root")).ListUsers(ctx, admin.UserQuery{}); err != nil || len(list.Users) != 5 {
		t.Errorf("an owner sees %d users, %v", len(list.Users), err)
	}
	if _, err := r.As(helpDesk()).Attempts(ctx, "", admin.AuditQuery{}); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("everybody's attempts: %v", err)
	}
	if _, err := r.As(admin.Caller{}).ListUsers(ctx, admin.UserQuery{}); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("nobody: %v", err)
	}
}

// Who is limited makes users within that limit, and moves nobody out of it or into it.
func TestDeskAdds(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	d := r.As(helpDesk(mfa.MayAddUser, mfa.MayChangeInfo))
	for name, tt := range map[string]struct {
		c    admin.UserChange
		want error
	}{
		"within reach":      {admin.UserChange{Login: ptr("a1"), Tags: &[]string{"staff"}}, nil},
		"no tag":            {admin.UserChange{Login: ptr("a2")}, mfa.ErrForbidden},
		"another tag":       {admin.UserChange{Login: ptr("a3"), Tags: &[]string{"board"}}, mfa.ErrForbidden},
		"one more tag":      {admin.UserChange{Login: ptr("a4"), Tags: &[]string{"staff", "board"}}, mfa.ErrForbidden},
		"another directory": {admin.UserChange{Login: ptr("a5"), Tags: &[]string{"staff"}, Directory: ptr("local")}, mfa.ErrForbidden},
		"a password":        {admin.UserChange{Login: ptr("a6"), Tags: &[]string{"staff"}, Password: secret.NewWire("a pass word")}, mfa.ErrForbidden},
		"exempt":            {admin.UserChange{Login: ptr("a7"), Tags: &[]string{"staff"}, State: ptr("exempt")}, mfa.ErrForbidden},
	} {
		if _, err := d.AddUser(ctx, tt.c); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := d.SetUser(ctx, "inside", admin.UserChange{Tags: &[]string{"staff", "board"}}); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("a help desk changes tags: %v", err)
	}
	if _, err := r.As(mfa.Administrator{Role: mfa.RoleAdministrator}.Caller("adam")).AddUser(ctx, admin.UserChange{Login: ptr("b1"), Tags: &[]string{"board"}, State: ptr("exempt")}); err != nil {
		t.Errorf("an administrator: %v", err)
	}
}

func TestAdministratorCaller(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	id := func(login string) mfa.UserID {
		u, err := r.Resolve(ctx, login)
		if err != nil {
			t.Fatal(err)
		}
		return u.ID
	}
	c, err := r.AdministratorCaller(ctx, id("adam"), "console")
	if err != nil || c.By != "adam (console)" || c.Role != mfa.RoleAdministrator || !c.Can(mfa.MayChangeSettings) || c.Can(mfa.MayOwn) || c.User != id("adam") {
		t.Errorf("%+v, %v", c, err)
	}
	refused := func(why, login string) {
		t.Helper()
		if c, err := r.AdministratorCaller(ctx, id(login), "console"); !errors.Is(err, mfa.ErrForbidden) || c.Can(mfa.MayKnow) {
			t.Errorf("%s: %+v, %v", why, c, err)
		}
	}
	refused("without a role", "inside")
	if _, err := r.BlockUser(ctx, "test", "adam", admin.BlockRequest{Seconds: 60}); err != nil {
		t.Fatal(err)
	}
	refused("blocked", "adam")
	r.now = noon.Add(time.Hour)
	if err := r.RemoveAdministrator(ctx, "test", "adam", false); err != nil {
		t.Fatal(err)
	}
	refused("role taken away", "adam")
	if _, err := r.SetUser(ctx, "test", "olga", admin.UserChange{State: ptr("denied")}); err != nil {
		t.Fatal(err)
	}
	refused("denied", "olga")
}

// Roles are given, changed and taken by their own acts, which tell before and after.
func TestAdministratorsAreRecorded(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	n := len(r.trail.Recorded())
	if _, err := r.AddAdministrator(ctx, "root", admin.AdministratorChange{Login: ptr("helen"), Role: ptr("help-desk"), Permissions: &[]string{"user.block"}, Tags: &[]string{"staff"}}); err != nil {
		t.Fatal(err)
	}
	a, err := r.SetAdministrator(ctx, "root", "helen", admin.AdministratorChange{Role: ptr("auditor")})
	if err != nil || a.Role != "auditor" || len(a.Tags) != 0 || !a.AllUsers {
		t.Errorf("%+v, %v", a, err)
	}
	if err := r.RemoveAdministrator(ctx, "root", "helen", false); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, act := range r.trail.Recorded()[n:] {
		got = append(got, act.Verb+" "+act.Object+": "+act.Detail)
	}
	for i, want := range []string{
		`administrator add helen: by "root", login "helen", permissions ["user.block","user.read","status.read","known"], role "help-desk", tags ["staff"]`,
		`administrator set helen: all_users false -> true, permissions [`,
		`administrator remove helen: id `,
	} {
		if i >= len(got) || !strings.HasPrefix(got[i], want) {
			t.Errorf("act %d: %q, want %q", i, got, want)
		}
	}
}

// Who decided from an older state is told; nothing is overwritten.
func TestETags(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	seen, err := r.User(ctx, "inside")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := r.ListUsers(ctx, admin.UserQuery{Search: "inside"})
	if list.Users[0].ETag() != seen.ETag() {
		t.Error("list and show have other tags")
	}
	r.now = noon.Add(time.Second)
	first, err := r.SetUser(ctx, "a", "inside", admin.UserChange{Name: ptr("First"), IfMatch: seen.ETag()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetUser(ctx, "b", "inside", admin.UserChange{Name: ptr("Second"), IfMatch: seen.ETag()}); !errors.Is(err, mfa.ErrChanged) {
		t.Errorf("the second tab: %v", err)
	}
	now, _ := r.User(ctx, "inside")
	if now.Name != "First" || now.ETag() != first.ETag() || now.ETag() == seen.ETag() {
		t.Errorf("now %+v", now)
	}
	p, _ := r.Policy(ctx)
	if _, err := r.SetPolicy(ctx, "a", []byte(`{"tries":7}`), p.ETag(), ""); err != nil {
		t.Error(err)
	}
	if _, err := r.SetPolicy(ctx, "b", []byte(`{"tries":8}`), p.ETag(), ""); !errors.Is(err, mfa.ErrChanged) {
		t.Errorf("policy: %v", err)
	}
	c := admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("radius"), Addresses: &[]string{"10.0.0.1"}, Secret: secret.NewWire("long enough")}
	app, err := r.AddApplication(ctx, "a", c)
	if err != nil {
		t.Fatal(err)
	}
	r.now = noon.Add(2 * time.Second)
	if _, err := r.SetApplication(ctx, "a", "vpn", admin.ApplicationChange{Secret: secret.NewWire("another one"), IfMatch: app.ETag()}); err != nil {
		t.Error(err)
	}
	if _, err := r.SetApplication(ctx, "b", "vpn", admin.ApplicationChange{Rate: ptr(5), IfMatch: app.ETag()}); !errors.Is(err, mfa.ErrChanged) {
		t.Errorf("application whose secret was changed: %v", err)
	}
	role, err := r.Administrator(ctx, "adam")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetAdministrator(ctx, "a", "adam", admin.AdministratorChange{Role: ptr("auditor"), IfMatch: role.ETag()}); err != nil {
		t.Error(err)
	}
	if _, err := r.SetAdministrator(ctx, "b", "adam", admin.AdministratorChange{Role: ptr("owner"), IfMatch: role.ETag()}); !errors.Is(err, mfa.ErrChanged) {
		t.Errorf("role: %v", err)
	}
}

// Each scope gives its permissions and no more; none makes an owner.
func TestScopes(t *testing.T) {
	for _, s := range admin.Scopes() {
		if p := admin.ScopePermissions(s); p == 0 || p.Has(mfa.MayOwn) || !p.Has(mfa.MayKnow) {
			t.Errorf("%s permits %s", s, p)
		}
	}
	if admin.ScopePermissions("owner") != 0 || admin.ScopePermissions("") != 0 {
		t.Error("a scope that is not known permits something")
	}
	if p := admin.ScopePermissions(admin.ScopeAuthenticate); p != mfa.SetOf(mfa.MayKnow, mfa.MayAuthenticate) {
		t.Errorf("authenticate permits %s", p)
	}
}

// A token that authenticates does so for one application of kind api.
func TestTokenOfAnApplication(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for name, kind := range map[string]string{"shop": "api", "vpn": "web"} {
		if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: &name, Kind: &kind}); err != nil {
			t.Fatal(err)
		}
	}
	auth := []string{admin.ScopeAuthenticate}
	for name, q := range map[string]admin.APITokenRequest{
		"no application":    {Scopes: auth},
		"none of that":      {Scopes: auth, Application: "nonsense"},
		"another kind":      {Scopes: auth, Application: "vpn"},
		"without the scope": {Scopes: []string{admin.ScopeRead}, Application: "shop"},
	} {
		q.Name, q.Seconds = "x", 3600
		if _, err := r.CreateAPIToken(ctx, "root", q); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	made, err := r.CreateAPIToken(ctx, "root", admin.APITokenRequest{Name: "till", Scopes: auth, Application: "shop", Seconds: 3600})
	if err != nil || made.Application != "shop" {
		t.Fatalf("%+v, %v", made, err)
	}
	shop, _ := r.Applications.ApplicationByName("shop")
	if c, err := r.TokenCaller(made.Token.Text); err != nil || c.Application != shop.ID || !c.Can(mfa.MayAuthenticate) || c.Can(mfa.MayReadUsers) {
		t.Errorf("%+v, %v", c, err)
	}
	if err := r.RemoveApplication(ctx, "root", "shop"); err != nil {
		t.Fatal(err)
	}
	if list, _ := r.ListAPITokens(ctx); list.APITokens[0].Application != "" {
		t.Errorf("of an application that is gone: %+v", list)
	}
}

// The last use is written down, now and then.
func TestTokenUse(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	made, err := r.CreateAPIToken(ctx, "root", admin.APITokenRequest{Name: "ci", Scopes: []string{"read"}, Seconds: 7200})
	if err != nil {
		t.Fatal(err)
	}
	use := func(at time.Time) *time.Time {
		t.Helper()
		r.now = at
		if _, err := r.TokenCaller(made.Token.Text); err != nil {
			t.Fatal(err)
		}
		r.WriteUses(ctx)
		list, _ := r.ListAPITokens(ctx)
		return list.APITokens[0].Used
	}
	if list, _ := r.ListAPITokens(ctx); list.APITokens[0].Used != nil {
		t.Errorf("used before its first use: %v", list.APITokens[0].Used)
	}
	for _, step := range []struct{ at, want time.Time }{
		{noon.Add(time.Minute), noon.Add(time.Minute)},
		{noon.Add(10 * time.Minute), noon.Add(time.Minute)},
		{noon.Add(11 * time.Minute), noon.Add(11 * time.Minute)},
	} {
		if got := use(step.at); got == nil || !got.Equal(step.want) {
			t.Errorf("used at %s: %v", step.at, got)
		}
	}
}

// The console is for who holds a role; everything else asks for none.
func TestAdmits(t *testing.T) {
	r := newRig(t)
	adam, none := r.add(t, "adam"), r.add(t, "nora")
	if _, err := r.AddAdministrator(t.Context(), "test", admin.AdministratorChange{Login: ptr("adam"), Role: ptr("auditor")}); err != nil {
		t.Fatal(err)
	}
	console, portal := mfa.Application{Kind: mfa.KindWeb, Name: "console"}, mfa.Application{Kind: mfa.KindWeb, Name: "portal"}
	if err := errors.Join(r.Admits(console, adam.ID), r.Admits(portal, none.ID), r.Admits(mfa.Application{Kind: mfa.KindRADIUS, Name: "console"}, none.ID)); err != nil {
		t.Error(err)
	}
	if err := r.Admits(console, none.ID); !errors.Is(err, mfa.NoRole) {
		t.Errorf("without a role: %v", err)
	}
}
