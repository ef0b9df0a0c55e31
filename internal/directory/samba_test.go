package directory

import (
	"errors"
	"slices"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

func TestActiveDirectory(t *testing.T) {
	ad := mfatest.SambaAD(t)
	direct := mfa.Directory{
		Name: "corp", Kind: "ldap", URLs: []string{ad.TLSURL}, CAs: ad.CA.PEM, UPNSuffix: ad.UPNSuffix,
		BaseDN: ad.BaseDN, UserFilter: "(|(sAMAccountName={user})(userPrincipalName={login}))", GroupAttr: "memberOf",
	}
	searched := direct
	searched.UPNSuffix, searched.URLs, searched.StartTLS = "", []string{ad.URL}, true
	searched.BindDN, searched.BindPassword = ad.Administrator, secret.FromString(ad.AdminPassword)

	type row struct {
		login, password string
		want            error
	}
	tests := []row{
		{"alice", ad.Password, nil},
		{"alice@rig.test", ad.Password, nil},
		{`rig\alice`, ad.Password, nil},
		{"alice", "wrong", mfa.WrongPassword},
		{"disabled", ad.Password, mfa.AccountDisabled},
		{"expired", ad.Password, mfa.AccountExpired},
		{"mustchange", ad.Password, mfa.PasswordMustChange},
		{"mustchange", "wrong", mfa.WrongPassword},
	}
	lock := []row{
		{"locked", "wrong", mfa.WrongPassword},
		{"locked", "wrong2", mfa.WrongPassword},
		{"locked", "wrong3", mfa.WrongPassword},
		{"locked", ad.Password, mfa.AccountLockedInDirectory},
	}
	kinds := []struct {
		name string
		d    mfa.Directory
		rows []row
	}{
		{"direct", direct, append(slices.Clone(tests), row{"nobody", "x", mfa.WrongPassword})},
		{"searched", searched, slices.Concat(tests, lock, []row{{"nobody", "x", mfa.NotInDirectory}})},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, _, _ := checker(t, k.d)
			for _, tt := range k.rows {
				groups, err := check(t.Context(), c, mfa.User{ID: "u", Login: tt.login}, tt.password)
				if !errors.Is(err, tt.want) {
					t.Errorf("%s with %q: got %v, want %v", tt.login, tt.password, err, tt.want)
				}
				if want := []string{ad.DN("vpn"), "vpn"}; tt.want == nil && !slices.Equal(groups, want) {
					t.Errorf("%s: groups %q, want %q", tt.login, groups, want)
				}
			}
			// sAMAccountName and principal name are two names of one user, whichever they typed.
			for _, typed := range []string{"alice", "alice@rig.test"} {
				_, names, err := c.CheckStranger(t.Context(), "corp", typed, secret.FromString(ad.Password))
				if err != nil || !slices.Contains(names, "alice") || !slices.Contains(names, "alice@rig.test") {
					t.Errorf("stranger %s: names %q, %v; want both names", typed, names, err)
				}
			}
			if _, _, err := c.CheckStranger(t.Context(), "corp", "alice", secret.FromString("wrong")); !errors.Is(err, mfa.WrongPassword) {
				t.Errorf("stranger with a wrong password: got %v", err)
			}
			steps := Test(t.Context(), k.d, "alice", secret.FromString(ad.Password))
			for _, s := range steps {
				if !s.OK {
					t.Errorf("step by step: %+v", s)
				}
			}
			if s := steps[len(steps)-1]; s.Name != "groups" {
				t.Errorf("the last step is %q, want groups", s.Name)
			}
		})
	}
}
