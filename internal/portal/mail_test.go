package portal

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// Where the policy lets them, users have codes sent to the mail address in their profile, once they
// have typed one that was sent there; whatever address a form brings, it goes nowhere else.
func TestMail(t *testing.T) {
	r, _ := enrolled(t)
	r.Enroll.Prover = &telephone{}
	const path = "/portal/number?method=email"
	offered := func() bool { return strings.Contains(r.get("/portal/").body, path) }
	set := func(change func(*policy.Settings)) {
		t.Helper()
		if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { change(s); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	address := func(to string) {
		t.Helper()
		if _, err := r.Admin.SetUser(t.Context(), "test", "alice", admin.UserChange{Email: &to}); err != nil {
			t.Fatal(err)
		}
	}
	address("alice@corp.example")
	if offered() {
		t.Error("offered, though the policy says nothing of mail")
	}
	r.status(r.get(path), http.StatusForbidden)
	r.status(r.post("/portal/number", "method", "email"), http.StatusForbidden)
	set(func(s *policy.Settings) { s.SelfService = append(slices.Clone(s.SelfService), policy.SelfEmail) })
	address("")
	if offered() {
		t.Error("offered to who has no address")
	}
	r.status(r.get(path), http.StatusForbidden)
	address("alice@corp.example")
	if !offered() {
		t.Error("not offered")
	}
	if p := r.get(path); !strings.Contains(p.text(), "alice@corp.example") || strings.Contains(p.body, `name="to"`) {
		t.Errorf("%s", p.body)
	}
	p := r.post("/portal/number", "method", "email", "to", "thief@evil.example")
	r.status(p, http.StatusOK)
	prove := func(code string) page {
		return r.post("/portal/number/prove", "credential", p.field(t, "credential"), "challenge", p.field(t, "challenge"), "replaces", "", "code", code)
	}
	r.status(prove("654321"), http.StatusUnprocessableEntity)
	r.leads(prove("123456"), "/portal/?done=done.number.email")
	a, err := r.Enroll.List(t.Context(), "alice")
	if err != nil || !slices.ContainsFunc(a.Credentials, func(c enroll.Credential) bool {
		return c.Method == mfa.MethodEmail && c.Hold == "" && strings.HasPrefix(c.Label, "a") && strings.HasSuffix(c.Label, "corp.example")
	}) {
		t.Errorf("it has %+v, %v", a.Credentials, err)
	}
	if offered() {
		t.Error("offered once more")
	}
	r.status(r.post("/portal/number", "method", "email"), http.StatusUnprocessableEntity) // it is there already
}
