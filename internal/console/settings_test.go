package console

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestPolicyPage(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	f := r.get("/policy").forms()[0]
	if f.fields.Get("tries") != "5" || len(f.names) != 20 {
		t.Fatalf("the form is %+v", f)
	}
	r.status(r.post("/policy/edit", f.values("tries", "many")...), http.StatusUnprocessableEntity)
	p := r.post("/policy/edit", f.values("tries", "1000")...)
	if r.status(p, http.StatusUnprocessableEntity); p.field(t, "login_domains") != "" || !strings.Contains(p.text(), "between 1 and 100") {
		t.Error(p.text())
	}
	f.fields.Set("login_domains", "CORP=corp.example")
	r.status(r.post("/policy/edit", f.values("tries", "3")...), http.StatusSeeOther)
	p = r.get("/policy")
	if !strings.Contains(p.text(), "tries set here default 5") || !strings.Contains(p.text(), "lock_seconds default of the product") || !strings.Contains(p.body, "corp=corp.example") {
		t.Error(p.text())
	}
	acts := r.trail.Recorded()
	if last := acts[len(acts)-1]; last.Verb != "policy set" || last.By != "alice (console)" || !strings.Contains(last.Detail, "tries") || strings.Contains(last.Detail, "trail_days") {
		t.Errorf("recorded %+v", last)
	}
}

func TestDirectoryFromFirstToLast(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	all := []string{"name", "corp", "urls", "ldaps://dc1.corp.example", "bind_dn", "cn=reader", "bind_password", "a secret to bind with", "base_dn", "dc=corp",
		"user_filter", "(sAMAccountName={user})", "timeout_seconds", "0"}
	bad := r.post("/new-directory/create", append(slices.Clone(all), "urls", "http://nowhere")...)
	if r.status(bad, http.StatusUnprocessableEntity); bad.field(t, "bind_dn") != "cn=reader" || strings.Contains(bad.body, "a secret to bind with") {
		t.Error("what was typed is lost, or the password is shown")
	}
	r.status(r.post("/new-directory/create", all...), http.StatusSeeOther)
	r.status(r.post("/new-directory/create", all...), http.StatusConflict)
	p := r.get("/directories/corp")
	if strings.Contains(p.body, "a secret to bind with") {
		t.Error("the password is shown")
	}
	r.status(r.post("/directories/corp/edit", p.forms()[0].values("base_dn", "dc=corp,dc=example")...), http.StatusSeeOther)
	if d, err := r.db.Directory("corp"); err != nil || string(d.BindPassword.Expose()) != "a secret to bind with" || d.BaseDN != "dc=corp,dc=example" {
		t.Errorf("an empty password changed it: %+v, %v", d, err)
	}
	r.status(r.post("/directories/corp/edit", r.get("/directories/corp").forms()[0].values("bind_password", "another one")...), http.StatusSeeOther)
	if d, _ := r.db.Directory("corp"); string(d.BindPassword.Expose()) != "another one" {
		t.Error("the password stays")
	}
	p = r.post("/directories/corp/test", "login", "bob", "password", "bobs password")
	for _, want := range []string{"connected", "expires soon", "look"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("the test does not say %q: %s", want, p.text())
		}
	}
	r.status(r.post("/directories/corp/remove", "name", "other"), http.StatusUnprocessableEntity)
	r.status(r.post("/directories/corp/remove", "name", "corp"), http.StatusSeeOther)
	r.status(r.get("/directories/corp"), http.StatusNotFound)
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, "a secret") || strings.Contains(a.Detail, "another one") || strings.Contains(a.Detail, "bobs password") {
			t.Errorf("a password is in the trail: %+v", a)
		}
	}
}

