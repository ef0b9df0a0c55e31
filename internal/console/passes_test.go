package console

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// A pass that one administrator has issued waits on a page where another approves it; its issuer
// finds no button there, and is refused who sends the form all the same.
func TestPassesPage(t *testing.T) {
	r := newRig(t)
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.PassApproval = true; return nil }); err != nil {
		t.Fatal(err)
	}
	r.person("helen", mfa.RoleOwner)
	r.person("ida", mfa.RoleOwner)
	user := r.person("alice", mfa.RoleNone)
	approve := func() page { return r.post("/users/"+string(user)+"/approve", "credential", "tap") }
	r.signInAs("helen")
	if p := r.post("/users/"+string(user)+"/invite", "what", "link"); !strings.Contains(p.text(), "another administrator has approved it") {
		t.Errorf("issued: %s", p.text())
	}
	if p := r.get("/users"); !strings.Contains(p.body, `href="/passes"`) {
		t.Errorf("users: %s", p.text())
	}
	if p := r.get("/passes"); !strings.Contains(p.text(), "invitation by link") || strings.Contains(p.body, "/approve") || !strings.Contains(p.text(), "Somebody else approves it") {
		t.Errorf("shown to its issuer: %s", p.text())
	}
	if p := approve(); p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "another administrator approves it") {
		t.Errorf("by its issuer: %d %s", p.StatusCode, p.text())
	}
	r.post("/sign-out")
	r.signInAs("ida")
	p := r.get("/passes")
	if !regexp.MustCompile(`action="/users/`+string(user)+`/approve"`).MatchString(p.body) || !strings.Contains(p.text(), "helen (console)") {
		t.Errorf("shown to another: %s", p.text())
	}
	if p = r.get("/users/" + string(user)); !strings.Contains(p.text(), "awaits approval") {
		t.Errorf("their page: %s", p.text())
	}
	r.leads(approve(), "/users/"+string(user)+"?done=done.approved")
	if p = r.get("/passes"); !strings.Contains(p.text(), "No pass awaits its approval.") {
		t.Errorf("afterwards: %s", p.text())
	}
}
