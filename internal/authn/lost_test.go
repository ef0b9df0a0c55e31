package authn

import (
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// Which time steps a new epoch refuses.
func TestTimeStepsBeforePromotion(t *testing.T) {
	began := time.Unix(30_000*30+7, 0) // in step 30000
	totp := mfa.Credential{Method: mfa.MethodTOTP, Period: 30}
	young := totp
	young.Created = began.Add(time.Nanosecond)
	drawn := young
	drawn.Drawn = true
	a := &attempt{set: policy.Settings{Skew: 1}}
	for _, c := range []struct {
		name  string
		fork  mfa.Fork
		cred  mfa.Credential
		drift int
		step  uint64
		want  error
	}{
		{"no promotion", mfa.Fork{}, totp, 0, 30_000, nil},
		{"an old step", mfa.Fork{Time: began}, totp, 0, 29_999, mfa.BeforePromotion},
		{"the step of the promotion", mfa.Fork{Time: began, Held: true}, totp, 0, 30_000, mfa.BeforePromotion},
		{"accepted early", mfa.Fork{Time: began}, totp, 0, 30_001, mfa.BeforePromotion},
		{"the first that could not be", mfa.Fork{Time: began, Held: true}, totp, 0, 30_002, nil},
		{"of a token that is ahead", mfa.Fork{Time: began}, totp, 2, 30_003, mfa.BeforePromotion},
		{"and its first", mfa.Fork{Time: began}, totp, 2, 30_004, nil},
		{"of a token that is behind", mfa.Fork{Time: began}, totp, -2, 30_001, mfa.BeforePromotion},
		{"a token drawn since", mfa.Fork{Time: began, Held: true}, drawn, 0, 30_000, nil},
		{"a token given since", mfa.Fork{Time: began}, young, 0, 30_000, mfa.BeforePromotion},
		{"a pass made since", mfa.Fork{Time: began, Held: true}, mfa.Credential{Method: mfa.MethodTAP, Created: young.Created}, 0, 0, nil},
		{"a pass", mfa.Fork{Time: began, Held: true}, mfa.Credential{Method: mfa.MethodTAP}, 0, 0, mfa.HeldAfterPromotion},
		{"a recovery code, released", mfa.Fork{Time: began}, mfa.Credential{Method: mfa.MethodRecovery}, 0, 0, nil},
		{"a time-based token without a period", mfa.Fork{Time: began, Held: true}, mfa.Credential{Method: mfa.MethodTOTP}, 0, 50_000, mfa.HeldAfterPromotion},
	} {
		if got := lost(c.fork, a, c.cred, mfa.Floor{Drift: c.drift}, mfa.Floor{Next: c.step + 1}); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
