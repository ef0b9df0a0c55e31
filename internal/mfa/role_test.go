package mfa

import (
	"errors"
	"testing"
)

func TestPermissionNames(t *testing.T) {
	seen := map[string]bool{}
	for p := PermissionNone + 1; p < permissionEnd; p++ {
		if got, ok := ParsePermission(p.String()); !ok || got != p || seen[p.String()] {
			t.Errorf("%d is called %q, which reads as %d", p, p, got)
		}
		seen[p.String()] = true
	}
	for _, s := range []string{"", "none", "user", "permission_3"} {
		if p, ok := ParsePermission(s); ok {
			t.Errorf("%q reads as %s", s, p)
		}
	}
	if n := len(HelpDeskPermissions()); n != 19 {
		t.Errorf("a help desk can be given %d permissions", n)
	}
	for r := RoleNone; r < roleEnd; r++ {
		if got, ok := ParseRole(r.String()); ok != (r != RoleNone) || ok && got != r {
			t.Errorf("%d is called %q, which reads as %d", r, r, got)
		}
	}
}

func TestZeroCallerMayNothing(t *testing.T) {
	for p := PermissionNone; p < permissionEnd; p++ {
		if (Caller{}).Can(p) || (Caller{}).CanUser(p, User{}, RoleNone) || (Administrator{}).Caller("x").Can(p) {
			t.Errorf("nobody may %s", p)
		}
	}
	if Owner("root").Can(PermissionNone) {
		t.Error("an owner has the permission that is none")
	}
	if (Reach{}).Includes(User{}) || (Reach{Directories: []string{""}}).Includes(User{}) {
		t.Error("no reach includes somebody")
	}
}

func TestRoles(t *testing.T) {
	for _, tt := range []struct {
		role Role
		can  []Permission
		not  []Permission
	}{
		{RoleOwner, []Permission{MayOwn, MayChangeSettings, MayBlock, MayReadAudit}, []Permission{MayAuthenticate}},
		{RoleAdministrator, []Permission{MayChangeSettings, MayChangeScope, MayAddUser, MayReadAudit}, []Permission{MayOwn, MayAuthenticate}},
		{RoleAuditor, []Permission{MayReadUsers, MayReadAudit, MayReadSettings, MayReadStatus}, []Permission{MayBlock, MayChangeSettings, MayTest, MayOwn}},
		{RoleHelpDesk, []Permission{MayReadUsers, MayReadStatus}, append(HelpDeskPermissions(), MayReadAudit, MayReadSettings, MayChangeScope, MayOwn)},
	} {
		c := Administrator{Role: tt.role}.Caller("x")
		for _, p := range tt.can {
			if !c.Can(p) {
				t.Errorf("%s lacks %s", tt.role, p)
			}
		}
		for _, p := range tt.not {
			if c.Can(p) {
				t.Errorf("%s has %s", tt.role, p)
			}
		}
	}
}

// Each of the 18 permissions holds on the users within reach, and alone.
func TestHelpDesk(t *testing.T) {
	inside, other := User{Tags: []string{"staff", "berlin"}}, User{Tags: []string{"paris"}, Directory: "corp"}
	for _, p := range HelpDeskPermissions() {
		c := Administrator{Role: RoleHelpDesk, Permissions: SetOf(p, MayOwn, MayReadAudit), Reach: Reach{Tags: []string{"berlin"}}}.Caller("helen")
		for _, q := range HelpDeskPermissions() {
			if got := c.CanUser(q, inside, RoleNone); got != (p == q) {
				t.Errorf("with %s: %s is %v", p, q, got)
			}
			if c.CanUser(q, other, RoleNone) {
				t.Errorf("with %s: %s on a user out of reach", p, q)
			}
		}
		if c.CanUser(p, inside, RoleHelpDesk) || c.CanUser(p, inside, RoleOwner) {
			t.Errorf("with %s: on an administrator", p)
		}
		if !c.CanUser(MayReadUsers, inside, RoleOwner) || c.CanUser(MayReadUsers, other, RoleNone) {
			t.Error("reads whom they may not, or not whom they may")
		}
		if c.Can(MayOwn) || c.Can(MayReadAudit) {
			t.Error("a help desk was given what is not for it")
		}
	}
	if !(Reach{Directories: []string{"corp"}}).Includes(other) {
		t.Error("a directory's user is out of its reach")
	}
}

// Who can give somebody a factor can sign in as them: nobody does so upwards.
func TestNobodyReachesUp(t *testing.T) {
	for caller := RoleNone; caller < roleEnd; caller++ {
		c := Caller{Role: caller, Permissions: RoleOwner.Permissions(), Reach: Reach{All: true}}
		for holds := RoleHelpDesk; holds < roleEnd; holds++ {
			want := caller > holds || caller == RoleOwner
			if got := c.CanUser(MayManageToken, User{}, holds); got != want {
				t.Errorf("%s on %s: %v", caller, holds, got)
			}
		}
	}
	if err := (Caller{}).Lacks(MayBlock); !errors.Is(err, ErrForbidden) {
		t.Error(err)
	}
}
