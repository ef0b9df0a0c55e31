package admin_test

import (
	"errors"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Another passkey_site makes the passkeys of the one before worthless: it is taken with a word only
// that names that one, and the refusal says how many they are.
func TestAnotherPasskeySiteIsConfirmed(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	set := func(site, confirm string) error {
		_, err := r.SetPolicy(ctx, "root", []byte(`{"passkey_site":"`+site+`"}`), "", confirm)
		return err
	}
	if err := set("mfa.corp.example", ""); err != nil {
		t.Fatalf("the first one: %v", err)
	}
	if err := set("corp.example", ""); err != nil {
		t.Fatalf("nobody has a passkey: %v", err)
	}
	for login, passkeys := range map[string]int{"pam": 2, "paul": 1, "nora": 0} {
		u, err := r.AddUser(ctx, "root", admin.UserChange{Login: &login})
		if err != nil {
			t.Fatal(err)
		}
		for range passkeys {
			if err := r.db.AddCredential(ctx, mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodPasskey}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := r.SetPolicy(ctx, "root", []byte(`{"tries":7,"passkey_site":"corp.example"}`), "", ""); err != nil {
		t.Errorf("the same site: %v", err)
	}
	for _, site := range []string{"mfa.corp.example", ""} {
		for _, confirm := range []string{"", site, "yes"} {
			var lost admin.LosesPasskeys
			if err := set(site, confirm); confirm != "corp.example" && (!errors.As(err, &lost) || !errors.Is(err, mfa.ErrConflict) || lost != admin.LosesPasskeys{Site: "corp.example", Passkeys: 3, Users: 2}) {
				t.Errorf("%q, confirmed %q: %v", site, confirm, err)
			}
		}
	}
	if p, err := r.Policy(ctx); err != nil || p.PasskeySite != "corp.example" {
		t.Errorf("after refusals: %q, %v", p.PasskeySite, err)
	}
	if err := set("mfa.corp.example", "corp.example"); err != nil {
		t.Errorf("confirmed: %v", err)
	}
}
