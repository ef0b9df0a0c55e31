package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/session"
)

func (r *rig) user(id mfa.UserID) admin.User {
	r.t.Helper()
	u, err := r.Admin.User(r.t.Context(), string(id))
	if err != nil {
		r.t.Fatal(err)
	}
	return u
}

func TestUserFromFirstToLast(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	bad := r.post("/users/new/create", "login", "bob", "email", "not an address", "name", "Bob")
	if r.status(bad, http.StatusUnprocessableEntity); bad.field(t, "login") != "bob" {
		t.Error("what was typed is lost")
	}
	p := r.post("/users/new/create", "login", "bob", "email", "bob@corp.example", "tags", "sales, east")
	r.status(p, http.StatusSeeOther)
	page, _, _ := strings.Cut(p.Header.Get("Location"), "?")
	if p = r.get(p.Header.Get("Location")); !strings.Contains(p.text(), "The user is there.") {
		t.Error(p.text())
	}
	r.status(r.post("/users/new/create", "login", "bob"), http.StatusConflict)

	p = r.post(page+"/token", "label", "phone")
	r.status(p, http.StatusOK)
	credential := p.field(t, "credential")
	wrong := r.post(page+"/prove", "credential", credential, "code", "000000")
	if r.status(wrong, http.StatusUnprocessableEntity); wrong.field(t, "credential") != credential || strings.Contains(wrong.body, "<svg") {
		t.Error("a wrong code ends it, or the key is shown a second time")
	}
	r.status(r.post(page+"/prove", "credential", credential, "code", r.code(p)), http.StatusSeeOther)
	p = r.post(page + "/recovery")
	if r.status(p, http.StatusOK); strings.Count(p.body, "<li>") != 10 {
		t.Errorf("recovery codes: %s", p.text())
	}
	p = r.get(page)
	for _, want := range []string{"totp phone", "proven", "recovery", "10 left", "sales, east", "bob@corp.example"} {
		if !strings.Contains(p.text(), want) && !strings.Contains(p.body, want) {
			t.Errorf("the page lacks %q: %s", want, p.text())
		}
	}
	r.status(r.post(page+"/switch", "credential", credential, "to", "off"), http.StatusSeeOther)
	r.status(r.post(page+"/block", "reason", "lost phone", "seconds", "3600"), http.StatusSeeOther)
	if p = r.get(page); !strings.Contains(p.text(), "Blocked by alice (console)") || !strings.Contains(p.text(), "lost phone") {
		t.Error(p.text())
	}
	for _, act := range []string{"/unblock", "/unlock"} {
		r.status(r.post(page+act), http.StatusSeeOther)
	}
	r.status(r.post(page+"/drop", "credential", credential), http.StatusSeeOther)
	r.status(r.post(page+"/password", "password", "too short"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/password", "password", "another password"), http.StatusSeeOther)
	r.status(r.post(page+"/password", "password", ""), http.StatusUnprocessableEntity) // a field left empty removes nothing
	if u, err := r.Admin.User(t.Context(), "bob"); err != nil || !u.HasPassword || !strings.Contains(r.get(page).text(), "Remove the local password") {
		t.Errorf("%+v, %v", u, err)
	}
	r.status(r.post(page+"/password", "password", "a typed one", "remove", "1"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/password", "remove", "1"), http.StatusSeeOther)
	if u, err := r.Admin.User(t.Context(), "bob"); err != nil || u.HasPassword || strings.Contains(r.get(page).text(), "Remove the local password") {
		t.Errorf("removed: %+v, %v", u, err)
	}
	r.status(r.post(page+"/state", "state", "exempt", "etag", r.get(page).field(t, "etag")), http.StatusSeeOther)
	r.status(r.post(page+"/remove", "login", "alice"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/remove", "login", "bob"), http.StatusSeeOther)
	r.status(r.get(page), http.StatusNotFound)
	for _, a := range r.trail.Recorded() {
		if a.Object == "bob" && a.By != "alice (console)" {
			t.Errorf("act %+v is not alice's", a)
		}
	}
}

// Somebody whose password or second factor is changed is signed out everywhere else.
func TestChangedFactorsEndSessions(t *testing.T) {
	for _, act := range [][]string{{"/sign-out"}, {"/password", "password", "a new password"}} {
		r := signedInAs(t, mfa.RoleOwner)
		alice := r.cookie
		id := r.person("bob", mfa.RoleAuditor)
		r.cookie = ""
		r.status(r.signInAs("bob"), http.StatusSeeOther)
		bob := r.cookie
		r.cookie = alice
		if p := r.get("/users/" + string(id)); !strings.Contains(p.text(), "1 open session") {
			t.Error(p.text())
		}
		r.status(r.post("/users/"+string(id)+act[0], act[1:]...), http.StatusSeeOther)
		r.status(r.get("/"), http.StatusOK)
		if r.cookie = bob; r.get("/").StatusCode != http.StatusSeeOther {
			t.Errorf("%s: still in", act[0])
		}
	}
}

func TestTwoTabs(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := r.person("bob", mfa.RoleNone)
	page := "/users/" + string(id)
	one, two := r.get(page).field(t, "etag"), r.get(page).field(t, "etag")
	r.status(r.post(page+"/edit", "etag", one, "name", "Bob of the first tab"), http.StatusSeeOther)
	p := r.post(page+"/edit", "etag", two, "name", "Bob of the second tab", "email", "second@corp.example")
	if r.status(p, http.StatusConflict); !strings.Contains(p.text(), "Somebody else changed this user") || p.field(t, "name") != "Bob of the first tab" {
		t.Error(p.text())
	}
	if u := r.user(id); u.Name != "Bob of the first tab" || u.Email != "" {
		t.Errorf("the second tab wrote: %+v", u)
	}
	r.status(r.post(page+"/edit", "etag", p.field(t, "etag"), "name", "Bob, looked at"), http.StatusSeeOther)
}

func TestDangerAsksAgain(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	id := r.person("bob", mfa.RoleNone)
	page := "/users/" + string(id)
	r.now = r.now.Add(session.Fresh)
	for _, one := range r.routes() {
		if !one.danger {
			continue
		}
		_, path, _ := strings.Cut(one.pattern, " ")
		path = strings.NewReplacer("{id}", string(id), "{name}", "console", "{profile}", "generic").Replace(path)
		p := r.post(path, "login", "bob", "state", "exempt")
		if to := p.Header.Get("Location"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/confirm?back=%2F") {
			t.Errorf("%s: %s to %q", one.pattern, p.Status, to)
		}
	}
	if u := r.user(id); u.State != "protected" {
		t.Errorf("done without a proof: %+v", u)
	}
	before := r.cookie
	p := r.get("/confirm?back=" + url.QueryEscape(page))
	r.status(p, http.StatusOK)
	r.status(r.post("/confirm", "password", "wrong", "back", page), http.StatusUnauthorized)
	p = r.post("/confirm", "login", "bob", "password", "right", "back", page) // the login is the session's, whatever the form says
	p = r.post("/confirm", "handle", p.field(t, "handle"), "code", "123456", "back", page)
	if r.status(p, http.StatusSeeOther); p.Header.Get("Location") != page || r.cookie == before {
		t.Errorf("to %q; the token stays: %t", p.Header.Get("Location"), r.cookie == before)
	}
	for _, q := range r.eng.asked[len(r.eng.asked)-2:] {
		if q.Login != "alice" {
			t.Errorf("the proof is %s's", q.Login)
		}
	}
	r.status(r.post(page+"/remove", "login", "bob"), http.StatusSeeOther)
	if now := r.cookie; now != "" {
		if r.cookie = before; r.get("/").StatusCode != http.StatusSeeOther {
			t.Error("the token before the proof is still good")
		}
	}
}

// What people type anywhere is text everywhere it is shown.
func TestTextsStayTexts(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>'{{.}}`
	id := r.person("bob", mfa.RoleNone)
	page := "/users/" + string(id)
	for _, field := range []string{"login", "aliases", "name", "email", "phone", "tags", "directory"} {
		p := r.post(page+"/edit", "etag", r.get(page).field(t, "etag"), field, evil)
		r.innocent(field, p)
		r.innocent(field, r.post("/users/new/create", "login", "eve"+field, field, evil))
	}
	r.innocent("reason", r.post(page+"/block", "reason", evil))
	r.innocent("label", r.post(page+"/token", "label", evil))
	r.innocent("credential", r.post(page+"/prove", "credential", evil, "code", evil))
	r.innocent("removal", r.post(page+"/remove", "login", evil))
	r.innocent("test", r.post(page+"/test", "application", evil, "password", evil))
	r.innocent("name", r.post("/protect/generic/create", "name", evil, "addresses", evil, "first_factor", evil, "passcode", evil, "message_authenticator", evil))
	for _, path := range []string{"/users", "/attempts", "/audit", page, "/applications", "/"} {
		r.innocent(path, r.get(path))
		q := url.QueryEscape(evil)
		r.innocent(path, r.get(path+"?search="+q+"&state="+q+"&user="+q+"&application="+q+"&reason="+q+"&after="+q+"&done="+q+"&profile="+q))
	}
	q := url.QueryEscape(evil)
	for _, path := range []string{"/nowhere/" + q, "/users/" + q, "/applications/" + q, "/protect/" + q, "/confirm?back=" + q, "/confirm?back=/" + q} {
		r.innocent(path, r.get(path))
	}
	r.cookie = ""
	r.innocent("sign-in", r.post("/sign-in", "login", evil, "password", evil, "back", evil))
	r.innocent("handle", r.post("/sign-in", "login", evil, "handle", evil, "code", evil, "back", "/"+evil))
	r.innocent("back", r.get("/sign-in?back=/"+q))
	r.innocent("link", r.get("/setup?link="+q))
	r.innocent("setup", r.post("/setup", "link", `"><script>`, "login", evil, "name", evil, "password", evil, "again", evil))
}

func (r *rig) innocent(what string, p page) {
	r.t.Helper()
	body := strings.ToLower(p.body)
	if !strings.HasPrefix(p.Header.Get("Content-Disposition"), "attachment") && (strings.Contains(body, "<script>") || strings.Contains(body, "<img src=x")) { // a file to save is no page
		r.t.Errorf("%s becomes part of the page:\n%s", what, p.body)
	}
	for name, values := range p.Header {
		if strings.ContainsAny(strings.Join(values, ""), "\r\n") {
			r.t.Errorf("%s becomes part of header %s", what, name)
		}
	}
}

func TestSearch(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	for i := range usersShown + 10 {
		r.person(fmt.Sprintf("user%03d", i), mfa.RoleNone)
	}
	p := r.get("/users")
	if n := strings.Count(p.body, `href="/users/`); n != usersShown+1 && n != usersShown {
		t.Errorf("%d users on a page", n)
	}
	if !strings.Contains(p.text(), fmt.Sprintf("%d users in this group", usersShown+11)) || !strings.Contains(p.text(), "Next page") {
		t.Error(p.text())
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/users?search=USER007&state=protected", nil)
	req.Header.Set(partHeader, "1")
	p = r.send(req)
	if strings.Contains(p.body, "<html") || !strings.Contains(p.body, "user007") || strings.Contains(p.body, "user008") {
		t.Errorf("part: %s", p.body)
	}
	if p = r.get("/users?search=nobody+of+that+name"); !strings.Contains(p.text(), "Nobody fits that.") {
		t.Error(p.text())
	}
	tags := []string{"east"}
	if _, err := r.Admin.SetUser(t.Context(), "test", "user003", admin.UserChange{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{"tag=east": 1, "tag=west": 0, "factor=none&search=user": usersShown, "factor=totp": 0, "tag=east&factor=none&state=protected&search=3": 1, "tag=east&state=denied": 0,
		"directory=local": 0, "factor=bogus&search=user": usersShown} {
		p = r.get("/users?" + query)
		if n := strings.Count(p.body, `href="/users/`); p.StatusCode != http.StatusOK || n != want {
			t.Errorf("%s: %d users, want %d", query, n, want)
		}
		r.innocent(query, p)
	}
	if p = r.get("/users?factor=none&search=user"); !strings.Contains(p.body, `<option value="none" selected>`) || !strings.Contains(p.body, "factor=none&amp;search=user") {
		t.Errorf("the next page is of another search: %s", p.body)
	}
	for _, act := range []string{"/users/new/create", "/protect/generic/create"} { // an auditor changes nothing
		r.status(r.post(act, "login", "eve"), http.StatusForbidden)
	}
}

func TestHelpDeskWithinLimits(t *testing.T) {
	r := newRig(t)
	r.person("desk", mfa.RoleNone)
	login, role, tags, perms := "desk", "help-desk", []string{"east"}, []string{"user.block"}
	if _, err := r.Admin.AddAdministrator(t.Context(), "test", admin.AdministratorChange{Login: &login, Role: &role, Tags: &tags, Permissions: &perms}); err != nil {
		t.Fatal(err)
	}
	east, west := r.person("east", mfa.RoleNone), r.person("west", mfa.RoleNone)
	if _, err := r.Admin.SetUser(t.Context(), "test", "east", admin.UserChange{Tags: &tags}); err != nil {
		t.Fatal(err)
	}
	r.status(r.signInAs("desk"), http.StatusSeeOther)
	p := r.get("/users")
	if !strings.Contains(p.text(), "east") || strings.Contains(p.text(), "west") {
		t.Errorf("sees %s", p.text())
	}
	r.status(r.get("/users/"+string(west)), http.StatusNotFound)
	r.status(r.post("/users/"+string(west)+"/block", "reason", "x"), http.StatusNotFound)
	r.status(r.post("/users/"+string(east)+"/block", "reason", "x"), http.StatusSeeOther)
	for _, act := range []string{"/remove", "/token", "/password", "/state", "/edit", "/recovery"} {
		r.status(r.post("/users/"+string(east)+act, "login", "east", "state", "exempt"), http.StatusForbidden)
	}
	p = r.get("/users/" + string(east))
	if r.status(p, http.StatusOK); strings.Contains(p.body, "/remove") || strings.Contains(p.body, "/token") {
		t.Error("the page offers what is refused")
	}
	for _, path := range []string{"/attempts", "/audit", "/applications"} {
		r.status(r.get(path), http.StatusForbidden)
	}
}

func TestProtectAnApplication(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	r.status(r.get("/protect"), http.StatusOK)
	for _, p := range profiles {
		r.status(r.get("/protect/"+p.ID), http.StatusOK)
	}
	bad := r.post("/protect/openvpn/create", "name", "vpn", "addresses", "not an address", "first_factor", "local", "passcode", "either", "message_authenticator", "learn")
	r.status(bad, http.StatusUnprocessableEntity)
	p := r.post("/protect/openvpn/create", "name", "vpn", "addresses", "10.0.0.5, 10.1.0.0/16", "first_factor", "local", "passcode", "either", "message_authenticator", "require")
	r.status(p, http.StatusOK)
	a, err := r.db.ApplicationByName("vpn")
	if err != nil || len(a.Addresses) != 2 || a.MA != mfa.MARequire || a.Secret.Len() != 26 {
		t.Fatalf("made %+v, %v", a, err)
	}
	secret := string(a.Secret.Expose())
	if !strings.Contains(p.text(), secret) || !strings.Contains(p.text(), "10.0.0.1:1812 nyc1") || !strings.Contains(p.text(), "OpenVPN") {
		t.Error(p.text())
	}
	if p = r.get("/applications/vpn"); strings.Contains(p.body, secret) || !strings.Contains(p.text(), "was shown when it was made") {
		t.Error("the secret is shown a second time")
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, secret) {
			t.Errorf("the secret is in the trail: %+v", a)
		}
	}
	tag := p.field(t, "etag")
	edit := []string{"etag", tag, "addresses", "10.0.0.9", "first_factor", "local", "passcode", "append", "message_authenticator", "learn", "degraded", "refuse", "enabled", "1"}
	r.now = r.now.Add(time.Second)
	r.status(r.post("/applications/vpn/edit", edit...), http.StatusSeeOther)
	r.status(r.post("/applications/vpn/edit", edit...), http.StatusConflict) // the second tab
	if a, _ := r.db.ApplicationByName("vpn"); a.DegradedAllow || a.Disabled || a.Passcode != mfa.PasscodeAppend {
		t.Errorf("set %+v", a)
	}
	r.status(r.post("/applications/vpn/remove", "name", "other"), http.StatusUnprocessableEntity)
	r.status(r.post("/applications/console/remove", "name", "console"), http.StatusUnprocessableEntity)
	r.status(r.post("/applications/vpn/remove", "name", "vpn"), http.StatusSeeOther)
	r.status(r.get("/applications/vpn"), http.StatusNotFound)
}

func TestRecords(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: r.now, Server: "nyc1", Application: "vpn", Login: "bob", Reason: mfa.WrongCode, Source: "10.9.8.7"}}); err != nil {
		t.Fatal(err)
	}
	p := r.get("/attempts")
	for _, want := range []string{"bob", "wrong_code", "refused", "10.9.8.7", "vpn"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	if p = r.get("/audit"); !strings.Contains(p.text(), "administrator add") {
		t.Error(p.text())
	}
}

// TestReports: each report has a page, with a chart where something happened over time, the
// same figures as a table, and that as a file in which no cell is a formula.
func TestReports(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	known := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: r.now, Server: "nyc1", Application: "vpn", Login: "=cmd|x", Reason: mfa.ExemptNetwork, Verdict: mfa.Accept, Source: "10.9.8.7"}
	if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &known}); err != nil {
		t.Fatal(err)
	}
	for _, name := range admin.Reports() {
		p := r.get("/reports/" + name)
		over := !strings.Contains(p.text(), "No sign-in fits") && name != admin.ReportEnrolment && name != admin.ReportBlastRADIUS
		if counted := name == admin.ReportSignIns || name == admin.ReportNoSecondFactor || name == admin.ReportBypassed; over != counted {
			t.Errorf("%s: something happened: %v, want %v", name, over, counted)
		}
		if r.status(p, http.StatusOK); strings.Contains(p.body, "<svg") != over || !strings.Contains(p.body, ".csv?") {
			t.Errorf("%s: a chart: %v, want %v\n%s", name, !over, over, p.text())
		}
		if strings.Contains(p.body, "style=") || strings.Contains(p.body, "<style") {
			t.Errorf("%s has style of its own, which the policy forbids", name)
		}
	}
	if p := r.get("/reports/no-second-factor?days=1"); !strings.Contains(p.text(), "=cmd|x vpn exempt_network") || !strings.Contains(p.text(), "1 accepted 0 refused") {
		t.Error(p.text())
	}
	if p := r.get("/reports/no-second-factor?days=1&application=mail"); strings.Contains(p.text(), "=cmd|x") {
		t.Error("not selected by application")
	}
	p := r.get("/reports/no-second-factor/people.csv?days=1")
	if r.status(p, http.StatusOK); !strings.HasPrefix(p.body, "login,application,") || !strings.Contains(p.body, "'=cmd|x,vpn,exempt_network,,1,") || !strings.Contains(p.Header.Get("Content-Disposition"), "no-second-factor-people.csv") {
		t.Errorf("%s %q", p.Header, p.body)
	}
	r.status(r.get("/reports/nonsense"), http.StatusNotFound)
	r.status(r.get("/reports/sign-ins/nonsense.csv"), http.StatusNotFound)
	p = r.get("/attempts/" + known.ID.String())
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), `Server nyc1 let "=cmd|x" in at vpn: the source lies in an exempt network of the application`) {
		t.Error(p.text())
	}
	r.status(r.get("/attempts/aaaaaaaaaaaaaaaa"), http.StatusNotFound)
}

func TestStatusPage(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	p := r.get("/")
	for _, want := range []string{"nyc1 this one", "nyc2", "not heard", "2 days", "radius 10.0.0.1:1812", "1 / 2", "up to date"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	if strings.Contains(strings.ToLower(p.text()), "promote") {
		t.Error("it asks to promote")
	}
}

// An invitation is shown once, to who may give a pass, and to nobody else.
func TestInviteUser(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	page := "/users/" + string(r.person("bob", mfa.RoleNone))
	link := r.post(page+"/invite", "what", "link")
	if r.status(link, http.StatusOK); !strings.Contains(link.text(), "https://nyc1.example/portal/welcome?code=") || !strings.Contains(link.text(), "this alone is enough") {
		t.Error(link.text())
	}
	code := r.post(page+"/invite", "what", "code")
	if r.status(code, http.StatusOK); strings.Contains(code.text(), "?code=") || !regexp.MustCompile(`<p class="code big">[0-9a-z]{4}-[0-9a-z]{4}</p>`).MatchString(code.body) {
		t.Error(code.text())
	}
	if p := r.get(page); strings.Contains(p.body, "?code=") || !strings.Contains(p.text(), "Invite by link") {
		t.Error(p.text())
	}
	r = signedInAs(t, mfa.RoleHelpDesk)
	page = "/users/" + string(r.person("bob", mfa.RoleNone))
	r.status(r.post(page+"/invite", "what", "link"), http.StatusForbidden)
	if p := r.get(page); strings.Contains(p.text(), "Invite by link") {
		t.Error(p.text())
	}
}
