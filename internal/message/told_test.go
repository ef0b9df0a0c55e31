package message_test

import (
	"os"
	"regexp"
	"testing"

	"countersign/internal/message"
	"countersign/internal/mfa"
)

func TestTold(t *testing.T) {
	for _, c := range [][3]string{
		{"credential totp added", "en", "authenticator app added"},
		{"credential totp added", "de", "Authenticator-App hinzugefügt"},
		{"credential totp added", "fr", "authenticator app added"},
		{"credential sms replaced", "de", "Nummer für SMS ersetzt"},
		{"phone number changed", "de", "Telefonnummer geändert"},
		{"something else", "de", "something else"},
	} {
		if got := message.Told(c[0], c[1]); got != c[2] {
			t.Errorf("%q in %s is %q, want %q", c[0], c[1], got, c[2])
		}
	}
}

// Everything that users are told of by a notice is told in German too: what is new fails here.
func TestEveryNoticeInGerman(t *testing.T) {
	whats := regexp.MustCompile(`(?:otice\([^"\n]*|what = append\(what, )"([^"]+)"`)
	found := 0
	for _, file := range []string{"../store/credential.go", "../store/device.go", "../store/merge.go", "../store/rejoin.go", "../store/notice.go", "../admin/own.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range whats.FindAllStringSubmatch(string(b), -1) {
			found++
			for _, what := range filledIn(m[1]) {
				if message.Told(what, "de") == what {
					t.Errorf("%s tells %q, which has no German", file, what)
				}
			}
		}
	}
	if found < 7 {
		t.Errorf("only %d notices were found", found)
	}
	for _, m := range []mfa.MethodID{mfa.MethodTOTP, mfa.MethodHOTP, mfa.MethodRecovery, mfa.MethodTAP, mfa.MethodSMS, mfa.MethodEmail, mfa.MethodPasskey, mfa.MethodPush, mfa.MethodCall, mfa.MethodPassword, mfa.MethodPIN} {
		if got := message.Told("credential "+string(m)+" added", "en"); got == "credential "+string(m)+" added" || got == string(m)+" added" && m != "passkey" && m != "password" {
			t.Errorf("%s is told as %q", m, got)
		}
	}
}

// filledIn is what a format comes to: of a method, and of each change of it.
func filledIn(format string) (all []string) {
	for _, act := range []string{"replaced", "disabled", "enabled", "confirmed", "changed"} {
		s := regexp.MustCompile(`%s`).ReplaceAllString(format, "\x00")
		n := 0
		all = append(all, regexp.MustCompile("\x00").ReplaceAllStringFunc(s, func(string) string {
			n++
			if n == 1 {
				return "totp"
			}
			return act
		}))
	}
	return all
}
