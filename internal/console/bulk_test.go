package console

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/session"
)

// postForm sends a form of which a field may be there several times.
func (r *rig) postForm(path string, form url.Values) page {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://nyc1.example"+path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return r.send(req)
}

// Many users at once: a receipt first, then each is a write and a record of its own, and who
// has changed since is left alone and told of.
func TestManyAtOnce(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	var ids []string
	for _, login := range []string{"bob", "carol", "dave"} {
		ids = append(ids, string(r.person(login, mfa.RoleNone)))
	}
	owner := string(r.person("olga", mfa.RoleOwner))
	if p := r.get("/users"); strings.Count(p.body, `type="checkbox" name="id"`) != 5 {
		t.Errorf("no boxes: %s", p.body)
	}
	p := r.postForm("/users/bulk/look", url.Values{"id": append(ids, owner), "act": {"block"}, "word": {"moved away"}})
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "4 users are concerned. Nothing is done yet. bob, carol, dave, olga") {
		t.Error(p.text())
	}
	if u := r.user(mfa.UserID(ids[0])); u.Blocked {
		t.Fatal("a look blocks")
	}
	name := "Carol the faster"
	if _, err := r.Admin.SetUser(t.Context(), "somebody else", "carol", admin.UserChange{Name: &name}); err != nil {
		t.Fatal(err)
	}
	r.now = r.now.Add(session.Fresh) // both the form and the list are kept for the proof
	p = r.prove(r.post("/users/bulk/do", "list", p.field(t, "list")))
	r.status(p, http.StatusOK)
	for _, want := range []string{"Done to 2 users. 2 were not done.", "carol: ", "changed by somebody else", "olga: ", "What was done bob, dave"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	for login, blocked := range map[string]bool{"bob": true, "carol": false, "dave": true, "olga": false} {
		if u, _ := r.Admin.User(t.Context(), login); u.Blocked != blocked {
			t.Errorf("%s: blocked is %t", login, u.Blocked)
		}
	}
	n := 0
	for _, a := range r.trail.Recorded() {
		if a.Verb == "user block" && a.By == "alice (console)" && strings.HasSuffix(a.Detail, "moved away") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d blocks are recorded", n)
	}
}

func TestEveryActOnMany(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	for i := range 3 {
		r.person(fmt.Sprintf("user%d", i), mfa.RoleNone)
	}
	for _, one := range []struct {
		act, word string
		then      func(admin.User) bool
	}{
		{"block", "", func(u admin.User) bool { return u.Blocked }},
		{"unblock", "", func(u admin.User) bool { return !u.Blocked }},
		{"unlock", "", func(admin.User) bool { return true }},
		{"disable", "", func(u admin.User) bool { return u.State == "denied" }},
		{"enable", "", func(u admin.User) bool { return u.State == "protected" }},
		{"tag", "east", func(u admin.User) bool { return strings.Join(u.Tags, "") == "east" }},
		{"tag", "east", func(u admin.User) bool { return strings.Join(u.Tags, "") == "east" }},
		{"untag", "east", func(u admin.User) bool { return len(u.Tags) == 0 }},
	} {
		p := r.post("/users/bulk/look", "whom", "fit", "search", "user", "state", "", "act", one.act, "word", one.word)
		r.status(p, http.StatusOK)
		if p = r.post("/users/bulk/do", "list", p.field(t, "list")); !strings.Contains(p.text(), "Done to 3 users.") {
			t.Errorf("%s: %s", one.act, p.text())
		}
		for i := range 3 {
			if u, _ := r.Admin.User(t.Context(), fmt.Sprintf("user%d", i)); !one.then(u) {
				t.Errorf("%s: %+v", one.act, u)
			}
		}
	}
	if u, _ := r.Admin.User(t.Context(), "alice"); u.Blocked || len(u.Tags) > 0 {
		t.Errorf("who does not fit is touched: %+v", u)
	}
	for _, bad := range [][]string{{"act", "remove", "id", "x"}, {"act", "tag", "whom", "fit"}, {"act", "block"}, {"act", "block", "whom", "fit", "search", "nobody of that name"}} {
		r.status(r.post("/users/bulk/look", bad...), http.StatusUnprocessableEntity)
	}
	r.status(r.post("/users/bulk/look", "act", "block", "id", "bbbbbbbbbbbbbbbb"), http.StatusNotFound)
	r.status(r.post("/users/bulk/do", "list", "made up"), http.StatusUnprocessableEntity)
	for i := range bulkMost + 4 {
		r.person(fmt.Sprintf("more%04d", i), mfa.RoleNone)
	}
	many := url.Values{"act": {"block"}}
	for i := range bulkMost + 1 {
		many.Add("id", fmt.Sprint(i))
	}
	if p := r.postForm("/users/bulk/look", many); p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.text(), "more than 1000") {
		t.Errorf("%s %s", p.Status, p.text())
	}
	// More than that fit a search: they come in slices, each with its receipt, to the last.
	p := r.post("/users/bulk/look", "act", "disable", "whom", "fit", "search", "more", "state", "protected")
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "1000 users are concerned") || !strings.Contains(p.text(), "More fit than can be done at once") {
		t.Fatal(p.text())
	}
	p = r.post("/users/bulk/do", "list", p.field(t, "list"))
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "Done to 1000 users.") || !strings.Contains(p.text(), "More fit the search.") {
		t.Fatal(p.text())
	}
	next := p.forms()[0]
	p = r.postForm("/users/bulk/look", next.fields)
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "4 users are concerned") || strings.Contains(p.text(), "More fit") {
		t.Fatal(p.text())
	}
	p = r.post("/users/bulk/do", "list", p.field(t, "list"))
	if !strings.Contains(p.text(), "Done to 4 users.") || strings.Contains(p.text(), "More fit") {
		t.Error(p.text())
	}
	if l, err := r.Admin.ListUsers(t.Context(), admin.UserQuery{Search: "more", State: "protected"}); err != nil || len(l.Users) > 0 {
		t.Errorf("%d are left, %v", len(l.Users), err)
	}
}

