package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// If the application of the console checks no password, however that came, it lets nobody in and
// proves nobody anew.
func TestOneFactorIsNoSignIn(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	app, err := r.Admin.Page(t.Context(), admin.ConsoleApplication)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.UpdateApplication(t.Context(), app.ID, func(a *mfa.Application) error { a.FirstFactor = mfa.FirstFactorNone; return nil }); err != nil {
		t.Fatal(err)
	}
	asked := len(r.eng.asked)
	for _, path := range []string{"/confirm", "/sign-in"} {
		if p := r.post(path, "login", "alice", "password", "right"); p.StatusCode < http.StatusInternalServerError {
			t.Errorf("%s: %s %s", path, p.Status, p.text())
		}
	}
	if len(r.eng.asked) != asked {
		t.Error("the engine was asked")
	}
}

// Who may not change the applications of the pages sees what is set, and no form.
func TestPagesAreShownToAdministrators(t *testing.T) {
	for role, form := range map[mfa.Role]bool{mfa.RoleOwner: true, mfa.RoleAdministrator: false} {
		r := signedInAs(t, role)
		for _, name := range []string{admin.ConsoleApplication, admin.PortalApplication} {
			if _, err := r.Admin.BuiltIn(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			p := r.get("/applications/" + name)
			if r.status(p, http.StatusOK); strings.Contains(p.body, `/edit"`) != form || strings.Contains(p.body, `/remove"`) {
				t.Errorf("%s to the role %s: %s", name, role, p.text())
			}
		}
	}
}
