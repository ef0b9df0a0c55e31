package admin

import "countersign/internal/mfa"

// The scopes of API tokens: names for sets of permissions. No scope makes a token an owner.
const (
	ScopeRead         = "read"         // see everything
	ScopeWrite        = "write"        // change everything that an administrator may
	ScopeUsersRead    = "users:read"   // see users and their credentials
	ScopeUsersWrite   = "users:write"  // see and change users and their credentials
	ScopeEnrol        = "enrol"        // see users; give them tokens and recovery codes, and take none away
	ScopeAudit        = "audit:read"   // see attempts and acts
	ScopeStatus       = "status:read"  // see servers and what works
	ScopeAuthenticate = "authenticate" // ask for sign-ins as one application of kind api
)

// Scopes returns every scope that a token can have.
func Scopes() []string {
	return []string{ScopeRead, ScopeWrite, ScopeUsersRead, ScopeUsersWrite, ScopeEnrol, ScopeAudit, ScopeStatus, ScopeAuthenticate}
}

// ScopePermissions returns what a scope permits; of a scope that is not known, nothing.
func ScopePermissions(scope string) mfa.Permissions {
	known := mfa.SetOf(mfa.MayKnow)
	helpDesk := mfa.SetOf(mfa.HelpDeskPermissions()...)
	switch scope {
	case ScopeRead:
		return mfa.RoleAuditor.Permissions()
	case ScopeWrite:
		return known | helpDesk | mfa.SetOf(mfa.MayChangeScope, mfa.MayChangeSettings)
	case ScopeUsersRead:
		return known | mfa.SetOf(mfa.MayReadUsers)
	case ScopeUsersWrite:
		return known | helpDesk | mfa.SetOf(mfa.MayReadUsers, mfa.MayChangeScope)
	case ScopeEnrol:
		return known | mfa.SetOf(mfa.MayReadUsers, mfa.MayGiveToken)
	case ScopeAudit:
		return known | mfa.SetOf(mfa.MayReadAudit)
	case ScopeStatus:
		return known | mfa.SetOf(mfa.MayReadStatus)
	case ScopeAuthenticate:
		return known | mfa.SetOf(mfa.MayAuthenticate)
	}
	return 0
}
