package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

func TestLanguageOf(t *testing.T) {
	for name, c := range map[string]struct{ asked, chosen, want string }{
		"nothing asked for":        {"", "", "en"},
		"German":                   {"de", "", "de"},
		"of Austria":               {"de-AT,de;q=0.9,en;q=0.8", "", "de"},
		"English first":            {"en-GB,en;q=0.9,de;q=0.8", "", "en"},
		"German weighs more":       {"en;q=0.3, de;q=0.7", "", "de"},
		"one we lack, then German": {"fr-FR, fr;q=0.9, de;q=0.5", "", "de"},
		"only one we lack":         {"fr", "", "en"},
		"chosen":                   {"en", "de", "de"},
		"chosen, the other":        {"de", "en", "en"},
		"chosen nonsense":          {"de", "xx", "de"},
		"a path":                   {"", "../de", "en"},
		"broken":                   {"de;q=;;,", "", "en"},
		"long":                     {strings.Repeat("de,", 500), "", "en"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/", nil)
		r.Header.Set("Accept-Language", c.asked)
		if c.chosen != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-language", Value: c.chosen})
		}
		if got := web.LanguageOf(r); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestForms(t *testing.T) {
	for language, want := range map[string][]string{
		"en": {"2026-03-09 05:04:03 UTC", "-4.2 s", "0.0 s"},
		"de": {"09.03.2026 05:04:03 UTC", "-4,2 s", "0,0 s"},
	} {
		texts, err := web.LoadTexts(fstest.MapFS{"text/" + language + ".txt": {}}, language)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{texts.UTC(time.Date(2026, 3, 9, 6, 4, 3, 0, time.FixedZone("", 3600))), texts.Seconds(-4.21), texts.Seconds(-0.04)}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: %q, want %q", language, got, want)
		}
	}
}

func TestLoadTexts(t *testing.T) {
	for name, catalogue := range map[string]string{"no text": "key", "twice": "a = b\na = c", "as all have it": "skip = x"} {
		if _, err := web.LoadTexts(fstest.MapFS{"text/en.txt": {Data: []byte(catalogue)}}, "en"); err == nil {
			t.Errorf("%s: %q is taken", name, catalogue)
		}
	}
	all, err := web.LoadTexts(fstest.MapFS{"text/en.txt": {Data: []byte("# comment\n\n a = b = %s \nn.one = %d thing\nn.other = %d things\n")}}, "en")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{all.Say("a", "c"): "b = c", all.Say("none"): "none", all.Count("n", 1): "1 thing", all.Count("n", 0): "0 things",
		all.Known("x", "y"): "y", all.Known("a", "y"): "b = %s"} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// What each method asks for is said in every language, on pages and elsewhere.
func TestPrompts(t *testing.T) {
	all, err := web.LoadPrompts()
	if err != nil {
		t.Fatal(err)
	}
	pages, err := web.LoadPhrases("de")
	if err != nil {
		t.Fatal(err)
	}
	english, german := all["en"], all["de"]
	for _, m := range []interface {
		Begin(context.Context, mfa.Ask, mfa.Credential) (mfa.Step, error)
	}{otp.TOTP{}, otp.HOTP{}, otp.Recovery{}, otp.TAP{}} {
		s, err := m.Begin(t.Context(), mfa.Ask{}, mfa.Credential{})
		if err != nil {
			t.Fatal(err)
		}
		if said := german.Say(s.Prompt); said == s.Prompt || said != pages.Say(s.Prompt) {
			t.Errorf("%T asks in English: %s", m, said)
		}
		if said := english.Say(s.Prompt); said != s.Prompt {
			t.Errorf("%T: %q became %q", m, s.Prompt, said)
		}
	}
	for said, want := range map[string]string{
		"Look at your phone": "Look at your phone",
		"Enter the next code from your token, your PIN in front of it (or type other)":                                    "Geben Sie den nächsten Code Ihres Tokens ein, Ihre PIN davor (oder tippen Sie other für einen anderen Weg)",
		"Nothing more can be sent now. Enter the code from the text message to ***67 (or type resend or other)":           "Mehr kann jetzt nicht gesendet werden. Geben Sie den Code aus der SMS an ***67 ein (oder tippen Sie resend für einen neuen Code, other für einen anderen Weg)",
		"Not answered yet. Your telephone ***67 rings: type 42 on it when you are asked, then go on here (or type other)": "Noch keine Antwort. Ihr Telefon ***67 klingelt: Tippen Sie darauf 42, wenn Sie gefragt werden, dann geht es hier weiter (oder tippen Sie other für einen anderen Weg)",
		"Sign-in refused. Attempt emfoq6h6fzbp3doa":                                                                       "Anmeldung abgelehnt. Vorgang emfoq6h6fzbp3doa",
	} {
		if got := german.Say(said); got != want {
			t.Errorf("%q is %q, want %q", said, got, want)
		}
	}
}
