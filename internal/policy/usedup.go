package policy

import (
	"math/bits"
	"slices"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// UsedUp reports whether c is a pass or a list of recovery codes of which none is left.
func UsedUp(c mfa.Credential, r settlement.Record) bool {
	if c.Method != mfa.MethodTAP && c.Method != mfa.MethodRecovery {
		return false
	}
	return bits.OnesCount64(r.Floors.Of(c.ID).Spent) >= max(c.Uses, 1)
}

// Lasting returns usable without what is used up, so that nobody is asked for that; all of it if
// nothing else is there. What is used up stays something that an answer is compared with: it is
// recorded as what it is.
func Lasting(usable []mfa.Credential, r settlement.Record) []mfa.Credential {
	over := 0
	for _, c := range usable {
		if UsedUp(c, r) {
			over++
		}
	}
	if over == 0 || over == len(usable) {
		return usable
	}
	return slices.DeleteFunc(slices.Clone(usable), func(c mfa.Credential) bool { return UsedUp(c, r) })
}
