package directory

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

func TestValidate(t *testing.T) {
	ca := mfatest.NewCA(t)
	tests := []struct {
		name   string
		change func(*mfa.Directory)
		want   string // setting named by the error; empty: good
	}{
		{"ldaps", func(*mfa.Directory) {}, ""},
		{"StartTLS", func(d *mfa.Directory) { d.URLs, d.StartTLS = []string{"ldap://dc1.corp.example:3389"}, true }, ""},
		{"loopback", func(d *mfa.Directory) {
			d.URLs = []string{"ldap://127.0.0.9", "ldap://[::1]:389", "ldap://localhost", "ldap://[::ffff:127.0.0.1]"}
		}, ""},
		{"anonymous search", func(d *mfa.Directory) { d.BindDN, d.BindPassword = "", secret.Text{} }, ""},
		{"direct bind", func(d *mfa.Directory) {
			*d = mfa.Directory{Name: "corp", Kind: "ldap", URLs: d.URLs, UPNSuffix: "corp.example"}
		}, ""},
		{"authority", func(d *mfa.Directory) { d.CAs = ca.PEM }, ""},
		{"zero", func(d *mfa.Directory) { *d = mfa.Directory{} }, "name"},
		{"name of no directory", func(d *mfa.Directory) { d.Name = "local" }, "name"},
		{"kind", func(d *mfa.Directory) { d.Kind = "" }, "kind"},
		{"no URL", func(d *mfa.Directory) { d.URLs = nil }, "urls"},
		{"too many URLs", func(d *mfa.Directory) { d.URLs = slices.Repeat(d.URLs, 9) }, "urls"},
		{"in the clear", func(d *mfa.Directory) { d.URLs = []string{"ldaps://a.example", "ldap://dc1.corp.example"} }, "in the clear: use ldaps://"},
		{"in the clear to something like loopback", func(d *mfa.Directory) { d.URLs = []string{"ldap://127.0.0.1.example"} }, "urls"},
		{"https", func(d *mfa.Directory) { d.URLs = []string{"https://dc1.corp.example"} }, "scheme"},
		{"unix socket", func(d *mfa.Directory) { d.URLs = []string{"ldapi:///"} }, "urls"},
		{"no scheme", func(d *mfa.Directory) { d.URLs = []string{"dc1.corp.example"} }, "urls"},
		{"no host", func(d *mfa.Directory) { d.URLs = []string{"ldaps://:636"} }, "urls"},
		{"base in the URL", func(d *mfa.Directory) { d.URLs = []string{"ldaps://dc1.corp.example/DC=corp"} }, "urls"},
		{"filter in the URL", func(d *mfa.Directory) { d.URLs = []string{"ldaps://dc1.corp.example/??sub"} }, "urls"},
		{"user in the URL", func(d *mfa.Directory) { d.URLs = []string{"ldaps://me@dc1.corp.example"} }, "urls"},
		{"port 0", func(d *mfa.Directory) { d.URLs = []string{"ldaps://dc1.corp.example:0"} }, "port"},
		{"port 65536", func(d *mfa.Directory) { d.URLs = []string{"ldaps://dc1.corp.example:65536"} }, "port"},
		{"colon", func(d *mfa.Directory) { d.URLs = []string{"ldaps://dc1.corp.example:"} }, "port"},
		{"no password", func(d *mfa.Directory) { d.BindPassword = secret.Text{} }, "bind_password"},
		{"no name", func(d *mfa.Directory) { d.BindDN = "" }, "bind_dn"},
		{"no base", func(d *mfa.Directory) { d.BaseDN = "" }, "base_dn"},
		{"base is no DN", func(d *mfa.Directory) { d.BaseDN = "corp.example" }, "base_dn"},
		{"no filter", func(d *mfa.Directory) { d.UserFilter = "" }, "user_filter"},
		{"filter without the user", func(d *mfa.Directory) { d.UserFilter = "(uid=*)" }, "user_filter"},
		{"direct bind and groups without a base", func(d *mfa.Directory) {
			*d = mfa.Directory{Name: "corp", Kind: "ldap", URLs: d.URLs, UPNSuffix: "corp.example", GroupAttr: "memberOf"}
		}, "base_dn"},
		{"attribute", func(d *mfa.Directory) { d.GroupAttr = "memberOf)" }, "group_attribute"},
		{"suffix", func(d *mfa.Directory) { d.UPNSuffix = "@corp.example" }, "upn_suffix"},
		{"authority that is none", func(d *mfa.Directory) { d.CAs = "-----BEGIN" }, "ca_pem"},
		{"negative time-out", func(d *mfa.Directory) { d.Timeout = -1 }, "timeout_seconds"},
		{"long time-out", func(d *mfa.Directory) { d.Timeout = time.Hour }, "timeout_seconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := corp("ldaps://dc1.corp.example")
			tt.change(&d)
			err := Validate(d)
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want none", err)
				}
				return
			}
			if !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want mfa.ErrInvalid with %q", err, tt.want)
			}
		})
	}
}

// What cannot be saved is not used either, should it be in the database.
func TestDirectoryThatIsNotValidIsNotUsed(t *testing.T) {
	d := corp("ldap://192.0.2.1")
	c, _, _ := checker(t, d)
	if _, err := check(t.Context(), c, alice, "r1ght"); !errors.Is(err, mfa.ErrInvalid) || isReason(err) {
		t.Errorf("got %v, want mfa.ErrInvalid", err)
	}
}
