package mfa

import "time"

// Handle is what a challenge carries from one leg to the next. It travels sealed under
// a group key, so that any server of the group can finish the attempt.
type Handle struct {
	Attempt     AttemptID
	Application ApplicationID
	User        UserID       // empty: whoever answers says who they are
	Nonce       uint64       // spent by the first answer, right or wrong
	Started     time.Time    // of the attempt, whole milliseconds
	Expires     time.Time    // whole seconds
	Epoch       uint64       // of the database when it was sealed
	Credential  CredentialID // that was asked for, and that State is of; empty: any of those whose codes are typed
	State       []byte       // of the method's Step, at most 64 bytes
	Wrong       uint8        // wrong answers so far within this attempt
	Source      string       // end user's station as the first leg told it, an address as netip writes it; "": untold, or too long
	Called      bool         // a method that asks once (MethodID.Once) has asked already
	Groups      []uint64     // digests of the directory groups that reply rules name (package policy)
}
