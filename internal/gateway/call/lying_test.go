package call_test

import (
	"errors"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
)

// A trunk that takes a call and rings nobody is found out, long before a telephone would be
// given up, and another one may be tried; one whose telephone rings is waited for.
func TestTrunkThatLies(t *testing.T) {
	for _, tt := range []struct {
		name               string
		invited, cancelled []int
		want               mfa.Reason
		rang               bool
	}{
		{"trying for ever", []int{100}, []int{487}, mfa.GatewaySlow, false},
		{"and deaf to what takes it back", []int{100}, nil, mfa.GatewaySlow, false},
		{"it rings", []int{100, 180}, []int{487}, mfa.CallNoAnswer, true},
		{"it says what is heard while it rings", []int{100, 183}, []int{487}, mfa.CallNoAnswer, true},
		{"barred", []int{403}, nil, mfa.GatewayRefused, false},
		{"out of credit", []int{100, 402}, nil, mfa.GatewayNoCredit, false},
		{"declined", []int{100, 603}, nil, mfa.CallRejected, false},
		{"overloaded", []int{100, 503}, nil, mfa.GatewayDown, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tr := trunk(mfatest.Exchange(t, tt.invited, tt.cancelled...))
			tr.Answer, tr.Ring = 300*time.Millisecond, 1500*time.Millisecond
			r, err := place(t, tr, number, talk("42"))
			var why mfa.Reason
			if errors.As(err, &why); why != tt.want || r.Rang != tt.rang || r.Picked {
				t.Errorf("got %v, %+v; want %s", err, r, tt.want)
			}
		})
	}
}
