package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/session"
)

func TestBackupFromThePage(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	if p := r.get("/backup"); !strings.Contains(p.text(), "No restore was ever verified.") {
		t.Error(p.text())
	}
	const word = "correct horse battery"
	r.status(r.post("/backup/create", "passphrase", word, "again", "another"), http.StatusUnprocessableEntity)
	if p := r.post("/backup/create", "passphrase", "short", "again", "short"); p.StatusCode != http.StatusUnprocessableEntity || strings.Contains(p.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("%s %v", p.Status, p.Header)
	}
	r.now = r.now.Add(session.Fresh)
	if p := r.get("/backup"); len(p.forms()) != 0 || !strings.Contains(p.body, "/confirm?back=/backup") {
		t.Error("the file would come in the place of the page with the proof")
	}
	p := r.prove(r.post("/backup/create", "passphrase", word, "again", word))
	r.leads(p, "/backup?kept=") // so that the page of backups stays in the browser, not that of the proof
	p = r.get(p.Header.Get("Location"))
	p = r.post("/again", "kept", p.field(t, "kept"))
	if p.body != "a backup" || p.Header.Get("Content-Disposition") != `attachment; filename="acme-20261129-120500.cs"` || p.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%s %v %q", p.Status, p.Header, p.body)
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("a backup that broke off looks whole")
			}
		}()
		r.node.Break = true
		r.post("/backup/create", "passphrase", word, "again", word)
	}()
	if _, err := r.Admin.NoteVerified(t.Context(), "root (unix socket)", admin.VerifiedBackup{Group: "acme", Server: "nyc1", Epoch: 1, Revision: 7, Created: r.now, Records: 9, Users: 3}); err != nil {
		t.Fatal(err)
	}
	p = r.get("/backup")
	for _, want := range []string{"Last verified restore: 2026-11-29 12:05:00 UTC", "9 records and 3 users", "nyc1 alice (console)", "root (unix socket)"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, word) {
			t.Errorf("the passphrase is in the trail: %+v", a)
		}
	}
}

func TestKeysPage(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	if p := r.get("/keys"); !strings.Contains(p.text(), "seals from now on") || !strings.Contains(p.text(), "nothing is sealed by an older key") {
		t.Error(p.text())
	}
	r.status(r.post("/keys/rotate"), http.StatusSeeOther)
	if p := r.get("/keys"); strings.Count(p.text(), "seals from now on") != 1 || !strings.Contains(p.text(), "opens what it sealed") || !strings.Contains(p.text(), "resealing") {
		t.Error(p.text())
	}
	r.status(r.post("/backup/create"), http.StatusForbidden)
}
