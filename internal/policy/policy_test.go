package policy

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

var now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

func TestGate(t *testing.T) {
	good := mfa.User{State: mfa.StateProtected}
	tests := []struct {
		name  string
		user  mfa.User
		rec   settlement.Record
		first bool
		want  mfa.Reason
	}{
		{"good", good, settlement.Record{}, true, mfa.ReasonNone},
		{"zero user", mfa.User{}, settlement.Record{}, true, mfa.Denied},
		{"exempt", mfa.User{State: mfa.StateExempt}, settlement.Record{}, true, mfa.ReasonNone},
		{"blocked for ever", mfa.User{State: mfa.StateProtected, Block: &mfa.Block{}}, settlement.Record{}, true, mfa.Blocked},
		{"blocked until later", mfa.User{State: mfa.StateProtected, Block: &mfa.Block{Until: now.Add(1)}}, settlement.Record{}, true, mfa.Blocked},
		{"blocked until now", mfa.User{State: mfa.StateProtected, Block: &mfa.Block{Until: now}}, settlement.Record{}, true, mfa.ReasonNone},
		{"exempt and blocked", mfa.User{State: mfa.StateExempt, Block: &mfa.Block{}}, settlement.Record{}, true, mfa.Blocked},
		{"locked", good, settlement.Record{Fails: settlement.Count{Until: now.Add(1)}}, false, mfa.Locked},
		{"first factor locked", good, settlement.Record{First: settlement.Count{Until: now.Add(1)}}, true, mfa.FirstFactorLocked},
		{"first factor locked, not asked", good, settlement.Record{First: settlement.Count{Until: now.Add(1)}}, false, mfa.ReasonNone},
	}
	for _, tt := range tests {
		if got := Gate(tt.user, tt.rec, tt.first, now); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestUsable(t *testing.T) {
	cred := func(id string, m mfa.MethodID) mfa.Credential {
		return mfa.Credential{ID: mfa.CredentialID(id), Method: m}
	}
	totp, hotp, pass := cred("t", mfa.MethodTOTP), cred("h", mfa.MethodHOTP), cred("p", mfa.MethodPassword)
	off, old, scoped := totp, totp, totp
	off.Disabled = true
	old.Expires = now
	scoped.Scope = []string{"mail"}
	tests := []struct {
		name  string
		app   mfa.Application
		creds []mfa.Credential
		want  string
		why   mfa.Reason
	}{
		{"none", mfa.Application{}, nil, "", mfa.NoCredential},
		{"a password is no second factor", mfa.Application{}, []mfa.Credential{pass}, "", mfa.NoCredential},
		{"all", mfa.Application{}, []mfa.Credential{totp, pass, hotp}, "th", mfa.ReasonNone},
		{"in the application's order", mfa.Application{Methods: []mfa.MethodID{mfa.MethodHOTP, mfa.MethodTOTP}}, []mfa.Credential{totp, hotp}, "ht", mfa.ReasonNone},
		{"only allowed ones", mfa.Application{Methods: []mfa.MethodID{mfa.MethodHOTP}}, []mfa.Credential{totp}, "", mfa.NoCredential},
		{"disabled", mfa.Application{}, []mfa.Credential{off}, "", mfa.CredentialDisabled},
		{"expired", mfa.Application{}, []mfa.Credential{old}, "", mfa.CredentialExpired},
		{"wrong scope", mfa.Application{Name: "vpn"}, []mfa.Credential{scoped}, "", mfa.WrongScope},
		{"right scope", mfa.Application{Name: "mail"}, []mfa.Credential{scoped}, "t", mfa.ReasonNone},
	}
	for _, tt := range tests {
		got, why := Usable(tt.app, tt.creds, now)
		ids := ""
		for _, c := range got {
			ids += string(c.ID)
		}
		if ids != tt.want || why != tt.why {
			t.Errorf("%s: got %q %s, want %q %s", tt.name, ids, why, tt.want, tt.why)
		}
	}
}

func TestSplits(t *testing.T) {
	tests := []struct {
		name    string
		mode    mfa.Passcode
		first   bool
		typed   string
		lengths []int
		want    string // password|code readings
	}{
		{"no first factor", "", false, "123456", []int{6}, "|123456"},
		{"no first factor, nothing", "", false, "", []int{6}, "|"},
		{"prompt", mfa.PasscodePrompt, true, "pw123456", []int{6}, "pw123456|"},
		{"zero mode prompts", "", true, "pw123456", []int{6}, "pw123456|"},
		{"append", mfa.PasscodeAppend, true, "pw123456", []int{6}, "pw|123456"},
		{"append, two lengths", mfa.PasscodeAppend, true, "pw12345678", []int{6, 8, 6}, "pw|12345678 pw12|345678"},
		{"append, too short", mfa.PasscodeAppend, true, "123456", []int{6}, ""},
		{"append, no digits", mfa.PasscodeAppend, true, "password", []int{6}, ""},
		{"append, recovery code", mfa.PasscodeAppend, true, "pwabcde-fghjk", []int{6, 11}, "pw|abcde-fghjk"},
		{"either", mfa.PasscodeEither, true, "pw123456", []int{6}, "pw|123456 pw123456|"},
		{"either, no code", mfa.PasscodeEither, true, "pw", []int{6}, "pw|"},
	}
	for _, tt := range tests {
		var got []string
		for _, s := range Splits(tt.mode, tt.first, secret.FromString(tt.typed), tt.lengths) {
			got = append(got, fmt.Sprintf("%s|%s", s.Password.Expose(), s.Code.Expose()))
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, g, tt.want)
		}
	}
}

func TestReplyRules(t *testing.T) {
	app := mfa.Application{Reply: []mfa.ReplyRule{
		{Attribute: "Session-Timeout", Value: "3600"},
		{Tag: "admin", Attribute: "Class", Value: "admins"},
		{Group: "VPN", Attribute: "Filter-Id", Value: "vpn"},
		{Group: "VPN", Tag: "admin", Attribute: "Filter-Id", Value: "vpn-admin"},
	}}
	groups := RuleGroups(app, []string{"vpn", "printers"})
	if len(groups) != 1 {
		t.Fatalf("RuleGroups: %v, want the one that rules name", groups)
	}
	tests := []struct {
		name   string
		tags   []string
		groups []uint64
		want   string
	}{
		{"nobody's", nil, nil, "3600"},
		{"tag", []string{"admin"}, nil, "3600 admins"},
		{"group", nil, groups, "3600 vpn"},
		{"both", []string{"admin"}, groups, "3600 admins vpn vpn-admin"},
	}
	for _, tt := range tests {
		var got []string
		for _, r := range Reply(app, tt.tags, tt.groups) {
			got = append(got, r.Value)
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, g, tt.want)
		}
	}
}

func TestExemptSource(t *testing.T) {
	app := mfa.Application{Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}}
	for source, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "2001:db8::1": true, "11.0.0.1": false,
		"": false, "aa-bb-cc-dd-ee-ff": false, "10.1.2.3:80": false, "10.1.2.3 ": false} {
		if got := ExemptSource(app, source); got != want {
			t.Errorf("%q: %v, want %v", source, got, want)
		}
	}
}

func TestSettingsCheck(t *testing.T) {
	if err := Defaults().Check(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	v := reflect.ValueOf(Defaults())
	for i := range v.NumField() {
		if v.Field(i).Kind() != reflect.Int {
			continue
		}
		for _, bad := range []int64{-1, 1 << 40} {
			s := Defaults()
			reflect.ValueOf(&s).Elem().Field(i).SetInt(bad)
			if s.Check() == nil {
				t.Errorf("%s = %d was accepted", v.Type().Field(i).Name, bad)
			}
		}
	}
}
