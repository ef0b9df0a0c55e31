package mfa

import "strings"

// InvitedBy is how the reason of a pass begins that is an invitation into the portal.
const InvitedBy = "invitation by "

// Invitation reports whether c is a pass that lets a user into the portal once, to enrol.
func (c Credential) Invitation() bool {
	return c.Method == MethodTAP && len(c.Scope) == 1 && strings.HasPrefix(c.Why, InvitedBy)
}

// UnderWay reports whether c is an enrolment that has begun and is not proven: a code for a device
// that is to come, a number, an address, a key or a passkey that nobody has shown, an invitation. A
// block of the user voids all of them.
func (c Credential) UnderWay() bool { return c.Hold == CredentialUnproven || c.Invitation() }
