package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// Another site is asked about when passkeys stop working by it, with what was typed still in the form.
func TestAnotherPasskeySite(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	r.site()
	u, err := r.Admin.User(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.db.AddCredential(t.Context(), mfa.Credential{ID: "key", User: u.ID, Method: mfa.MethodPasskey}); err != nil {
		t.Fatal(err)
	}
	send := func(more ...string) page {
		return r.post("/policy/passkeys", append([]string{"passkey_site", "corp.example", "passkey_verification", "required", "etag", r.get("/policy").field(t, "etag")}, more...)...)
	}
	for _, confirm := range []string{"", "corp.example"} {
		p := send("confirm", confirm)
		if p.StatusCode != http.StatusConflict || !strings.Contains(p.text(), "1 passkeys of 1 users belong to nyc1.example") || !strings.Contains(p.body, `name="confirm"`) ||
			!strings.Contains(p.body, `name="passkey_site" value="corp.example"`) {
			t.Fatalf("confirmed %q: %s %s", confirm, p.Status, p.text())
		}
	}
	if got := r.db.Settings().PasskeySite; got != "nyc1.example" {
		t.Errorf("changed to %q all the same", got)
	}
	if p := send("confirm", "nyc1.example"); p.StatusCode != http.StatusSeeOther || r.db.Settings().PasskeySite != "corp.example" {
		t.Errorf("confirmed: %s %s", p.Status, p.text())
	}
}
