package policy

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Gate says why the user may not even try at now, or mfa.ReasonNone. It comes before the
// first factor, so that a blocked or locked user never reaches the directory. firstFactor
// says whether a password is to be checked: only then does a first-factor lock count, so
// that wrong passwords cannot lock out somebody who is answering a challenge.
func Gate(u mfa.User, r settlement.Record, firstFactor bool, now time.Time) mfa.Reason {
	switch {
	case u.State != mfa.StateProtected && u.State != mfa.StateExempt:
		return mfa.Denied
	case u.BlockedAt(now):
		return mfa.Blocked
	case r.Fails.LockedAt(now):
		return mfa.Locked
	case firstFactor && r.First.LockedAt(now):
		return mfa.FirstFactorLocked
	}
	return mfa.ReasonNone
}

// Second returns the limits of the second factor, over all methods.
func (s Settings) Second() settlement.Limits {
	return settlement.Limits{Tries: s.Tries, Lock: s.Lock.Duration()}
}

// First returns the limits of the first factor.
func (s Settings) First() settlement.Limits {
	return settlement.Limits{Tries: s.FirstTries, Lock: s.FirstLock.Duration()}
}

// ExemptSource reports whether source, as the client told it, is an address in one of
// the application's exempt networks. What is no address is in none.
func ExemptSource(a mfa.Application, source string) bool {
	if len(a.Exempt) == 0 {
		return false
	}
	return exemptAddr(a, SourceOf(source))
}

func exemptAddr(a mfa.Application, source netip.Addr) bool {
	return source.IsValid() && slices.ContainsFunc(a.Exempt, func(p netip.Prefix) bool { return p.Contains(source) })
}

// Usable returns those of the user's second factors that may serve for a at now, in the
// application's order of preference or, if it names no methods, in defaultOrder. If there are
// none, the reason says why.
func Usable(a mfa.Application, creds []mfa.Credential, now time.Time) ([]mfa.Credential, mfa.Reason) {
	var usable []mfa.Credential
	why := mfa.NoCredential
	for i, c := range creds {
		bad := SetAside(&a, &c, now)
		switch {
		case bad == mfa.NoCredential:
		case bad != mfa.ReasonNone:
			why = bad
		case len(creds) == 1 && !OnlyRecovery(a, c): // of most users; a credential is large
			return creds, mfa.ReasonNone
		default:
			if usable == nil {
				usable = make([]mfa.Credential, 0, len(creds)-i)
			}
			usable = append(usable, c)
		}
	}
	if len(usable) == 0 || !slices.ContainsFunc(usable, func(c mfa.Credential) bool { return !OnlyRecovery(a, c) }) {
		return nil, why
	}
	inOrder(a, usable)
	return usable, mfa.ReasonNone
}

// SetAside returns why c may not serve for a at now: NoCredential if its method never does there, ReasonNone
// if it may.
func SetAside(a *mfa.Application, c *mfa.Credential, now time.Time) mfa.Reason {
	switch {
	case c.Method.FirstFactor() || len(a.Methods) > 0 && !slices.Contains(a.Methods, c.Method):
		return mfa.NoCredential
	case c.Disabled:
		return mfa.CredentialDisabled
	case c.Hold != mfa.ReasonNone:
		return c.Hold
	case !c.Expires.IsZero() && !now.Before(c.Expires):
		return mfa.CredentialExpired
	case c.Awaits:
		return mfa.PassNotApproved
	case len(c.Scope) > 0 && !mfa.InScope(c.Scope, *a):
		return mfa.WrongScope
	}
	return mfa.ReasonNone
}

// Unusable returns those of the user's second factors that would serve for a, and do not at now: disabled, held, expired, or
// out of their scope.
func Unusable(a mfa.Application, creds []mfa.Credential, now time.Time) (aside []mfa.Credential) {
	for i := range creds {
		if why := SetAside(&a, &creds[i], now); why != mfa.ReasonNone && why != mfa.NoCredential {
			aside = append(aside, creds[i])
		}
	}
	return aside
}

// OnlyRecovery reports whether c is a way back for users who have lost another second factor,
// and none by itself: mail is, unless the application names it. Whoever reads a person's mail
// can often reset their password too.
func OnlyRecovery(a mfa.Application, c mfa.Credential) bool {
	return c.Method == mfa.MethodEmail && !slices.Contains(a.Methods, mfa.MethodEmail)
}

// MaxRuleGroups is how many different groups an application's reply rules may name: a
// handle has to carry them.
const MaxRuleGroups = 8

// Reply returns the attributes that a's rules add to an accept of a user with these
// tags, in these groups (as RuleGroups gives them).
func Reply(a mfa.Application, tags []string, groups []uint64) []mfa.ReplyAttribute {
	var out []mfa.ReplyAttribute
	for _, r := range a.Reply {
		if (r.Tag == "" || slices.Contains(tags, r.Tag)) && (r.Group == "" || slices.Contains(groups, groupDigest(r.Group))) {
			out = append(out, mfa.ReplyAttribute{Name: r.Attribute, Value: r.Value})
		}
	}
	return out
}

// RuleGroups returns the digests of those of the user's groups, as the directory told
// them, that a's reply rules name. Group names are compared without regard to case.
func RuleGroups(a mfa.Application, groups []string) []uint64 {
	var out []uint64
	for _, r := range a.Reply {
		if r.Group == "" || !slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(g, r.Group) }) {
			continue
		}
		if d := groupDigest(r.Group); !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// groupDigest is short enough for a handle and too long to be met by accident.
func groupDigest(group string) uint64 {
	d := sha256.Sum256([]byte(strings.ToLower(group)))
	return binary.BigEndian.Uint64(d[:])
}
