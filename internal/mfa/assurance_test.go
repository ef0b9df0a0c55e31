package mfa_test

import (
	"errors"
	"testing"

	"countersign/internal/mfa"
)

func TestProves(t *testing.T) {
	of := func(methods ...mfa.MethodID) (all []mfa.Credential) {
		for _, m := range methods {
			all = append(all, mfa.Credential{Method: m})
		}
		return all
	}
	unproven := append(of(mfa.MethodEmail), mfa.Credential{Method: mfa.MethodTOTP, Hold: mfa.CredentialUnproven})
	held := append(of(mfa.MethodEmail), mfa.Credential{Method: mfa.MethodHOTP, Hold: mfa.HeldAfterPromotion})
	for _, test := range []struct {
		name   string
		proven mfa.MethodID
		has    []mfa.Credential
		want   bool
	}{
		{"nothing proven, nothing there", "", nil, false},
		{"a method of later programs", "retina", nil, false},
		{"a password is no second factor", mfa.MethodPassword, nil, false},
		{"a pass, nothing there", mfa.MethodTAP, nil, false},
		{"a recovery code beside a mailbox", mfa.MethodRecovery, of(mfa.MethodEmail), false},
		{"a mailbox, all that there is", mfa.MethodEmail, of(mfa.MethodPassword, mfa.MethodRecovery, mfa.MethodEmail), true},
		{"a mailbox beside a token", mfa.MethodEmail, of(mfa.MethodEmail, mfa.MethodTOTP), false},
		{"a mailbox beside a token that was begun", mfa.MethodEmail, unproven, true},
		{"a mailbox beside a token that is held", mfa.MethodEmail, held, false},
		{"a token", mfa.MethodTOTP, of(mfa.MethodTOTP, mfa.MethodPasskey), true},
		{"a text message beside a passkey", mfa.MethodSMS, of(mfa.MethodPasskey), true},
	} {
		err := mfa.Caller{By: "alice (portal)", Proven: test.proven}.Proves(mfa.AssuranceOf(test.has))
		if (err == nil) != test.want || err != nil && (!errors.Is(err, mfa.ErrWeakProof) || !errors.Is(err, mfa.ErrForbidden)) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
