package policy

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// In which order somebody is asked does not hang on the ids of their credentials, which are drawn.
func TestOrderOfWays(t *testing.T) {
	every := func(mfa.MethodID) bool { return true }
	coded := func(m mfa.MethodID) bool { return m != mfa.MethodPasskey && !m.Waits() }
	for _, tt := range []struct {
		name      string
		has       string // methods, a space between; METHOD/AGE in hours where it counts
		methods   string // of the application; "": every
		preferred mfa.MethodID
		rule      Rule
		can       func(mfa.MethodID) bool
		want      string
	}{
		{"all there is", "recovery tap email sms call hotp totp push passkey", "", "", Rule{}, every, "passkey push totp call sms email"},
		{"a device and a pass", "tap push", "", "", Rule{}, every, "push tap"},
		{"a token and a pass: one prompt for both", "tap totp", "", "", Rule{}, every, "totp"},
		{"a number and recovery codes", "recovery sms", "", "", Rule{}, every, "sms recovery"},
		{"a pass alone", "tap", "", "", Rule{}, every, "tap"},
		{"recovery codes and a pass", "recovery tap", "", "", Rule{}, every, "tap"},
		{"mail is the last, being recovery", "email recovery call", "", "", Rule{}, every, "call recovery email"},
		{"nothing but codes can be carried", "tap push passkey sms", "", "", Rule{}, coded, "sms tap"},
		{"preferred", "push sms totp", "", "sms", Rule{}, every, "sms push totp"},
		{"preferred, a passkey behind it", "push totp passkey", "", "totp", Rule{}, every, "totp passkey push"},
		{"preferred and not there", "push passkey", "", "sms", Rule{}, every, "passkey push"},
		{"preferred, and a rule says no", "totp push passkey", "", "totp", Rule{OwnOrder: No}, every, "passkey push totp"},
		{"the application's order", "push totp sms passkey", "sms passkey totp push", "", Rule{}, every, "sms passkey totp push"},
		{"a rule's order", "push totp sms", "", "", Rule{Methods: []mfa.MethodID{"totp", "push"}}, every, "totp push"},
		{"one method: the oldest first", "sms/1 sms/3 sms/2", "sms", "", Rule{}, every, "sms/3 sms/2 sms/1"},
		{"every method: the oldest of each first", "totp/1 sms/1 totp/2 sms/3", "", "", Rule{}, every, "totp/2 sms/3 sms/1"},
		{"no way but the first", "tap sms push", "", "", Rule{Fallback: No}, every, "push"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			app := vpn
			for m := range strings.FieldsSeq(tt.methods) {
				app.Methods = append(app.Methods, mfa.MethodID(m))
			}
			tt.rule.Name = "r"
			r := compiled(t, tt.rule).Decide(&Situation{Application: app, User: staff, Now: now}, Defaults())
			user := staff
			user.Preferred = tt.preferred
			for range 20 {
				var creds []mfa.Credential
				for _, one := range strings.Fields(tt.has) {
					m, age, _ := strings.Cut(one, "/")
					made := now
					if age != "" {
						made = now.Add(-time.Duration(age[0]-'0') * time.Hour)
					}
					creds = append(creds, mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), Method: mfa.MethodID(m), Label: one, Created: made})
				}
				rand.Shuffle(len(creds), func(i, j int) { creds[i], creds[j] = creds[j], creds[i] })
				usable, why := Usable(r.Application(app), creds, now)
				if why != mfa.ReasonNone {
					t.Fatal(why)
				}
				var got []string
				for _, c := range r.Ways(r.Application(app), user, usable, tt.can) {
					got = append(got, c.Label)
				}
				if g := strings.Join(got, " "); g != tt.want {
					t.Fatalf("got %s, want %s", g, tt.want)
				}
			}
		})
	}
}

// Of what was made in the same moment the lower id comes first, on every server.
func TestOrderOfEquals(t *testing.T) {
	creds := []mfa.Credential{{ID: "b", Method: "sms", Created: now}, {ID: "c", Method: "sms", Created: now}, {ID: "a", Method: "sms", Created: now}}
	usable, _ := Usable(vpn, creds, now)
	if usable[0].ID != "a" || usable[1].ID != "b" || usable[2].ID != "c" {
		t.Errorf("got %v", usable)
	}
}
