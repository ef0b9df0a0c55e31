package policy

import "countersign/internal/mfa"

// Ways returns those of usable, which are in order (see Usable), that a user can be asked for: the
// preferred method first, mail that is recovery alone last, and one credential for all that need
// nothing sent, because any of their codes is an answer. a is the
// application as r leaves it, and can says which methods its front-end can carry here.
func (r Ruling) Ways(a mfa.Application, u mfa.User, usable []mfa.Credential, can func(mfa.MethodID) bool) []mfa.Credential {
	var list, recovery []mfa.Credential
	typed, passkey := false, false
	waiting := map[mfa.MethodID]bool{}
	for _, c := range r.Prefer(u, usable) {
		switch {
		case !can(c.Method):
		case c.Method.Waits() && waiting[c.Method]: // all of a user's are asked at once
		case c.Method.Waits():
			waiting[c.Method] = true
			list = append(list, c)
		case OnlyRecovery(a, c):
			recovery = append(recovery, c)
		case c.Method == mfa.MethodPasskey && passkey:
		case c.Method == mfa.MethodPasskey:
			passkey = true
			list = append(list, c)
		case c.Method.Sends():
			list = append(list, c)
		case !typed:
			typed = true
			list = append(list, c)
		}
	}
	list = append(list, recovery...)
	if !r.Fallback && len(list) > 1 {
		list = list[:1]
	}
	return list
}
