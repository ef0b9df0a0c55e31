package mfa

import "fmt"

// Assurance is what the proof of a second factor is worth to who would change factors with it
// (DESIGN law 9). The zero value is worth least.
type Assurance uint8

// The kinds of proof, the stronger the later.
const (
	AssuranceStopgap Assurance = iota // a way around a factor that is lost: a recovery code, a pass
	AssuranceMail                     // a mailbox, which may open by a password alone
	AssuranceFactor                   // something that the user has
)

// ErrWeakProof says that who asks has proven less in this session than what they would change is
// worth.
var ErrWeakProof = fmt.Errorf("what was proven is worth less than what would be changed: %w", ErrForbidden)

// Assurance returns what a proof by m is worth. A method that is not known here is worth least.
func (m MethodID) Assurance() Assurance {
	switch m {
	case MethodTOTP, MethodHOTP, MethodSMS, MethodCall, MethodPush, MethodPasskey:
		return AssuranceFactor
	case MethodEmail:
		return AssuranceMail
	}
	return AssuranceStopgap
}

// AssuranceOf returns what somebody must have proven to change what guards an account as a whole
// (password, PIN, recovery codes, phone number), of all the credentials that it has: the strongest
// of them, also one that does not serve now, and never a way around one.
func AssuranceOf(all []Credential) Assurance {
	need := AssuranceMail
	for _, c := range all {
		if c.Hold != CredentialUnproven {
			need = max(need, c.Method.Assurance())
		}
	}
	return need
}

// Proves refuses who has proven less than need in the session that they ask by. The error wraps
// ErrWeakProof.
func (c Caller) Proves(need Assurance) error {
	if c.Proven.Assurance() >= need {
		return nil
	}
	by := string(c.Proven)
	if by == "" {
		by = "nothing that is known"
	}
	return fmt.Errorf("%s: %w (this session was begun by %s): prove a factor first, one that there is or a new one", c.By, ErrWeakProof, by)
}
