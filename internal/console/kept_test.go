package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/web"
)

// prove goes through the proof that a form was sent to, and returns the last answer.
func (r *rig) prove(p page) page {
	r.t.Helper()
	to := p.Header.Get("Location")
	if p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/confirm?") {
		r.t.Fatalf("no proof is asked for: %s to %q\n%s", p.Status, to, p.text())
	}
	p = r.get(to)
	kept, back := p.field(r.t, "kept"), p.field(r.t, "back")
	p = r.post("/confirm", "password", "right", "back", back, "kept", kept)
	return r.post("/confirm", "handle", p.field(r.t, "handle"), "code", "123456", "back", p.field(r.t, "back"), "kept", p.field(r.t, "kept"))
}

// A form that needs a proof is kept and carried out after it, once, for who filled it in.
func TestFormIsKeptForTheProof(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := r.person("bob", mfa.RoleNone)
	page := "/users/" + string(id)
	r.now = r.now.Add(session.Fresh)
	asked := r.post(page+"/password", "password", "a password that was typed")
	p := r.prove(asked)
	if r.status(p, http.StatusSeeOther); !strings.HasPrefix(p.Header.Get("Location"), page+"?done=") {
		t.Errorf("leads to %q", p.Header.Get("Location"))
	}
	if u := r.user(id); !u.HasPassword {
		t.Error("what was typed is lost")
	}
	r.status(r.get(page), http.StatusOK) // with the new token

	// A second time it is gone, and says so.
	p = r.prove(asked)
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "not kept any more") {
		t.Error(p.text())
	}

	// A page that shows something once, as after the proof.
	r.now = r.now.Add(session.Fresh)
	if p = r.prove(r.post(page + "/token")); !strings.Contains(p.body, "<svg") {
		t.Errorf("no key: %s", p.text())
	}

	// Nobody carries out what somebody else has filled in.
	r.now = r.now.Add(session.Fresh)
	asked = r.post(page+"/state", "state", "exempt", "etag", r.get(page).field(t, "etag"))
	r.person("carol", mfa.RoleOwner)
	r.cookie = ""
	r.status(r.signInAs("carol"), http.StatusSeeOther)
	r.status(r.prove(asked), http.StatusUnprocessableEntity)
	if u := r.user(id); u.State != "protected" {
		t.Error("carol did what alice asked for")
	}
}

// A form that no master takes is kept, and sent again when there is one.
func TestFormIsKeptWithoutMaster(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := r.person("bob", mfa.RoleNone)
	page := "/users/" + string(id)
	tag := r.get(page).field(t, "etag")
	r.db.Fail = mfa.ErrUnavailable
	p := r.post(page+"/edit", "etag", tag, "name", "Bob the builder")
	r.status(p, http.StatusServiceUnavailable)
	again := r.post("/again", "kept", p.field(t, "kept")) // still none
	r.status(again, http.StatusServiceUnavailable)
	r.db.Fail = nil
	r.status(r.post("/again", "kept", again.field(t, "kept")), http.StatusSeeOther)
	if u := r.user(id); u.Name != "Bob the builder" {
		t.Errorf("what was typed is lost: %+v", u)
	}
	r.status(r.post("/again", "kept", again.field(t, "kept")), http.StatusUnprocessableEntity)

	r.db.Fail = mfa.ErrUnavailable
	kept := r.post(page+"/edit", "etag", r.get(page).field(t, "etag"), "name", "Later").field(t, "kept")
	r.db.Fail = nil
	r.now = r.now.Add(web.KeptFor)
	r.status(r.post("/again", "kept", kept), http.StatusUnprocessableEntity)
	cookie := r.cookie
	r.cookie = ""
	if p := r.post("/again", "kept", kept); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(p.Header.Get("Location"), "/sign-in") {
		t.Errorf("a stranger: %s", p.Status)
	}
	r.cookie = cookie
	if p := r.get("/again"); p.StatusCode != http.StatusNotFound && p.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("by a link: %s", p.Status)
	}
}