func TestAdministratorFromFirstToLast(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := string(r.person("helen", mfa.RoleNone))
	p := r.get("/administrators/new")
	if n := strings.Count(p.body, `name="permission"`); n != 19 {
		t.Errorf("%d permissions", n)
	}
	p = r.post("/administrators/new/create", "login", "nobody", "role", "auditor")
	if r.status(p, http.StatusNotFound); p.field(t, "login") != "nobody" {
		t.Error("what was typed is lost")
	}
	p = r.post("/administrators/new/create", "login", "helen", "role", "help-desk", "reach", "some")
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "takes care of which users") {
		t.Error(p.text())
	}
	r.status(r.post("/administrators/new/create", "login", "helen", "role", "help-desk", "reach", "some", "tags", "east, west", "permission", "user.block"), http.StatusSeeOther)
	a, err := r.db.Administrator(mfa.UserID(id))
	if err != nil || a.Role != mfa.RoleHelpDesk || !a.Permissions.Has(mfa.MayBlock) || a.Permissions.Has(mfa.MayAddUser) || a.Reach.All || len(a.Reach.Tags) != 2 {
		t.Errorf("given %+v, %v", a, err)
	}
	if p = r.get("/administrators"); !strings.Contains(p.text(), "helen help desk Tags: east, west") {
		t.Error(p.text())
	}
	page := "/administrators/" + id
	if p = r.get(page); !regexp.MustCompile(`value="user.block" checked`).MatchString(p.body) || regexp.MustCompile(`value="user.add" checked`).MatchString(p.body) {
		t.Error("the boxes are not as given")
	}
	r.status(r.post(page+"/edit", "etag", p.field(t, "etag"), "role", "help-desk", "reach", "all", "tags", "east", "permission", "user.add"), http.StatusSeeOther)
	if a, _ = r.db.Administrator(mfa.UserID(id)); !a.Reach.All || len(a.Reach.Tags) != 0 || a.Permissions.Has(mfa.MayBlock) {
		t.Errorf("set %+v", a)
	}
	r.now = r.now.Add(time.Second)
	r.status(r.post(page+"/edit", "etag", r.get(page).field(t, "etag"), "role", "auditor", "reach", "all", "permission", "user.add"), http.StatusSeeOther)
	if a, _ = r.db.Administrator(mfa.UserID(id)); a.Role != mfa.RoleAuditor || a.Permissions != 0 {
		t.Errorf("set %+v", a)
	}
	r.status(r.post(page+"/remove", "login", "alice"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/remove", "login", "helen"), http.StatusSeeOther)
	r.status(r.get(page), http.StatusNotFound)
}

// What is an owner's, others are not offered and do not get.
func TestSettingsOfOthers(t *testing.T) {
	for role, refused := range map[mfa.Role][]string{
		mfa.RoleAdministrator: {"/administrators/new/create", "/tokens/create"},
		mfa.RoleAuditor:       {"/administrators/new/create", "/tokens/create", "/policy/edit", "/new-directory/create", "/tokens/revoke", "/new-gateway/mail/create", "/texts/sms.en/edit", "/texts/sms.en/preview"},
	} {
		r := signedInAs(t, role)
		for _, path := range []string{"/policy", "/directories", "/administrators", "/tokens", "/gateways", "/texts", "/texts/sms.en"} {
			p := r.get(path)
			r.status(p, http.StatusOK)
			for _, f := range p.forms() {
				if slices.Contains(refused, f.action) {
					t.Errorf("%s offers %s to an %s", path, f.action, role)
				}
			}
		}
		for _, path := range refused {
			r.status(r.post(path), http.StatusForbidden)
		}
	}
}

func TestTokenIsShownOnce(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	for _, bad := range [][]string{{"name", "x", "days", "90"}, {"name", "x", "days", "soon", "scope", "read"}, {"name", "x", "days", "-1", "scope", "read"},
		{"name", "x", "days", "90", "scope", "everything"}, {"name", "x", "days", "90", "scope", "authenticate"}, {"name", "", "days", "90", "scope", "read"}} {
		r.status(r.post("/tokens/create", bad...), http.StatusUnprocessableEntity)
	}
	p := r.post("/tokens/create", "name", "reader", "days", "90", "scope", "read")
	r.status(p, http.StatusOK)
	m := regexp.MustCompile(`<code id="made">(cs_[A-Za-z0-9_-]+)</code>`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no token: %s", p.text())
	}
	if p = r.get("/tokens"); strings.Contains(p.body, m[1]) || !strings.Contains(p.text(), "reader") || !strings.Contains(p.text(), "never") {
		t.Error(p.text())
	}
	r.status(r.post("/tokens/create", "name", "reader", "days", "90", "scope", "read"), http.StatusConflict)
	r.now = r.now.Add(time.Minute)
	r.status(r.post("/tokens/revoke", "id", p.field(t, "id")), http.StatusSeeOther)
	if p = r.get("/tokens"); strings.Contains(p.text(), "reader") {
		t.Error(p.text())
	}
	r.status(r.post("/tokens/revoke", "id", "gone"), http.StatusNotFound)
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, m[1]) {
			t.Errorf("the token is in the trail: %+v", a)
		}
	}
}
