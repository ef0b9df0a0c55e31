package message

import (
	"strings"
	"testing"
)

func TestBuiltInTextsAreGood(t *testing.T) {
	for _, name := range Names() {
		if err := Check(name, texts[name]); err != nil {
			t.Error(err)
		}
		purpose, _, _ := strings.Cut(name, ".")
		for _, l := range []string{"en", "de"} {
			if texts[purpose+"."+l] == "" {
				t.Errorf("%s.%s is missing", purpose, l)
			}
		}
	}
}

func TestCheck(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"sms.fr", "{code} pour {application}", ""},
		{"sms.en", "Your code", "{code} is missing"},
		{"sms.en", "{cod} for you", "did you mean {code}?"},
		{"sms.en", "{code} {password}", "placeholders are"},
		{"sms.en", "{code", "placeholders are"},
		{"sms.en", "{code}" + strings.Repeat("x", 300), "at most"},
		{"sms", "{code}", `"sms.`},
		{"sms.EN", "{code}", "sms.en"},
		{"fax.en", "{code}", "no text"},
		{"mail_subject.en", "a\nb", "one line"},
	} {
		err := Check(tt.name, tt.text)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s %q: got %v, want %q", tt.name, tt.text, err, tt.want)
		}
	}
}

func TestFill(t *testing.T) {
	v := map[string]string{"code": "123456", "application": "{code}"}
	for _, tt := range []struct{ language, want string }{
		{"en", "123456 is your code for {code}. Tell it to nobody."},
		{"de", "123456 ist Ihr Code für {code}. Nennen Sie ihn niemandem."},
		{"xx", "123456 is your code for {code}. Tell it to nobody."},
		{"fr", "Code : 123456"},
	} {
		if got := Fill(map[string]string{"sms.fr": "Code : {code}"}, SMS, tt.language, v); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.language, got, tt.want)
		}
	}
}
