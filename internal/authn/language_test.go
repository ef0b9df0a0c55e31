package authn_test

import (
	"strings"
	"testing"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// A challenge is told in its user's language, a refusal in the same to everybody, and neither to a
// front-end that has readers of its own.
func TestLanguageOfWhatIsSaid(t *testing.T) {
	g := newRig(t)
	g.store.change("alice", func(a *settlement.Account) { a.User.Language = "de" })
	c := g.config(nil)
	c.Say = func(language, said string) string { return language + ": " + said }
	e := authn.New(c)
	for _, tt := range []struct {
		login, password string
		caps            mfa.Caps
		group           string
		want            string
	}{
		{"alice", "right", mfa.AsItIs, "en", "de: Enter your code"},
		{"bob", "right", mfa.AsItIs, "en", "en: Enter your code"},
		{"bob", "right", mfa.AsItIs, "de", "de: Enter your code"},
		{"alice", "wrong", mfa.AsItIs, "en", "en: Sign-in refused. Attempt "},
		{"nobody", "wrong", mfa.AsItIs, "en", "en: Sign-in refused. Attempt "},
		{"bob", "wrong", mfa.AsItIs, "de", "de: Sign-in refused. Attempt "},
		{"alice", "right", 0, "de", "Enter your code"},
		{"alice", "wrong", 0, "de", "Sign-in refused. Attempt "},
	} {
		g.settings.Language = tt.group
		q := firstLeg("vpn", tt.login, tt.password)
		q.Caps |= tt.caps
		if d := ask(t, e, q); !strings.HasPrefix(d.Message, tt.want) {
			t.Errorf("%s with %s, group in %s: %q, want %q", tt.login, tt.password, tt.group, d.Message, tt.want)
		}
	}
}
