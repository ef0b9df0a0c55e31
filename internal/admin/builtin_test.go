package admin_test

import (
	"errors"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// builtIns is a staffed rig with the applications of the pages.
func builtIns(t *testing.T) *rig {
	t.Helper()
	r := staffed(t)
	for _, name := range []string{admin.ConsoleApplication, admin.PortalApplication, admin.InvitationApplication} {
		if _, err := r.BuiltIn(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// Whoever asks, owners and root included: the applications of the pages keep their names, stay,
// and check a password; that of invitations takes an invitation and nothing else.
func TestBuiltInsKeepTheirFactors(t *testing.T) {
	r, ctx := builtIns(t), t.Context()
	d := r.As(mfa.Administrator{Role: mfa.RoleOwner}.Caller("olga (console)"))
	for name, c := range map[string]admin.ApplicationChange{
		"console":    {FirstFactor: ptr("none"), Methods: &[]string{"email"}},
		"portal":     {FirstFactor: ptr("none")},
		"invitation": {Methods: &[]string{"totp", "email"}},
	} {
		for _, c := range []admin.ApplicationChange{c, {Name: ptr(name + "-old")}} {
			if _, err := d.SetApplication(ctx, name, c); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("%s set %+v: %v", name, c, err)
			}
			if _, err := r.SetApplication(ctx, "root", name, c); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("%s set %+v by root: %v", name, c, err)
			}
		}
		if err := d.RemoveApplication(ctx, name); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s removed: %v", name, err)
		}
	}
	other := admin.ApplicationChange{Name: ptr("shop"), Kind: ptr("web")}
	if _, err := d.AddApplication(ctx, other); err != nil {
		t.Fatal(err)
	}
	if _, err := d.SetApplication(ctx, "shop", admin.ApplicationChange{Name: ptr("console")}); !errors.Is(err, mfa.ErrInvalid) && !errors.Is(err, mfa.ErrExists) {
		t.Errorf("another one takes the name: %v", err)
	}
	if _, err := d.SetApplication(ctx, "portal", admin.ApplicationChange{Disabled: ptr(true)}); err != nil {
		t.Errorf("the portal is shut: %v", err)
	}
}

// The pages' applications can be set before anybody has opened a page, and by no other than may set
// them afterwards.
func TestBuiltInsAreSetBeforeTheirFirstUse(t *testing.T) {
	r, ctx := staffed(t), t.Context()
	low := r.As(mfa.Administrator{Role: mfa.RoleAdministrator}.Caller("adam (console)"))
	for _, name := range []string{"console", "portal"} {
		if _, err := low.SetApplication(ctx, name, admin.ApplicationChange{Methods: &[]string{"email"}}); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("an administrator sets %s: %v", name, err)
		}
		if _, err := r.Application(ctx, name); !errors.Is(err, mfa.ErrNotFound) {
			t.Errorf("%s was made by who may not set it: %v", name, err)
		}
	}
	a, err := r.SetApplication(ctx, "root", "console", admin.ApplicationChange{Methods: &[]string{"totp", "recovery"}})
	if err != nil || a.Kind != mfa.KindWeb || len(a.Methods) != 2 {
		t.Errorf("console: %+v, %v", a, err)
	}
	if a, err = r.SetApplication(ctx, "root", "portal", admin.ApplicationChange{Disabled: ptr(true)}); err != nil || !a.Disabled {
		t.Errorf("portal: %+v, %v", a, err)
	}
	if _, err := r.SetApplication(ctx, "root", "shop", admin.ApplicationChange{Disabled: ptr(true)}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("one that there is none of: %v", err)
	}
}

// Before a group has them, nobody makes an application of such a name.
func TestNobodyTakesABuiltInName(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, c := range []admin.ApplicationChange{
		{Name: ptr("console"), Kind: ptr("web"), FirstFactor: ptr("none")},
		{Name: ptr("portal"), Kind: ptr("radius"), Addresses: &[]string{"10.0.0.1"}, Secret: secret.NewWire("long enough")},
	} {
		if _, err := r.AddApplication(ctx, "root", c); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// What leads to a page is changed by owners: the application, and what checks the passwords of
// owners there. By the portal as well somebody would become one: in it owners enrol.
func TestPagesAreOwners(t *testing.T) {
	for _, page := range []string{admin.ConsoleApplication, admin.PortalApplication} {
		for name, by := range map[string]admin.Caller{"administrator": mfa.Administrator{Role: mfa.RoleAdministrator}.Caller("adam (console)"),
			"token": {By: "token t", Permissions: admin.ScopePermissions(admin.ScopeWrite), Reach: mfa.Reach{All: true}}} {
			t.Run(page+" by "+name, func(t *testing.T) { pageIsOwners(t, page, by) })
		}
	}
}

func pageIsOwners(t *testing.T, page string, by admin.Caller) {
	t.Helper()
	r, ctx := builtIns(t), t.Context()
	corp := admin.DirectoryChange{Name: ptr("corp"), URLs: &[]string{"ldaps://dc.corp.example"}, BaseDN: ptr("DC=corp"), BindDN: ptr("CN=service,DC=corp"), BindPassword: secret.NewWire("bind")}
	hq := corp
	hq.Name = ptr("hq")
	for _, c := range []admin.DirectoryChange{corp, hq} {
		if _, err := r.AddDirectory(ctx, "test", c); err != nil {
			t.Fatal(err)
		}
	}
	owner := r.As(mfa.Administrator{Role: mfa.RoleOwner}.Caller("olga (console)"))
	mine := admin.DirectoryChange{BaseDN: ptr("DC=evil")}
	d := r.As(by)
	for _, c := range []admin.ApplicationChange{{FirstFactor: ptr("corp")}, {Methods: &[]string{"email"}}, {Disabled: ptr(true)}} {
		if _, err := d.SetApplication(ctx, page, c); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("%s set %+v: %v", page, c, err)
		}
	}
	if err := d.RemoveApplication(ctx, page); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("%s removed: %v", page, err)
	}
	if _, err := d.SetApplication(ctx, admin.InvitationApplication, admin.ApplicationChange{Disabled: ptr(false)}); err != nil {
		t.Errorf("invitations are theirs: %v", err)
	}
	if _, err := d.SetDirectory(ctx, "corp", admin.DirectoryChange{BaseDN: ptr("DC=corp")}); err != nil {
		t.Errorf("a directory that the console does not ask is theirs: %v", err)
	}
	if _, err := owner.SetApplication(ctx, page, admin.ApplicationChange{FirstFactor: ptr("corp")}); err != nil {
		t.Fatal(err)
	}
	if _, err := owner.SetUser(ctx, "olga", admin.UserChange{Directory: ptr("hq")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"corp", "hq"} {
		if _, err := d.SetDirectory(ctx, name, mine); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("directory %s: %v", name, err)
		}
		if err := d.RemoveDirectory(ctx, name); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("directory %s removed: %v", name, err)
		}
	}
}

// An application of the pages that was set to check no password, before that was refused, lets
// nobody in.
func TestPageWithoutPassword(t *testing.T) {
	r, ctx := builtIns(t), t.Context()
	for _, name := range []string{admin.ConsoleApplication, admin.PortalApplication} {
		a, err := r.Page(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.db.UpdateApplication(ctx, a.ID, func(a *mfa.Application) error { a.FirstFactor = mfa.FirstFactorNone; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Page(ctx, name); !errors.Is(err, admin.ErrOneFactor) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
