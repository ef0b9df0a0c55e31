package policy

import (
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Nobody is asked for a pass or for recovery codes of which none is left, if there is anything else.
func TestUsedUpIsNotAskedFor(t *testing.T) {
	pass := mfa.Credential{ID: "pass", Method: mfa.MethodTAP, Uses: 2}
	codes := mfa.Credential{ID: "codes", Method: mfa.MethodRecovery, Uses: 10}
	totp := mfa.Credential{ID: "totp", Method: mfa.MethodTOTP}
	for _, tt := range []struct {
		name        string
		pass, codes uint64 // uses spent, as bits
		creds       []mfa.Credential
		want        string
	}{
		{"fresh", 0, 0, []mfa.Credential{pass, codes, totp}, "pass codes totp"},
		{"one use is left", 0b1, 0, []mfa.Credential{pass, totp}, "pass totp"},
		{"none is left", 0b11, 0, []mfa.Credential{pass, totp}, "totp"},
		{"one code is left, the first", 0, 0b1111111110, []mfa.Credential{codes, totp}, "codes totp"},
		{"no code is left", 0, 0b1111111111, []mfa.Credential{codes, totp}, "totp"},
		{"nothing else is there", 0b11, 0, []mfa.Credential{pass}, "pass"},
		{"a pass without a number of uses is good once", 0b1, 0, []mfa.Credential{{ID: "pass", Method: mfa.MethodTAP}, totp}, "totp"},
	} {
		r := settlement.Record{}.Raise("pass", mfa.Floor{Spent: tt.pass}).Raise("codes", mfa.Floor{Spent: tt.codes})
		before := len(tt.creds)
		var got []string
		for _, c := range Lasting(tt.creds, r) {
			got = append(got, string(c.ID))
		}
		if g := strings.Join(got, " "); g != tt.want || len(tt.creds) != before || tt.creds[0].ID == "" {
			t.Errorf("%s: got %s, want %s", tt.name, g, tt.want)
		}
	}
}
