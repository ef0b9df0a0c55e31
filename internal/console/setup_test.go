package console

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

func (r *rig) link() string {
	r.t.Helper()
	made, err := r.Admin.SetupLink(r.t.Context(), "root")
	if err != nil {
		r.t.Fatal(err)
	}
	token, ok := strings.CutPrefix(string(made.Link.Expose()), "https://nyc1.example/setup?link=")
	if !ok {
		r.t.Fatal("the link leads elsewhere")
	}
	return token
}

const longPassword = "a long password"

func TestFirstAdministrator(t *testing.T) {
	r := newRig(t)
	link := r.link()
	r.status(r.get("/setup?link="+link), http.StatusOK)
	for _, bad := range [][]string{
		{"link", link, "login", "", "password", longPassword, "again", longPassword},
		{"link", link, "login", "alice", "password", "short", "again", "short"},
		{"link", link, "login", "alice", "password", longPassword, "again", "another one"},
	} {
		if p := r.post("/setup", bad...); p.StatusCode != http.StatusUnprocessableEntity || r.cookie != "" {
			t.Errorf("%q: %s", bad[2:], p.Status)
		}
	}
	p := r.post("/setup", "link", link, "login", "alice", "password", longPassword, "again", longPassword)
	r.status(p, http.StatusOK)
	if !strings.Contains(p.body, `<svg class="qr"`) {
		t.Error("no QR code")
	}
	early := r.cookie
	for _, path := range []string{"/", "/users"} { // nothing before the second factor is proven
		if p := r.get(path); p.StatusCode != http.StatusSeeOther {
			t.Errorf("%s is open to who only sets up: %s", path, p.Status)
		}
	}
	if !r.Admin.SetupNeeded() {
		t.Error("an owner without a second factor")
	}
	r.status(r.post("/setup/code", "code", "000000"), http.StatusUnprocessableEntity)
	again := r.post("/setup/again")
	r.status(again, http.StatusOK)
	old, fresh := r.code(p), r.code(again)
	if p := r.post("/setup/code", "code", old); p.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("the key before is good: %s", p.Status)
	}
	p = r.post("/setup/code", "code", fresh)
	if r.status(p, http.StatusSeeOther); p.Header.Get("Location") != "/" || r.cookie == early {
		t.Errorf("to %q; the token is the one from before the proof: %t", p.Header.Get("Location"), r.cookie == early)
	}
	if p := r.get("/"); p.StatusCode != http.StatusOK || !strings.Contains(p.text(), "alice · owner") {
		t.Errorf("%s %s", p.Status, p.text())
	}
	r.cookie = ""
	r.status(r.get("/setup?link="+link), http.StatusForbidden)
	r.status(r.post("/setup", "link", link, "login", "eve", "password", longPassword, "again", longPassword), http.StatusForbidden)
	if _, err := r.Admin.SetupLink(t.Context(), "root"); err == nil {
		t.Error("another link, though there is an owner")
	}
	var verbs []string
	for _, a := range r.trail.Recorded() {
		verbs = append(verbs, a.Verb)
		if strings.Contains(a.Detail, link) || strings.Contains(a.Detail, longPassword) {
			t.Errorf("a secret in the trail: %+v", a)
		}
	}
	if got := strings.Join(verbs, ", "); !strings.HasPrefix(got, "console link, user add, credential add, credential confirm, credential remove, credential add, credential confirm, credential confirm, application add, administrator add") {
		t.Errorf("trail: %s", got)
	}
}

func TestLinkIsGoodOnceAndNotForLong(t *testing.T) {
	r := newRig(t)
	old := r.link()
	link := r.link()
	r.status(r.get("/setup?link="+old), http.StatusForbidden) // another one took its place
	r.status(r.get("/setup?link="), http.StatusForbidden)
	r.status(r.get("/setup"), http.StatusForbidden)
	var all sync.WaitGroup
	var mu sync.Mutex
	good := 0
	for i := range 8 {
		all.Go(func() {
			login := "alice" + string(rune('a'+i))
			_, err := r.Admin.BeginSetup(t.Context(), secret.FromString(link), admin.UserChange{Login: &login, Password: secret.NewWire(longPassword)})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				good++
			}
		})
	}
	all.Wait()
	if good != 1 {
		t.Errorf("one link let %d in", good)
	}
	late := r.link()
	r.now = r.now.Add(admin.SetupLife)
	r.status(r.get("/setup?link="+late), http.StatusForbidden)
	r.now = r.now.Add(-time.Second)
	r.status(r.get("/setup?link="+late), http.StatusOK)
	r.person("bob", mfa.RoleOwner)
	r.status(r.get("/setup?link="+late), http.StatusForbidden)
}
