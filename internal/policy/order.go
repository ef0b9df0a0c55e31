package policy

import (
	"cmp"
	"slices"

	"countersign/internal/mfa"
)

// defaultOrder is in which order users are asked where nobody has said one: what is safest against
// a page that poses as ours, then codes that cost nothing and need no network, then what somebody
// pays for, then what is a way around a lost factor. A method that is not here comes last.
var defaultOrder = []mfa.MethodID{mfa.MethodPasskey, mfa.MethodPush, mfa.MethodTOTP, mfa.MethodHOTP, mfa.MethodCall, mfa.MethodSMS, mfa.MethodEmail,
	mfa.MethodTAP, mfa.MethodRecovery}

// inOrder sorts creds by a's order of methods, or by the default one if a names none. Of one
// method the oldest comes first, and of equally old ones the one with the lower id.
func inOrder(a mfa.Application, creds []mfa.Credential) {
	if len(creds) < 2 {
		return
	}
	order := a.Methods
	if len(order) == 0 {
		order = defaultOrder
	}
	slices.SortFunc(creds, func(x, y mfa.Credential) int {
		return cmp.Or(place(order, x.Method)-place(order, y.Method), x.Created.Compare(y.Created), cmp.Compare(x.ID, y.ID))
	})
}

// place is m's position in order, or one behind all of it.
func place(order []mfa.MethodID, m mfa.MethodID) int {
	if i := slices.Index(order, m); i >= 0 {
		return i
	}
	return len(order)
}