// A help desk does to many what it may do to each, within its reach.
func TestHelpDeskOnMany(t *testing.T) {
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
	r.status(r.post("/users/bulk/look", "act", "block", "id", string(west)), http.StatusNotFound)
	r.status(r.post("/users/bulk/look", "act", "disable", "id", string(east)), http.StatusUnprocessableEntity)
	p := r.post("/users/bulk/look", "act", "block", "whom", "fit")
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "1 user is concerned") {
		t.Error(p.text())
	}
	none := []string{}
	if _, err := r.Admin.SetUser(t.Context(), "test", "east", admin.UserChange{Tags: &none}); err != nil {
		t.Fatal(err)
	}
	if p = r.post("/users/bulk/do", "list", p.field(t, "list")); !strings.Contains(p.text(), "Done to 0 users. 1 was not done.") {
		t.Error(p.text())
	}
	r.status(r.get("/users/import"), http.StatusForbidden)
}

// upload sends a file.
func (r *rig) upload(content string) page {
	r.t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	part, err := m.CreateFormFile("file", "users.csv")
	if err != nil {
		r.t.Fatal(err)
	}
	_, _ = part.Write([]byte(content))
	_ = m.Close()
	req := httptest.NewRequestWithContext(r.t.Context(), http.MethodPost, "https://nyc1.example"+importPath, &b)
	req.Header.Set("Content-Type", m.FormDataContentType())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return r.send(req)
}

// A file is looked at first; what is imported is the file that was looked at.
func TestImportFromThePage(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	p := r.upload("login,email\nbob,bob@corp.example\nalice,\ncarol,not an address<script>\ndave,\n")
	r.status(p, http.StatusOK)
	r.innocent("a row", p)
	for _, want := range []string{"Rows 4", "Users who would be made 2", "There already 1", "Refused 1", "4 carol", "is not a mail address"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	if _, err := r.Admin.User(t.Context(), "bob"); err == nil {
		t.Fatal("a look imports")
	}
	r.now = r.now.Add(session.Fresh)
	p = r.prove(r.post("/users/import/do", "list", p.field(t, "list")))
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "Users who were made 2") {
		t.Error(p.text())
	}
	for _, login := range []string{"bob", "dave"} {
		if _, err := r.Admin.User(t.Context(), login); err != nil {
			t.Errorf("%s: %v", login, err)
		}
	}
	r.status(r.post("/users/import/do", "list", "made up"), http.StatusUnprocessableEntity)
	p = r.upload("name,unknown column\nx,y\n")
	if r.status(p, http.StatusUnprocessableEntity); len(p.forms()) != 1 || p.forms()[0].action != importPath {
		t.Errorf("a bad file: %s", p.text())
	}
	r.status(r.post(importPath, "file", "login\nbob\n"), http.StatusUnprocessableEntity) // no file
	if p = r.upload("login\n" + strings.Repeat("x", 300<<10)); p.StatusCode == http.StatusRequestEntityTooLarge {
		t.Error("a file has to be as small as a form")
	}
	r.status(r.upload("login\n"+strings.Repeat("somebody\n", 2<<20)), http.StatusRequestEntityTooLarge)
	r.status(r.post("/users/new/create", "login", strings.Repeat("x", 300<<10)), http.StatusRequestEntityTooLarge)
}
