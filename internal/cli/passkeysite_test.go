package cli_test

import (
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// Another passkey_site is asked about once there are passkeys: how many, and of how many users.
func TestAnotherPasskeySiteAsks(t *testing.T) {
	r := start(t)
	for _, args := range [][]string{{"user", "add", "alice"}, {"policy", "set", "passkey_site=mfa.corp.example"}} {
		if got := r.run(nil, args...); got.code != 0 {
			t.Fatalf("%v: %+v", args, got)
		}
	}
	u, err := r.admin.User(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.admin.Credentials.AddCredential(t.Context(), mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodPasskey, Created: noon, Confirmed: noon}); err != nil {
		t.Fatal(err)
	}
	set := []string{"policy", "set", "passkey_site=corp.example", "tries=7"}
	var asked []string
	got := r.run(typing(t, &asked, "n"), set...)
	if got.code != 1 || len(asked) != 1 || !strings.Contains(asked[0], "1 passkeys of 1 users belong to mfa.corp.example") || !strings.Contains(got.err, "nothing was done") {
		t.Errorf("asked %q: %+v", asked, got)
	}
	if got = r.run(nil, set...); got.code != 2 || !strings.Contains(got.err, "--yes") {
		t.Errorf("without a terminal: %+v", got)
	}
	if p, err := r.admin.Policy(t.Context()); err != nil || p.PasskeySite != "mfa.corp.example" || p.Tries == 7 {
		t.Errorf("changed all the same: %+v, %v", p, err)
	}
	if got = r.run(nil, append(set, "--yes")...); got.code != 0 || !strings.Contains(got.out, "corp.example") {
		t.Errorf("--yes: %+v", got)
	}
}
