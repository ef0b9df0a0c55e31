package mfa

import (
	"fmt"
	"math/bits"
	"strings"
)

// Permission is one thing that an administrator or a program may be allowed. The zero value
// is none: nobody has it.
type Permission uint8

// The permissions. The first 19 are about single users, and what a help desk can be
// given: those of the original's portal administrators, and the verification of callers. A permission whose feature is
// not there yet permits nothing.
const (
	PermissionNone Permission = iota

	MayAddUser         // make a user
	MayIssuePass       // one-time bypass: a temporary access pass
	MayChoosePassLife  // for longer, or more often, than by default
	MayChangeMethod    // recovery codes
	MayChangeMode      // how a method asks
	MayChangePhone     // phone number
	MayChangePassword  // local password or PIN
	MayChangeLanguage  // language
	MayChangeInfo      // login, aliases, name, mail address
	MayManageToken     // totp, hotp, passkey: add, prove, resynchronise, switch, remove
	MayChangeState     // protected, exempt, denied
	MayBlock           // block, unblock, unlock
	MayRemoveUser      // remove a user
	MayTest            // test a sign-in
	MayActivateApp     // admit a phone app
	MayDeactivateApp   // take it away
	MayVerifyQuestions // see answers to security questions
	MayReceiveNotices  // be told of fraud and locks
	MayVerifyCaller    // send a code to who is on the phone, and learn whether they have it

	MayReadUsers      // users and their credentials, never a secret
	MayReadAudit      // attempts and acts
	MayReadStatus     // servers, and what works
	MayReadSettings   // applications, directories, policy, tokens, administrators
	MayChangeScope    // tags and directory of a user, by which help desks are limited; import
	MayChangeSettings // applications, directories, policy, keys, verbosity; revoke tokens
	MayOwn            // servers, backups, new tokens, administrators
	MayAuthenticate   // ask for sign-ins as an application of kind api
	MayKnow           // what everybody may who is known: the description of the API
	MayGiveToken      // totp, hotp, passkey, recovery codes: add, prove, resynchronise; not switch, not remove

	permissionEnd
)

var permissionNames = [permissionEnd]string{
	"none", "user.add", "pass.issue", "pass.lifetime", "method.change", "method.mode", "user.phone", "user.password",
	"user.language", "user.info", "token.manage", "user.state", "user.block", "user.remove", "user.test", "app.activate",
	"app.deactivate", "questions.verify", "notices.receive", "caller.verify", "user.read", "audit.read", "status.read", "settings.read",
	"user.scope", "settings.change", "own", "authenticate", "known", "token.give",
}

// String returns the name used in CLI, API and trail: "user.block".
func (p Permission) String() string {
	if p < permissionEnd {
		return permissionNames[p]
	}
	return fmt.Sprintf("permission_%d", uint8(p))
}

// ParsePermission reads a permission's name.
func ParsePermission(s string) (Permission, bool) {
	for i, n := range permissionNames {
		if n == s && i != 0 {
			return Permission(i), true
		}
	}
	return PermissionNone, false
}

// HelpDeskPermissions returns those that a help desk can be given, each about single users.
func HelpDeskPermissions() []Permission {
	return Permissions(1<<(MayVerifyCaller+1) - 2).List()
}

// Permissions is a set. The zero value is empty.
type Permissions uint64

// SetOf returns the set of some permissions.
func SetOf(ps ...Permission) (s Permissions) {
	for _, p := range ps {
		if p != PermissionNone && p < permissionEnd {
			s |= 1 << p
		}
	}
	return s
}

// Has reports whether p is in s.
func (s Permissions) Has(p Permission) bool { return SetOf(p)&s != 0 }

// List returns what is in s, in the order of the constants.
func (s Permissions) List() []Permission {
	list := make([]Permission, 0, bits.OnesCount64(uint64(s)))
	for p := PermissionNone + 1; p < permissionEnd; p++ {
		if s.Has(p) {
			list = append(list, p)
		}
	}
	return list
}

// Names returns the names of what is in s.
func (s Permissions) Names() []string {
	names := []string{}
	for _, p := range s.List() {
		names = append(names, p.String())
	}
	return names
}

// String returns the names, separated by commas.
func (s Permissions) String() string { return strings.Join(s.Names(), ", ") }
