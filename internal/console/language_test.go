package console

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/message"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/web"
	"countersign/internal/web/webtest"
)

func TestCatalogues(t *testing.T) {
	webtest.Catalogues(t, textFiles)
	webtest.Pages(t, pageFiles)
}

// Every text that a page or the code names is in the catalogue, and every one there is named.
func TestTexts(t *testing.T) {
	all, err := web.LoadTexts(textFiles, "en")
	if err != nil {
		t.Fatal(err)
	}
	own, err := fs.ReadFile(textFiles, "text/en.txt")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]bool{}
	look := func(file string, patterns ...string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range patterns {
			for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(string(b), -1) {
				named[m[1]] = true
				if _, ok := all[m[1]]; !ok && all[m[1]+".one"] == "" {
					t.Errorf("%s names the text %q, which is not there", file, m[1])
				}
			}
		}
	}
	pages, _ := fs.Glob(os.DirFS("."), "page/*.html")
	code, _ := fs.Glob(os.DirFS("."), "*.go")
	for _, f := range pages {
		look(f, `\bt "([a-z0-9.-]+)"`, `\bn "([a-z0-9.]+)"`)
		if name := strings.TrimSuffix(strings.TrimPrefix(f, "page/"), ".html"); name != "layout" && !strings.HasPrefix(name, "part-") {
			named["title."+name] = true
		}
	}
	for _, f := range code {
		if !strings.HasSuffix(f, "_test.go") {
			look(f, `say\(r, "([a-z0-9.]+)"`, `Texts\.Count\("([a-z0-9.]+)"`, `(?:Title:|title =|title :=) "([a-z0-9.-]+)"`, `done\([^"\n]*"[^"\n]*", "([a-z0-9.]+)"\)`, `text\("([a-z0-9.]+)"\)`,
				`orLocked\([^"\n]*"([a-z0-9.]+)"`, `orLocked\([^"\n]*"[^"\n]*", "([a-z0-9.]+)"\)`)
		}
	}
	for _, p := range profiles {
		for _, key := range p.Texts() {
			named[key] = true
		}
		if p.Name == "" {
			named["profile."+p.ID+".name"] = true
		}
	}
	for _, n := range append(numbers(policy.Defaults()), setting{Name: "login_domains"}) {
		named["setting."+n.Name] = true
	}
	for _, name := range []string{"passkey_site", "passkey_origins", "passkey_verification", "passkey_alone", "passkey_models_allow", "passkey_models_deny"} {
		named["setting."+name] = true
	}
	for _, way := range shownPasskeys(policy.Settings{}).Ways {
		named["verify."+way] = true
	}
	for _, way := range []string{"", "push", "sms", "call", "email"} { // of verifying a caller
		named["verify.way."+way] = true
	}
	named["verify.asked.push"], named["verify.asked.call"] = true, true
	for _, p := range mfa.HelpDeskPermissions() {
		named["permission."+p.String()] = true
	}
	for _, a := range bulkActs {
		named["bulk."+a.Name] = true
	}
	for _, name := range admin.Reports() {
		named["report."+name] = true
	}
	for _, name := range reportTables {
		named["report.table."+name] = true
	}
	for _, name := range reportColumns {
		named["report.col."+name] = true
	}
	for _, what := range sightTexts {
		named["sight."+what], named["sight."+what+".next"] = true, true
	}
	for _, name := range spanNames {
		named["attempt.last."+name] = true
	}
	for _, s := range admin.Scopes() {
		named["scope."+s] = true
	}
	for _, c := range append(ruleForm{}.conditions(), ruleForm{}.answers()...) {
		named["rule."+c.Key] = true
	}
	for _, key := range []string{"rule.zone", "access.deny", "access.first-factor", "access.both", "choice.yes", "choice.no"} {
		named[key] = true
	}
	for _, key := range []string{"parked.added", "parked.changed", "parked.removed", "standing.waits", "standing.conflict", "standing.done"} {
		named[key] = true
	}
	for way, kind := range ways {
		named["gateway.new."+way], named["gateway.address."+way], named["gateway.login."+way], named["gateway.kind."+kind.kind], named["gateway.to."+kind.kind] = true, true, true, true, true
	}
	for _, s := range []string{"unused", "ok", "ailing", "doubtful", "disabled"} {
		named["gateway.state."+s] = true
	}
	for _, purpose := range message.Purposes() {
		named["texts.purpose."+purpose] = true
	}
	for _, language := range message.Languages(nil) {
		named["texts.language."+language] = true
	}
	for _, s := range []string{"outcome", "application", "user state", "gate", "rule", "first factor", "second factor", "methods", "preferred method", "own order", "fallback", "PIN", "passcode", "remember", "prompts", "lock", "first factor lock", "without a master",
		"allowed", "refused", "never", "local", "prompt", "append", "either", "from.rule", "from.application", "from.user", "from.credential", "from.settings", "from.default"} {
		named["explain."+s] = true // see policy.Explain
	}
	for _, s := range []string{"settings", "name lookup", "connection", "service bind", "login", "search", "user bind", "groups", "address", "trunk", "session", "bind", "link"} {
		named["check.step."+s] = true // see directory.Test and gateway.Probe
	}
	for key := range all {
		if strings.HasPrefix(key, "audit.verb.") { // TestEveryActHasAName
			named[key] = true
		}
	}
	for _, s := range []mfa.State{mfa.StateDenied, mfa.StateProtected, mfa.StateExempt} {
		named["state."+s.String()] = true
	}
	for key := range named {
		if _, ok := all[key]; !ok && all[key+".one"] == "" {
			t.Errorf("the text %q is not there", key)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([^#=\s]+) = `).FindAllStringSubmatch(string(own), -1) {
		key := m[1]
		base := strings.TrimSuffix(strings.TrimSuffix(key, ".one"), ".other")
		if !named[key] && !named[base] && !strings.HasPrefix(key, "done.") && !strings.HasPrefix(key, "role.") {
			t.Errorf("nothing names the text %q", key)
		}
		if strings.HasSuffix(key, ".one") && all[base+".other"] == "" {
			t.Errorf("%s has no other form", base)
		}
	}
}

// german is a request of a browser that asks for German.
func (r *rig) german(method, path string, form url.Values) *http.Request {
	r.t.Helper()
	req := httptest.NewRequestWithContext(r.t.Context(), method, "https://nyc1.example"+path, strings.NewReader(form.Encode()))
	req.Header.Set("Accept-Language", "de-AT,de;q=0.9")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req
}

// A page is in the language that its reader chose, or else asks for: what it says by itself,
// what it says about what was typed, and what the engine asks.
func TestLanguage(t *testing.T) {
	r := newRig(t)
	r.person("alice", mfa.RoleOwner)
	p := r.send(r.german("GET", "/sign-in", nil))
	if !strings.Contains(p.body, `<html lang="de">`) || p.Header.Get("Content-Language") != "de" || !strings.Contains(p.text(), "Benutzername") {
		t.Errorf("%v %s", p.Header, p.body)
	}
	if p := r.get("/sign-in"); !strings.Contains(p.body, `<html lang="en">`) || !strings.Contains(p.text(), "User name") {
		t.Error(p.body)
	}
	p = r.send(r.german("POST", "/sign-in", url.Values{"login": {"alice"}, "password": {"wrong"}}))
	if r.status(p, http.StatusUnauthorized); !strings.Contains(p.text(), "Anmeldung abgelehnt. Vorgang ") {
		t.Error(p.text())
	}
	p = r.send(r.german("POST", "/sign-in", url.Values{"login": {"alice"}, "password": {"right"}}))
	if !strings.Contains(p.text(), "Geben Sie den Code aus Ihrer Authenticator-App ein") {
		t.Error(p.text())
	}
	r.status(r.signInAs("alice"), http.StatusSeeOther)
	for _, path := range []string{"/", "/users", "/applications", "/audit"} {
		if p := r.send(r.german("GET", path, nil)); !strings.Contains(p.body, `<html lang="de">`) || !strings.Contains(p.text(), "Eigentümer") {
			t.Errorf("%s: %s", path, p.text())
		}
	}
	foreign := r.german("POST", "/sign-out", url.Values{})
	foreign.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := r.send(foreign); !strings.Contains(p.body, "anderen Website") {
		t.Error(p.body)
	}

	p = r.post("/language", "language", "de", "back", "/users?search=a")
	if r.status(p, http.StatusSeeOther); p.Header.Get("Location") != "/users?search=a" {
		t.Error(p.Header)
	}
	kept := p.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-language=de", "HttpOnly", "Secure", "Path=/", "SameSite=Lax"} {
		if !strings.Contains(kept, want) {
			t.Errorf("cookie %q lacks %s", kept, want)
		}
	}
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/users", nil)
	req.Header.Set("Accept-Language", "en")
	req.AddCookie(&http.Cookie{Name: "__Host-language", Value: "de"})
	if p := r.send(req); !strings.Contains(p.text(), "Anmeldename, Name oder E-Mail-Adresse") {
		t.Error(p.text())
	}
	// It is with the account too, so that the next browser has it.
	u, err := r.Admin.User(t.Context(), "alice")
	if err != nil || u.Language != "de" {
		t.Errorf("alice's language is %q, %v", u.Language, err)
	}
	if last := r.trail.Recorded()[len(r.trail.Recorded())-1]; last.By != "alice (console)" || last.Verb != "user set" || !strings.Contains(last.Detail, "language") {
		t.Errorf("recorded as %+v", last)
	}
	r.cookie = ""
	set := r.signInAs("alice").Header.Values("Set-Cookie")
	if !strings.Contains(strings.Join(set, "\n"), "__Host-language=de") {
		t.Errorf("the next browser is told %q", set)
	}
	r.status(r.post("/language", "language", "xx", "back", "/"), http.StatusUnprocessableEntity)
	if p := r.post("/language", "language", "de", "back", "https://evil.example/"); p.Header.Get("Location") != "/" {
		t.Errorf("the choice leads to %s", p.Header.Get("Location"))
	}
}
