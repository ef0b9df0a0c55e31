package portal

import (
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/policy"
)

// site gives the rig's group a site for passkeys.
func (r *rig) site(change func(*policy.Settings)) {
	r.t.Helper()
	if err := r.db.UpdateSettings(r.t.Context(), func(s *policy.Settings) error {
		s.PasskeySite = "nyc1.example"
		if change != nil {
			change(s)
		}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
}

// options are what a page gives the browser for a passkey.
func (p page) options(t *testing.T, kind string) []byte {
	t.Helper()
	m := regexp.MustCompile(`data-passkey="` + kind + `" data-options="([^"]*)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no form for a passkey (%s) in\n%s", kind, p.body)
	}
	return []byte(html.UnescapeString(m[1]))
}

// makes adds a passkey in both steps, and leaves out what the browser does.
func (r *rig) makes(a *passkeytest.Authenticator, label string) page {
	r.t.Helper()
	p := r.get("/portal/passkey")
	made, err := a.Make(p.options(r.t, "create"))
	if err != nil {
		r.t.Fatal(err)
	}
	p = r.post("/portal/passkey", "ticket", p.field(r.t, "ticket"), "label", label, "passkey", made)
	r.status(p, http.StatusOK)
	used, err := a.Use(p.options(r.t, "get"))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.post("/portal/passkey/prove", "ticket", p.field(r.t, "ticket"), "credential", p.field(r.t, "credential"), "passkey", used)
}

func newKey() *passkeytest.Authenticator {
	return &passkeytest.Authenticator{Origin: "https://nyc1.example", Verified: true, Counts: true}
}

// From the page that adds a passkey to signing in with it: after the password, and without.
func TestPasskeyFromFirstToLast(t *testing.T) {
	r, _ := enrolled(t)
	r.site(nil)
	key := newKey()
	if home := r.get("/portal/"); !strings.Contains(home.body, `href="/portal/passkey"`) {
		t.Errorf("home: %s", home.text())
	}
	r.leads(r.makes(key, "laptop"), "/portal/?done=done.passkey")
	if home := r.get("/portal/?done=done.passkey"); !strings.Contains(home.text(), "laptop Passkey") || !strings.Contains(home.text(), "It works.") {
		t.Errorf("home: %s", home.text())
	}
	if acts := r.trail.Recorded(); acts[len(acts)-1].Verb != "credential confirm" || acts[len(acts)-2].Verb != "credential add" || acts[len(acts)-1].By != "alice (portal)" {
		t.Errorf("recorded %+v", acts)
	}
	r.leads(r.post("/portal/sign-out"), "/portal/sign-in")

	p := r.post("/portal/sign-in", "login", "alice", "password", password)
	used, err := key.Use(p.options(t, "get"))
	if err != nil {
		t.Fatal(err)
	}
	handle := p.field(t, "handle")
	if !strings.Contains(p.body, "data-auto") || !strings.Contains(p.body, `name="code"`) {
		t.Errorf("asked: %s", p.body)
	}
	wrong := r.post("/portal/sign-in", "login", "alice", "handle", handle, "passkey", strings.Replace(used, `"signature":"`, `"signature":"AA`, 1))
	if r.status(wrong, http.StatusOK); !strings.Contains(wrong.text(), "That passkey was not accepted.") || strings.Contains(wrong.body, "data-auto") {
		t.Errorf("a wrong one: %s", wrong.text())
	}
	if used, err = key.Use(wrong.options(t, "get")); err != nil {
		t.Fatal(err)
	}
	r.leads(r.post("/portal/sign-in", "login", "alice", "handle", wrong.field(t, "handle"), "passkey", used), "/portal/")
	r.leads(r.post("/portal/sign-out"), "/portal/sign-in")
	r.cookie = ""
	if p := r.post("/portal/sign-in", "login", "alice", "handle", wrong.field(t, "handle"), "passkey", used); r.cookie != "" || p.StatusCode != http.StatusUnauthorized {
		t.Errorf("the same once more: %s", p.Status)
	}

	if p := r.get("/portal/sign-in"); strings.Contains(p.body, "discover") {
		t.Error("a passkey alone is offered, which the policy does not say")
	}
	r.status(r.post("/portal/sign-in", "discover", "1"), http.StatusUnauthorized)
	r.site(func(s *policy.Settings) { s.PasskeyAlone = []string{"portal"} })
	if p := r.get("/portal/sign-in"); !strings.Contains(p.body, `name="discover"`) {
		t.Errorf("a passkey alone is not offered: %s", p.body)
	}
	p = r.post("/portal/sign-in", "discover", "1", "back", "/portal/sign-ins")
	if used, err = key.Use(p.options(t, "get")); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(p.body, `name="code"`) {
		t.Error("a code is asked for, of nobody knows whom")
	}
	r.leads(r.post("/portal/sign-in", "login", "", "handle", p.field(t, "handle"), "passkey", used, "back", p.field(t, "back")), "/portal/sign-ins")
	if home := r.get("/portal/"); !strings.Contains(home.text(), "Hello, alice") {
		t.Errorf("home: %s", home.text())
	}
}

// A passkey serves once it was used, and what was made for one user or ceremony is good for no other.
func TestPasskeyIsProvenFirst(t *testing.T) {
	r, d := enrolled(t)
	r.site(nil)
	key := newKey()
	first := r.get("/portal/passkey")
	made, err := key.Make(first.options(t, "create"))
	if err != nil {
		t.Fatal(err)
	}
	ticket := first.field(t, "ticket")
	r.status(r.post("/portal/passkey", "ticket", ticket, "label", "a\nb", "passkey", made), http.StatusUnprocessableEntity)
	r.status(r.post("/portal/passkey", "ticket", "", "label", "", "passkey", made), http.StatusUnprocessableEntity)
	r.status(r.post("/portal/passkey", "ticket", ticket, "label", "", "passkey", "{}"), http.StatusUnprocessableEntity)
	kept := r.post("/portal/passkey", "ticket", ticket, "label", "x", "passkey", made)
	r.status(kept, http.StatusOK)
	if p := r.post("/portal/passkey", "ticket", ticket, "label", "y", "passkey", made); p.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("made twice: %s", p.Status)
	}
	if home := r.get("/portal/"); strings.Contains(home.text(), "Passkey x") || strings.Contains(home.text(), "x Passkey") {
		t.Errorf("one that was never used is shown: %s", home.text())
	}
	elsewhere := r.cookie
	r.cookie = ""
	if p := r.post("/portal/sign-in", "login", "alice", "password", password); strings.Contains(p.body, "data-passkey") {
		t.Error("one that was never used is asked for")
	}
	r.cookie = elsewhere
	proof := kept.field(t, "ticket")
	used, err := key.Use(kept.options(t, "get"))
	if err != nil {
		t.Fatal(err)
	}
	r.status(r.post("/portal/passkey/prove", "ticket", ticket, "credential", kept.field(t, "credential"), "passkey", used), http.StatusUnprocessableEntity)
	// Of another user the ticket is none.
	r.person("eve", password)
	r.cookie = ""
	r.leads(r.post(welcomePath, "login", "eve", "password", password, "code", r.invite("eve")), "/portal/token")
	r.status(r.post("/portal/passkey/prove", "ticket", proof, "credential", kept.field(t, "credential"), "passkey", used), http.StatusNotFound)
	r.cookie = elsewhere
	r.leads(r.post("/portal/passkey/prove", "ticket", proof, "credential", kept.field(t, "credential"), "passkey", used), "/portal/?done=done.passkey")
	r.status(r.post("/portal/passkey/prove", "ticket", proof, "credential", kept.field(t, "credential"), "passkey", used), http.StatusUnprocessableEntity)
	r.now = r.now.Add(11 * 60e9)
	late := r.get("/portal/")
	r.status(late, http.StatusOK)
	r.leads(r.signIn("/portal/confirm", "ignored", password, d.next()), "/portal/")
	id := kept.field(t, "credential")
	r.leads(r.post("/portal/factor/"+id+"/rename", "label", "blue key"), "/portal/?done=done.renamed")
	r.leads(r.post("/portal/factor/"+id+"/remove"), "/portal/?done=done.removed")
	if home := r.get("/portal/"); strings.Contains(home.text(), "blue key") {
		t.Errorf("home: %s", home.text())
	}
}

// A page under another name says where passkeys work, and asks for none.
func TestPasskeysBelongToAName(t *testing.T) {
	r, _ := enrolled(t)
	if p := r.get("/portal/"); strings.Contains(p.body, "/portal/passkey") {
		t.Error("a passkey is offered without a site")
	}
	r.status(r.get("/portal/passkey"), http.StatusUnprocessableEntity)
	r.site(func(s *policy.Settings) { s.PasskeyAlone = []string{"portal"} })
	key := newKey()
	r.leads(r.makes(key, ""), "/portal/?done=done.passkey")
	for host, said := range map[string]string{
		"10.0.0.7:8443":       "opened by its address, 10.0.0.7:8443, only under nyc1.example",
		"nyc2.example":        "do not work under nyc2.example, only under nyc1.example",
		"xnyc1.example":       "do not work under xnyc1.example",
		"nyc1.example.evil.x": "do not work under nyc1.example.evil.x",
	} {
		under := func(method, path, body string) page {
			req := httptest.NewRequestWithContext(t.Context(), method, "https://"+host+path, strings.NewReader(body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			return r.send(req)
		}
		for _, path := range []string{"/portal/passkey", "/portal/confirm"} {
			if p := under(http.MethodGet, path, ""); !strings.Contains(p.text(), said) || strings.Contains(p.body, "data-passkey") || strings.Contains(p.body, "discover") {
				t.Errorf("%s at %s: %s", path, host, p.text())
			}
		}
		if p := under(http.MethodPost, "/portal/confirm", "password="+strings.ReplaceAll(password, " ", "+")); strings.Contains(p.body, "data-passkey") || !strings.Contains(p.body, `name="code"`) {
			t.Errorf("a passkey is asked for at %s: %s", host, p.body)
		}
	}
	if p := r.send(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example:9443/portal/passkey", nil)); !strings.Contains(p.body, "data-passkey") {
		t.Errorf("at another port: %s", p.text())
	}
}
