package console

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

func TestRulesFromFirstToLast(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	bob := r.person("bob", mfa.RoleNone)
	if p := r.get("/rules"); !strings.Contains(p.text(), "There are no rules") {
		t.Error(p.text())
	}
	form := r.get("/new-rule").forms()[0]
	form.fields.Set("tags", "staff, guests")
	form.fields.Set("access", "deny")
	form.fields.Set("hours", "mon-fri 08:00-18:00")
	p := r.post("/new-rule/create", form.values("name", "night")...)
	if r.status(p, http.StatusUnprocessableEntity); p.field(t, "tags") != "staff, guests" || !strings.Contains(p.text(), "time zone") {
		t.Error(p.text())
	}
	form.fields.Set("zone", "Europe/Berlin")
	r.status(r.post("/new-rule/create", form.values("name", "night")...), http.StatusSeeOther)
	r.status(r.post("/new-rule/create", form.values("name", "NIGHT")...), http.StatusConflict)
	second := r.get("/new-rule").forms()[0]
	second.fields.Set("methods", "totp, sms")
	second.fields.Set("remember", "300")
	second.fields.Set("users", "bob")
	r.status(r.post("/new-rule/create", second.values("name", "easy")...), http.StatusSeeOther)
	p = r.get("/rules")
	for _, want := range []string{"Tags: staff, guests", "Hours: mon-fri 08:00-18:00 Europe/Berlin", "Access: refused", "Methods, in this order: totp, sms", "Remembered, seconds: 300", "Users: bob"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	r.status(r.post("/rules/easy/move", "to", "up"), http.StatusSeeOther)
	if rules := r.db.Settings().Rules.List(); len(rules) != 2 || rules[0].Name != "easy" || rules[0].Users[0] != bob {
		t.Errorf("rules %+v", rules)
	}
	edit := r.get("/rules/easy").forms()[0]
	if edit.fields.Get("remember") != "300" || edit.fields.Get("users") != "bob" {
		t.Errorf("the form has %+v", edit.fields)
	}
	r.status(r.post("/rules/easy/edit", edit.values("remember", "")...), http.StatusSeeOther)
	r.status(r.post("/rules/easy/edit", edit.values("remember", "60")...), http.StatusConflict) // from what was seen before
	if rules := r.db.Settings().Rules.List(); rules[0].Remember != nil || len(rules[0].Methods) != 2 {
		t.Errorf("rules %+v", rules)
	}
	r.status(r.post("/rules/easy/remove"), http.StatusSeeOther)
	r.status(r.get("/rules/easy"), http.StatusNotFound)

	// What it comes to stands on the user's page, with its origin.
	wide := r.get("/rules/night").forms()[0]
	wide.fields.Set("hours", "")
	wide.fields.Set("zone", "")
	p = r.post("/rules/night/edit", wide.values("tags", "")...) // for everybody everywhere, at the console too
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "nobody could sign in to the console any more") {
		t.Error(p.text())
	}
	wide.fields.Set("users", "bob")
	r.status(r.post("/rules/night/edit", wide.values("tags", "")...), http.StatusSeeOther)
	if p := r.get("/users/" + string(bob)); !strings.Contains(p.text(), "refused: policy_denied rule night") {
		t.Error(p.text())
	}
	seen := signedInAs(t, mfa.RoleAuditor)
	if p := seen.get("/rules"); p.StatusCode != http.StatusOK || strings.Contains(p.body, "/new-rule") {
		t.Error("an auditor is offered to add one")
	}
	seen.status(seen.post("/new-rule/create", "name", "x", "access", "deny"), http.StatusForbidden)
}

func TestPINOnTheUsersPage(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	bob := string(r.person("bob", mfa.RoleNone))
	p := r.post("/users/"+bob+"/pin", "pin", "1111")
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "three equal digits") {
		t.Error(p.text())
	}
	r.status(r.post("/users/"+bob+"/pin", "pin", "1379"), http.StatusSeeOther)
	if u := r.user(mfa.UserID(bob)); !u.HasPIN {
		t.Errorf("%+v", u)
	}
	if p := r.get("/users/" + bob); strings.Contains(p.body, "1379") || !strings.Contains(p.text(), "Have it changed") {
		t.Error("the PIN is shown, or cannot be aged")
	}
	r.status(r.post("/users/"+bob+"/pin-age"), http.StatusSeeOther)
	r.status(r.post("/users/"+bob+"/pin", "pin", ""), http.StatusSeeOther)
	if u := r.user(mfa.UserID(bob)); u.HasPIN {
		t.Error("it was not taken away")
	}
	if p := r.post("/users/" + bob + "/verify"); p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.text(), "no device, and no number and no address") {
		t.Errorf("nobody to be asked: %d %s", p.StatusCode, p.text())
	}
}
