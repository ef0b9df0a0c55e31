package admin

import (
	"slices"
	"time"

	"countersign/internal/mfa"
)

// NoFactor selects users whom no second factor serves.
const NoFactor = "none"

// Factors are the methods that are second factors.
func Factors() []string {
	return []string{string(mfa.MethodTOTP), string(mfa.MethodHOTP), string(mfa.MethodSMS), string(mfa.MethodEmail), string(mfa.MethodCall), string(mfa.MethodPush), string(mfa.MethodPasskey), string(mfa.MethodRecovery), string(mfa.MethodTAP)}
}

// serves reports whether a credential is a second factor that can be used now.
func serves(c mfa.Credential, now time.Time) bool {
	return !c.Method.FirstFactor() && !c.Disabled && (c.Expires.IsZero() || now.Before(c.Expires))
}

// hasFactor reports whether one of the credentials is such a second factor.
func hasFactor(all []mfa.Credential, method string, now time.Time) bool {
	if method == NoFactor {
		return !slices.ContainsFunc(all, func(c mfa.Credential) bool { return serves(c, now) })
	}
	return slices.ContainsFunc(all, func(c mfa.Credential) bool { return string(c.Method) == method && serves(c, now) })
}
