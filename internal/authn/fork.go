package authn

import (
	"time"

	"countersign/internal/mfa"
)

// lost returns why a right answer does not pass though: the database began anew from a copy
// that may lack what the lost master had accepted. Of codes that have a time those up to the
// beginning are meant, as far as they are accepted early; the others are held until the
// lost trails are merged or an owner releases them. Of a credential that was made since
// nothing can be lost, unless its key was given: that may have served another one before,
// here or at the lost master. nil: it passes.
func lost(f mfa.Fork, a *attempt, c mfa.Credential, before, after mfa.Floor) error {
	switch {
	case c.Method.Bound(): // handles of the epoch before are refused
		return nil
	case f.Time.IsZero() || c.Created.After(f.Time) && fresh(c):
		return nil
	case c.Method == mfa.MethodTOTP && c.Period > 0:
		if after.Next <= lastStep(f.Time, c, a.set.Skew, before.Drift)+1 {
			return mfa.BeforePromotion
		}
		return nil
	case f.Held:
		return mfa.HeldAfterPromotion
	}
	return nil
}

// fresh reports whether nobody can have used c's codes before c was made.
func fresh(c mfa.Credential) bool {
	return c.Drawn || c.Method != mfa.MethodTOTP && c.Method != mfa.MethodHOTP
}

// lastStep is the last time step of c that was accepted at t anywhere: a token may be ahead
// by its drift, and skew steps more.
func lastStep(t time.Time, c mfa.Credential, skew, drift int) uint64 {
	return uint64(t.Unix())/uint64(c.Period) + uint64(max(skew, 0)+max(drift, 0))
}
