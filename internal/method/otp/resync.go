package otp

import (
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Resync finds the clock or the counter of a token again by two consecutive codes, both
// unspent: a time-based token may be 100 steps off, a counter-based one 1000 presses
// ahead. It returns the new floor, which spends both codes and is never lower than f; or
// mfa.WrongCode if they are no such pair, mfa.ReplayedCode if they are but one of them is
// spent, mfa.EmptyCode if one is missing; any other error is a fault of ours. With an
// error the floor is f. The caller settles it like a sign-in: a wrong pair is a wrong code.
func Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	one, two := strip(first), strip(second)
	switch {
	case first.Empty() || second.Empty():
		return f, mfa.EmptyCode
	case c.Method == mfa.MethodHOTP:
		return resyncHOTP(c, f, one, two)
	}
	return resyncTOTP(c, f, one, two, now)
}
