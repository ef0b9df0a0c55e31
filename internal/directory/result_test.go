package directory

import (
	"strings"
	"testing"

	"countersign/internal/mfa"
)

func TestADSubCodes(t *testing.T) {
	ad := func(data string) string {
		return "80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data " + data + ", v2580"
	}
	tests := []struct {
		diagnostic string
		want       mfa.Reason
	}{
		{ad("525"), mfa.NotInDirectory},
		{ad("52e"), mfa.WrongPassword},
		{ad("52E"), mfa.WrongPassword},
		{ad("530"), mfa.LogonNotAllowed},
		{ad("531"), mfa.LogonNotAllowed},
		{ad("532"), mfa.PasswordExpired},
		{ad("533"), mfa.AccountDisabled},
		{ad("701"), mfa.AccountExpired},
		{ad("773"), mfa.PasswordMustChange},
		{ad("775"), mfa.AccountLockedInDirectory},
		{ad("0"), mfa.WrongPassword},
		{ad(""), mfa.WrongPassword},
		{ad("1000000533"), mfa.WrongPassword},
		{ad("-533"), mfa.WrongPassword},
		{"", mfa.WrongPassword},
		{"invalid credentials", mfa.WrongPassword},
		{"data 533, v2580", mfa.WrongPassword},
		{"AcceptSecurityContext error, data 533", mfa.WrongPassword},
	}
	for _, tt := range tests {
		if got := credentialsReason(tt.diagnostic); got != tt.want {
			t.Errorf("%q: got %v, want %v", tt.diagnostic, got, tt.want)
		}
	}
}

func FuzzADSubCode(f *testing.F) {
	f.Add("80090308: LdapErr: DSID-0C09044E, comment: AcceptSecurityContext error, data 52e, v2580")
	f.Add("AcceptSecurityContext error, data ,")
	f.Add("AcceptSecurityContext error, data 1ffffffff,")
	f.Fuzz(func(t *testing.T, s string) {
		code, ok := adSubCode(s)
		if !ok && code != 0 && !strings.Contains(s, "data ") {
			t.Errorf("%q: %x", s, code)
		}
		if r := credentialsReason(s); r == mfa.ReasonNone || r.Accepts() {
			t.Errorf("%q: reason %v", s, r)
		}
	})
}
