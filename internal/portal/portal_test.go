package portal

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/session"
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
	own, _ := fs.ReadFile(textFiles, "text/en.txt")
	named, prefixes := map[string]bool{}, map[string]bool{}
	look := func(file string, patterns ...string) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range patterns {
			for _, m := range regexp.MustCompile(p).FindAllStringSubmatch(string(b), -1) {
				named[m[1]] = true
			}
		}
		for _, m := range regexp.MustCompile(`(?:\bt \(print|home,) "([a-z0-9.]+\.)"`).FindAllStringSubmatch(string(b), -1) {
			prefixes[m[1]] = true
		}
	}
	pages, _ := fs.Glob(os.DirFS("."), "page/*.html")
	for _, f := range pages {
		look(f, `\bt "([a-z0-9.]+)"`, `\bn "([a-z0-9.]+)"`)
		if name := strings.TrimSuffix(strings.TrimPrefix(f, "page/"), ".html"); name != "layout" {
			named["title."+name] = true
		}
	}
	code, _ := fs.Glob(os.DirFS("."), "*.go")
	for _, f := range code {
		if !strings.HasSuffix(f, "_test.go") {
			look(f, `say\(r, "([a-z0-9.]+)"`, `[Tt]itle:? [:=]*\s?"([a-z0-9.-]+[a-z])"`, `done\(w, r, home, "([a-z0-9.]+)"\)`,
				`\b(?:key|said) = "([a-z0-9.]+)"`, `return "([a-z]+\.[a-z.]+)"`, `orLocked\([^"\n]*"([a-z0-9.]+)"\)`)
		}
	}
	for key := range named {
		if _, ok := all[key]; !ok && all[key+".one"] == "" {
			t.Errorf("the text %q is not there", key)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^([^#=\s]+) = `).FindAllStringSubmatch(string(own), -1) {
		base := strings.TrimSuffix(strings.TrimSuffix(m[1], ".one"), ".other")
		if !named[m[1]] && !named[base] && !prefixes[base[:strings.LastIndexByte(base, '.')+1]] && !strings.HasPrefix(m[1], "method.") && !strings.HasPrefix(m[1], "title.") {
			t.Errorf("nothing names the text %q", m[1])
		}
	}
}

// Nobody gets anywhere without a session, nor with one of the console.
func TestStrangers(t *testing.T) {
	r := newRig(t)
	user := r.person("alice", password)
	console, _, err := r.Sessions.Begin(t.Context(), mfa.Session{User: user, Application: admin.ConsoleApplication})
	if err != nil {
		t.Fatal(err)
	}
	setup, _, err := r.Sessions.Begin(t.Context(), mfa.Session{User: user, Application: application, Setup: true})
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"GET /portal/"}
	for pattern := range routes {
		paths = append(paths, strings.ReplaceAll(pattern, "{id}", "aaaaaaaaaaaaaaaa"))
	}
	for _, cookie := range []string{"", strings.Repeat("a", 52), string(console.Expose()), string(setup.Expose())} {
		for _, one := range paths {
			method, path, _ := strings.Cut(one, " ")
			r.cookie = cookie
			r.leads(r.send(httptest.NewRequestWithContext(t.Context(), method, "https://nyc1.example"+path, nil)), "/portal/sign-in")
		}
	}
}

func TestHeaders(t *testing.T) {
	r, _ := enrolled(t)
	for _, path := range []string{"/portal/", "/portal/sign-ins", "/portal/token", "/portal/nowhere", "/portal/welcome?code=x", "/elsewhere"} {
		p := r.get(path)
		for name, want := range map[string]string{"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "Cache-Control": "no-store", "Strict-Transport-Security": "max-age="} {
			if got := p.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if m := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`).FindString(strings.ReplaceAll(p.body, "http://www.w3.org/2000/svg", "")); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
	}
	for name, header := range map[string][2]string{"another site": {"Sec-Fetch-Site", "cross-site"}, "another origin": {"Origin", "https://evil.example"}} {
		for pattern := range routes {
			method, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{id}", "aaaaaaaaaaaaaaaa"), " ")
			req := httptest.NewRequestWithContext(t.Context(), method, "https://nyc1.example"+path, nil)
			req.Header.Set(header[0], header[1])
			if p := r.send(req); method == http.MethodPost && p.StatusCode != http.StatusForbidden {
				t.Errorf("%s sends to %s: %s", name, path, p.Status)
			}
		}
	}
	if p := r.get(r.assets.Names["console.css"]); p.StatusCode != http.StatusOK || !strings.HasPrefix(r.assets.Names["console.css"], "/portal/assets/") {
		t.Errorf("style sheet: %s", p.Status)
	}
}

// By an invitation and the password to a token that works, and in with it.
func TestInvitationLeadsToAToken(t *testing.T) {
	r := newRig(t)
	r.person("alice", password)
	code := r.invite("alice")
	before := len(r.trail.Recorded())
	p := r.get(welcomePath + "?code=" + code)
	if r.status(p, http.StatusOK); p.field(t, "code") != code || len(r.trail.Recorded()) != before {
		t.Error("opening the link does something")
	}
	r.leads(r.post(welcomePath, "login", "alice", "password", password, "code", code), "/portal/token")
	if home := r.get("/portal/"); !strings.Contains(home.text(), "You have no second factor yet") {
		t.Errorf("home: %s", home.text())
	}
	p = r.post("/portal/token", "label", `<b>phone`)
	d := r.device(p)
	id := p.field(t, "credential")
	r.status(r.post("/portal/token/prove", "credential", id, "code", "000000"), http.StatusUnprocessableEntity)
	r.leads(r.post("/portal/token/prove", "credential", id, "code", " "+d.next()), "/portal/?done=done.token")
	if home := r.get("/portal/?done=done.token"); strings.Contains(home.text(), "no second factor") || !strings.Contains(home.text(), "<b>phone") || !strings.Contains(home.text(), "It works.") || strings.Contains(home.body, "<b>phone") {
		t.Errorf("home: %s", home.text())
	}
	r.leads(r.post("/portal/sign-out"), "/portal/sign-in")
	r.leads(r.get("/portal/"), "/portal/sign-in")
	r.leads(r.signIn("/portal/sign-in", "alice", password, d.next()), "/portal/")
	if home := r.get("/portal/"); !strings.Contains(home.text(), "Hello, alice") || !strings.Contains(home.text(), "portal let in") {
		t.Errorf("home: %s", home.text())
	}
	if asked := r.get("/portal/sign-ins"); !strings.Contains(asked.text(), "192.0.2.1") {
		t.Errorf("sign-ins: %s", asked.text())
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, code) || a.By == "" {
			t.Errorf("recorded %+v", a)
		}
	}
}

// What an invitation is not good for: each of these is refused in the same words, and what
// was wrong says nothing about who there is.
func TestInvitationRefused(t *testing.T) {
	r := newRig(t)
	r.person("alice", password)
	r.person("bob", "")
	code := r.invite("alice")
	id := regexp.MustCompile(`[a-z2-7]{16}`)
	said := ""
	for name, form := range map[string][]string{
		"nobody":                          {"login", "nobody", "password", password, "code", code},
		"nobody without password":         {"login", "nobody", "password", "", "code", code},
		"wrong password":                  {"login", "alice", "password", "wrong", "code", code},
		"no password, though she has one": {"login", "alice", "password", "", "code", code},
		"another's code":                  {"login", "bob", "password", "", "code", code},
		"another's code and a password":   {"login", "bob", "password", password, "code", code},
		"no login":                        {"login", "", "password", password, "code", code},
		"nothing":                         {},
		"a wild handle":                   {"login", "alice", "handle", "!!", "code", code},
	} {
		p := r.post(welcomePath, form...)
		if r.status(p, http.StatusUnauthorized); r.cookie != "" {
			t.Fatalf("%s: in", name)
		}
		note := regexp.MustCompile(`(?s)role="alert"><p>(.*?)</p>`).FindStringSubmatch(p.body)
		if note == nil {
			t.Fatalf("%s: %s", name, p.text())
		}
		if text := id.ReplaceAllString(note[1], "ID"); said == "" {
			said = text
		} else if text != said {
			t.Errorf("%s: said %q, others %q", name, text, said)
		}
	}
	r.leads(r.post(welcomePath, "login", "alice", "password", password, "code", code), "/portal/token")
	r.cookie = ""
	r.status(r.post(welcomePath, "login", "alice", "password", password, "code", code), http.StatusUnauthorized)
	if r.cookie != "" {
		t.Error("in by a used one")
	}
	late := r.invite("alice")
	r.now = r.now.Add(25 * time.Hour)
	r.status(r.post(welcomePath, "login", "alice", "password", password, "code", late), http.StatusUnauthorized)
	first := r.invite("alice")
	r.invite("alice")
	r.post(welcomePath, "login", "alice", "password", password, "code", first)
	if r.cookie != "" {
		t.Error("an invitation that another took the place of is good")
	}
}

// Whoever has a second factor already and opens an old link is told that the link is not good
// any more, and is not asked for a code of that factor.
func TestUsedInvitationAsksForNothingElse(t *testing.T) {
	r := newRig(t)
	r.person("alice", password)
	code := r.invite("alice")
	r.leads(r.post(welcomePath, "login", "alice", "password", password, "code", code), "/portal/token")
	r.enrol("phone")
	r.cookie = ""
	p := r.post(welcomePath, "login", "alice", "password", password, "code", code)
	if r.status(p, http.StatusUnauthorized); r.cookie != "" || strings.Contains(p.text(), "authenticator") || !strings.Contains(p.text(), "invitation may have been used") || p.field(t, "login") != "alice" {
		t.Errorf("a used link: %s", p.text())
	}
}

// Who has no password comes in by the invitation alone, and gives themselves one.
func TestInvitationWithoutPassword(t *testing.T) {
	r := newRig(t)
	r.person("bob", "")
	code := r.invite("bob")
	r.leads(r.post(welcomePath, "login", "bob", "password", "", "code", code), "/portal/token")
	d := r.enrol("phone")
	r.status(r.post("/portal/password", "password", "short", "again", "short"), http.StatusUnprocessableEntity)
	r.status(r.post("/portal/password", "password", password, "again", "another"), http.StatusUnprocessableEntity)
	r.leads(r.post("/portal/password", "password", password, "again", password), "/portal/?done=done.password")
	r.cookie = ""
	r.leads(r.signIn("/portal/sign-in", "bob", password, d.next()), "/portal/")
	// An invitation from before the password was there is no way around it.
	r.person("carol", "")
	code = r.invite("carol")
	pw := admin.UserChange{Password: secret.NewWire(password)}
	if _, err := r.Admin.SetUser(t.Context(), "root", "carol", pw); err != nil {
		t.Fatal(err)
	}
	r.cookie = ""
	if p := r.post(welcomePath, "login", "carol", "password", "", "code", code); p.StatusCode != http.StatusUnauthorized || r.cookie != "" {
		t.Errorf("by the link alone, though she has a password: %s", p.Status)
	}
}

// Nobody enrols with a password alone, and guesses at codes lock.
func TestPasswordAloneIsNotEnough(t *testing.T) {
	r := newRig(t)
	r.person("alice", password)
	r.status(r.post("/portal/sign-in", "login", "alice", "password", password), http.StatusUnauthorized)
	r.status(r.post(welcomePath, "login", "alice", "password", password, "code", ""), http.StatusUnauthorized)
	made, err := r.Enroll.Invite(t.Context(), "root", "alice", enroll.InviteRequest{Code: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range policy.Defaults().Tries {
		r.post(welcomePath, "login", "alice", "password", password, "code", "2222-222"+string(rune('2'+i)))
		r.now = r.now.Add(time.Second)
	}
	if p := r.post(welcomePath, "login", "alice", "password", password, "code", string(made.Code.Expose())); p.StatusCode != http.StatusUnauthorized || r.cookie != "" {
		t.Errorf("the right code after as many wrong ones as there may be: %s", p.Status)
	}
	state := "exempt"
	if _, err := r.Admin.SetUser(t.Context(), "root", "alice", admin.UserChange{State: &state}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Admin.UnlockUser(t.Context(), "root", "alice"); err != nil {
		t.Fatal(err)
	}
	if p := r.post("/portal/sign-in", "login", "alice", "password", password); p.StatusCode != http.StatusUnauthorized || r.cookie != "" || !strings.Contains(p.text(), "Two factors are needed here") {
		t.Errorf("somebody who is exempt: %s %s", p.Status, p.text())
	}
}

// What changes the account asks for both factors again if the last proof is old.
func TestFreshness(t *testing.T) {
	r, d := enrolled(t)
	r.now = r.now.Add(session.Fresh)
	for pattern, one := range routes {
		method, path, _ := strings.Cut(strings.ReplaceAll(pattern, "{id}", "aaaaaaaaaaaaaaaa"), " ")
		p := r.send(httptest.NewRequestWithContext(t.Context(), method, "https://nyc1.example"+path, nil))
		if to := p.Header.Get("Location"); one.fresh != strings.HasPrefix(to, "/portal/confirm?") {
			t.Errorf("%s: %s to %q", pattern, p.Status, to)
		}
	}
	if strings.Contains(r.get("/portal/").Header.Get("Location"), "confirm") {
		t.Error("the start page asks for a proof")
	}
	first := r.cookie
	r.leads(r.signIn("/portal/confirm", "ignored", password, d.next()), "/portal/")
	if r.cookie == first {
		t.Error("a proof does not change the token")
	}
	r.status(r.get("/portal/password"), http.StatusOK)
	r.now = r.now.Add(session.Idle)
	r.leads(r.get("/portal/"), "/portal/sign-in")
}

func TestFactors(t *testing.T) {
	r, _ := enrolled(t)
	phone := regexp.MustCompile(`/portal/factor/([a-z2-7]{16})`).FindStringSubmatch(r.get("/portal/").body)[1]
	if p := r.post("/portal/factor/" + phone + "/remove"); p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "last second factor") {
		t.Errorf("the last one: %s %s", p.Status, p.text())
	}
	r.leads(r.post("/portal/factor/"+phone+"/rename", "label", "old phone"), "/portal/?done=done.renamed")
	r.status(r.post("/portal/factor/"+phone+"/rename", "label", strings.Repeat("x", 65)), http.StatusUnprocessableEntity)
	r.status(r.post("/portal/token", "label", "a\nb"), http.StatusUnprocessableEntity)
	p := r.post("/portal/recovery")
	codes := regexp.MustCompile(`<li>([0-9a-z]{5}-[0-9a-z]{5})</li>`).FindAllStringSubmatch(p.body, -1)
	if len(codes) != 10 {
		t.Fatalf("%d recovery codes in\n%s", len(codes), p.body)
	}
	if home := r.get("/portal/"); !strings.Contains(home.text(), "10 codes left") || strings.Contains(home.body, codes[0][1]) {
		t.Errorf("home: %s", home.text())
	}
	r.enrol("new phone")
	r.leads(r.post("/portal/factor/"+phone+"/remove"), "/portal/?done=done.removed")
	if home := r.get("/portal/"); strings.Contains(home.text(), "old phone") || !strings.Contains(home.text(), "new phone") {
		t.Errorf("home: %s", home.text())
	}
	r.leads(r.post("/portal/sign-out"), "/portal/sign-in")
	r.leads(r.signIn("/portal/sign-in", "alice", password, codes[3][1]), "/portal/")
	if home := r.get("/portal/"); !strings.Contains(home.text(), "9 codes left") {
		t.Errorf("home: %s", home.text())
	}
}

// What is another's is not found, by whatever form.
func TestOthersAreNotFound(t *testing.T) {
	r, _ := enrolled(t)
	phone := regexp.MustCompile(`/portal/factor/([a-z2-7]{16})`).FindStringSubmatch(r.get("/portal/").body)[1]
	theirs := regexp.MustCompile(`/portal/sign-ins/([a-z2-7]{16})`).FindStringSubmatch(r.get("/portal/").body)[1]
	r.person("eve", password)
	r.cookie = ""
	r.leads(r.post(welcomePath, "login", "eve", "password", password, "code", r.invite("eve")), "/portal/token")
	for _, p := range []page{
		r.get("/portal/factor/" + phone), r.post("/portal/factor/"+phone+"/rename", "label", "mine"), r.post("/portal/factor/" + phone + "/remove"),
		r.post("/portal/token/prove", "credential", phone, "code", "123456"), r.post("/portal/token/prove"),
		r.get("/portal/sign-ins/" + theirs), r.post("/portal/sign-ins/" + theirs + "/not-me"), r.get("/portal/factor/totp"),
	} {
		r.status(p, http.StatusNotFound)
	}
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || u.Blocked || u.Credentials != 1 {
		t.Errorf("alice is %+v, %v", u, err)
	}
}

func TestThisWasNotMe(t *testing.T) {
	r, d := enrolled(t)
	r.post("/portal/sign-out")
	asked := r.post("/portal/sign-in", "login", "alice", "password", password) // somebody who knows the password waits at the code
	handle := asked.field(t, "handle")
	r.leads(r.signIn("/portal/sign-in", "alice", password, d.next()), "/portal/")
	elsewhere := r.cookie
	r.now = r.now.Add(time.Second)
	r.leads(r.signIn("/portal/sign-in", "alice", password, d.next()), "/portal/")
	sign := regexp.MustCompile(`/portal/sign-ins/([a-z2-7]{16})`).FindStringSubmatch(r.get("/portal/").body)[1]
	p := r.get("/portal/sign-ins/" + sign)
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "your account is blocked") {
		t.Error(p.text())
	}
	p = r.post("/portal/sign-ins/" + sign + "/not-me")
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "You are signed out everywhere") || r.cookie != "" {
		t.Errorf("cookie %q, %s", r.cookie, p.text())
	}
	for _, cookie := range []string{elsewhere} {
		r.cookie = cookie
		r.leads(r.get("/portal/"), "/portal/sign-in")
	}
	r.cookie = ""
	r.status(r.post("/portal/sign-in", "login", "alice", "handle", handle, "code", d.next()), http.StatusUnauthorized) // what was pending
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || !u.Blocked || u.Block.By != "alice (portal)" {
		t.Errorf("alice is %+v, %v", u, err)
	}
	notices, err := r.db.Notices(t.Context(), 100)
	if err != nil || !strings.Contains(notices[len(notices)-1].What, "not theirs") {
		t.Errorf("notices %+v, %v", notices, err)
	}
}

func TestAccount(t *testing.T) {
	r, _ := enrolled(t)
	r.status(r.post("/portal/phone", "phone", "0170 12345"), http.StatusUnprocessableEntity)
	r.leads(r.post("/portal/phone", "phone", "+49 170 1234567"), "/portal/?done=done.phone")
	if home := r.get("/portal/"); !strings.Contains(home.text(), "+491701234567") {
		t.Error(home.text())
	}
	r.leads(r.post("/portal/language", "language", "de", "back", "/portal/sign-ins"), "/portal/sign-ins")
	r.leads(r.post("/portal/language", "language", "de", "back", "https://evil.example/"), "/portal/")
	r.leads(r.post("/portal/language", "language", "de", "back", "/users"), "/portal/")
	r.status(r.post("/portal/language", "language", "xx"), http.StatusUnprocessableEntity)
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || u.Language != "de" {
		t.Errorf("alice is %+v, %v", u, err)
	}
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.SelfService = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, p := range []page{r.post("/portal/phone", "phone", ""), r.post("/portal/password", "password", password, "again", password), r.post("/portal/token"), r.post("/portal/recovery")} {
		r.status(p, http.StatusForbidden)
	}
	for _, out := range []func() error{
		func() error {
			_, err := r.Admin.BlockUser(t.Context(), "root", "alice", admin.BlockRequest{Reason: "x"})
			return err
		},
		func() error { return r.Admin.RemoveUser(t.Context(), "root", "alice") },
	} {
		if err := out(); err != nil {
			t.Fatal(err)
		}
		r.leads(r.get("/portal/"), "/portal/sign-in")
	}
}

func TestOneAddressIsLimited(t *testing.T) {
	r := newRig(t)
	for range web.Burst {
		r.post("/portal/sign-in", "login", "x", "password", "x")
	}
	for _, path := range []string{"/portal/sign-in", welcomePath, "/portal/confirm"} {
		r.status(r.post(path, "login", "x", "password", "x"), http.StatusTooManyRequests)
	}
}

// Without a master the pages open and say so.
func TestWithoutAMaster(t *testing.T) {
	r, _ := enrolled(t)
	r.node.Lost = true
	if p := r.get("/portal/"); p.StatusCode != http.StatusOK || !strings.Contains(p.text(), "Nothing can be changed at the moment") {
		t.Errorf("%s %s", p.Status, p.text())
	}
}

// A form that comes too late for its proof is kept, and carried out after it, once.
func TestFormIsKeptForTheProof(t *testing.T) {
	r, d := enrolled(t)
	r.now = r.now.Add(session.Fresh)
	asked := r.post("/portal/phone", "phone", "+49 170 1234567")
	r.leads(asked, "/portal/confirm?")
	p := r.get(asked.Header.Get("Location"))
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "is kept") {
		t.Errorf("nothing says that the form is kept: %s", p.text())
	}
	kept, back := p.field(t, "kept"), p.field(t, "back")
	p = r.post("/portal/confirm", "password", password, "back", back, "kept", kept)
	r.status(p, http.StatusOK)
	p = r.post("/portal/confirm", "handle", p.field(t, "handle"), "code", d.next(), "back", p.field(t, "back"), "kept", p.field(t, "kept"))
	r.leads(p, "/portal/?done=")
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || u.Phone != "+491701234567" {
		t.Errorf("the phone number is %q, %v", u.Phone, err)
	}
	p = r.post("/portal/confirm", "password", password, "back", back, "kept", kept)
	p = r.post("/portal/confirm", "handle", p.field(t, "handle"), "code", d.next(), "back", back, "kept", kept)
	r.status(p, http.StatusUnprocessableEntity) // once
}

// What somebody sent is nobody else's to carry out.
func TestKeptFormIsItsAuthors(t *testing.T) {
	r, _ := enrolled(t)
	r.now = r.now.Add(session.Fresh)
	asked := r.post("/portal/phone", "phone", "+49 170 1234567")
	kept := r.get(asked.Header.Get("Location")).field(t, "kept")
	r.person("mallory", password)
	r.cookie = ""
	r.leads(r.post(welcomePath, "login", "mallory", "password", password, "code", r.invite("mallory")), "/portal/token")
	d := r.enrol("phone")
	p := r.post("/portal/confirm", "password", password, "back", "/portal/", "kept", kept)
	p = r.post("/portal/confirm", "handle", p.field(t, "handle"), "code", d.next(), "back", "/portal/", "kept", kept)
	r.status(p, http.StatusUnprocessableEntity)
	for _, who := range []string{"alice", "mallory"} {
		if u, err := r.Admin.User(t.Context(), who); err != nil || u.Phone != "" {
			t.Errorf("the phone number of %s is %q, %v", who, u.Phone, err)
		}
	}
}

// Somebody who had a session of the user's leaves no form for them to prove in another.
func TestKeptFormEndsWithItsSession(t *testing.T) {
	r, d := enrolled(t)
	r.now = r.now.Add(session.Fresh)
	asked := r.post("/portal/phone", "phone", "+49 170 1234567")
	kept := r.get(asked.Header.Get("Location")).field(t, "kept")
	r.now = r.now.Add(time.Second)
	if _, err := r.Admin.BlockUser(t.Context(), "test", "alice", admin.BlockRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Admin.UnblockUser(t.Context(), "test", "alice"); err != nil {
		t.Fatal(err)
	}
	r.cookie = ""
	r.leads(r.signIn("/portal/sign-in", "alice", password, d.next()), "/portal/")
	p := r.post("/portal/confirm", "password", password, "back", "/portal/", "kept", kept)
	p = r.post("/portal/confirm", "handle", p.field(t, "handle"), "code", d.next(), "back", "/portal/", "kept", kept)
	r.status(p, http.StatusUnprocessableEntity)
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || u.Phone != "" {
		t.Errorf("the phone number is %q, %v", u.Phone, err)
	}
}

// slowBody is a form of which the last part comes after somebody was kept out.
type slowBody struct {
	io.Reader
	meanwhile func()
}

func (s *slowBody) Read(b []byte) (int, error) {
	if s.meanwhile != nil {
		s.meanwhile()
		s.meanwhile = nil
	}
	return s.Reader.Read(b)
}

// Whoever is kept out while their form is on its way is out.
func TestSlowFormOfSomebodyKeptOut(t *testing.T) {
	r, _ := enrolled(t)
	req := httptest.NewRequest(http.MethodPost, "/portal/recovery", &slowBody{strings.NewReader("a=b"), func() {
		if _, err := r.Admin.BlockUser(t.Context(), "test", "alice", admin.BlockRequest{}); err != nil {
			t.Error(err)
		}
	}})
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Host = "mfa.corp.example"
	req.AddCookie(&http.Cookie{Name: cookieName, Value: r.cookie})
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(to, "/portal/sign-in") {
		t.Errorf("%d to %q: %s", w.Code, to, w.Body)
	}
}
