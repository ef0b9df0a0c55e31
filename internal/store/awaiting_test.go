package store

import "testing"

// One byte of a packed credential tells whether it may be a pass that awaits its approval.
func TestAwaitingIsSeenInOneByte(t *testing.T) {
	for _, tt := range []struct {
		data string
		want bool
	}{
		{packCred(credRecord{Method: "tap", Awaits: true, Issuer: "helen"}), true},
		{packCred(credRecord{Method: "tap", Awaits: true, Disabled: true, Drawn: true, Must: true}), true},
		{packCred(credRecord{Method: "tap", Issuer: "helen", Approver: "ida"}), false},
		{packCred(credRecord{Method: "totp", Disabled: true, Drawn: true, Must: true}), false},
		{`{"v":1}`, true},
		{"", false},
	} {
		if got := mayAwait(tt.data); got != tt.want {
			t.Errorf("%q: %t, want %t", tt.data, got, tt.want)
		}
	}
}
