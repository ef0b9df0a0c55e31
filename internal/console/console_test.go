package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/session"
	"countersign/internal/web"
)

// Nobody gets anywhere without a session.
func TestStrangers(t *testing.T) {
	r := newRig(t)
	for _, one := range r.routes() {
		method, path, _ := strings.Cut(one.pattern, " ")
		path = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x")
		path = strings.TrimSuffix(path, "x")
		if strings.Contains(one.pattern, "{$}") {
			path = "/"
		}
		req := httptest.NewRequestWithContext(t.Context(), method, "https://nyc1.example"+path, nil)
		if strings.HasSuffix(path, "/") && path != "/" {
			req.URL.Path += "x"
		}
		for _, cookie := range []string{"", strings.Repeat("a", 52)} {
			r.cookie = cookie
			p := r.send(req.Clone(t.Context()))
			if to := p.Header.Get("Location"); p.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, "/sign-in") {
				t.Errorf("%s: %s to %q", one.pattern, p.Status, to)
			}
		}
		if one.needs == 0 {
			t.Errorf("%s needs no permission", one.pattern)
		}
	}
}

func TestHeaders(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	for _, path := range []string{"/sign-in", "/", "/nowhere", "/setup?link=x"} {
		p := r.get(path)
		for name, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Strict-Transport-Security": "max-age=", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"} {
			if got := p.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
		if policy := p.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("policy %q", policy)
		}
		if m := regexp.MustCompile(`(?i)<script>|<script [^>]*[^r]>|<style|\sstyle=|\son[a-z]+=|javascript:|https?://`).FindString(strings.ReplaceAll(p.body, "http://www.w3.org/2000/svg", "")); m != "" {
			t.Errorf("%s holds %q", path, m)
		}
	}
	if weight := r.assets.Weight(); weight > 40<<10 {
		t.Errorf("style, script and icon weigh %d bytes; a page is to come cold in less than 100 kB", weight)
	}
	if p := r.get(r.assets.Names["console.css"]); p.StatusCode != http.StatusOK || !strings.Contains(p.Header.Get("Cache-Control"), "immutable") || p.Header.Get("Content-Type") != "text/css; charset=utf-8" {
		t.Errorf("style sheet: %s %v", p.Status, p.Header)
	}
}

func TestForeignForms(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	for name, header := range map[string][2]string{
		"another site": {"Sec-Fetch-Site", "cross-site"}, "another host of ours": {"Sec-Fetch-Site", "same-site"}, "another origin": {"Origin", "https://evil.example"}} {
		for _, path := range []string{"/sign-out", "/sign-in", "/confirm"} {
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://nyc1.example"+path, nil)
			req.Header.Set(header[0], header[1])
			if p := r.send(req); p.StatusCode != http.StatusForbidden {
				t.Errorf("%s posts to %s: %s", name, path, p.Status)
			}
		}
	}
	if p := r.get("/"); p.StatusCode != http.StatusOK {
		t.Errorf("signed out by somebody else: %s", p.Status)
	}
}

func TestSignIn(t *testing.T) {
	r := newRig(t)
	r.person("alice", mfa.RoleAuditor)
	p := r.post("/sign-in", "login", "alice", "password", "wrong")
	r.status(p, http.StatusUnauthorized)
	if !strings.Contains(p.text(), "Sign-in refused. Attempt ") || strings.Contains(p.text(), "wrong_password") || r.cookie != "" {
		t.Errorf("cookie %q, text %s", r.cookie, p.text())
	}
	r.cookie = strings.Repeat("a", 52) // planted by somebody who waits
	p = r.signInAs("alice")
	r.status(p, http.StatusSeeOther)
	set := p.Header.Get("Set-Cookie")
	for _, want := range []string{"__Host-console=", "HttpOnly", "Secure", "SameSite=Strict", "Path=/"} {
		if !strings.Contains(set, want) || strings.Contains(set, "Domain") {
			t.Errorf("cookie %q lacks %s", set, want)
		}
	}
	if r.cookie == strings.Repeat("a", 52) {
		t.Error("a token from before the sign-in is worth something after")
	}
	first := r.cookie
	if p := r.get("/"); p.StatusCode != http.StatusOK || !strings.Contains(p.text(), "alice · auditor") {
		t.Errorf("%s %s", p.Status, p.text())
	}
	if asked := r.eng.asked[len(r.eng.asked)-1]; asked.FrontEnd != "console" || asked.Source != "192.0.2.1" || asked.Application == "" {
		t.Errorf("the engine was asked %+v", asked)
	}
	r.signInAs("alice")
	if second := r.cookie; second == first {
		t.Error("a second sign-in goes on with the first one's token")
	}
	now := r.cookie
	if r.cookie = first; r.get("/").StatusCode != http.StatusSeeOther {
		t.Error("the token before the second sign-in is still good")
	}
	r.cookie = now
	r.status(r.post("/sign-out"), http.StatusSeeOther)
	if r.cookie = now; r.get("/").StatusCode != http.StatusSeeOther {
		t.Error("still in after signing out")
	}
}

func TestWhoIsKeptOut(t *testing.T) {
	r := newRig(t)
	r.person("nobody", mfa.RoleNone)
	p := r.signInAs("nobody")
	if r.status(p, http.StatusForbidden); r.cookie != "" {
		t.Error("somebody without a role is in")
	}
	r.person("alice", mfa.RoleOwner)
	r.eng.reason = mfa.ExemptNetwork
	if p = r.signInAs("alice"); p.StatusCode != http.StatusUnauthorized || r.cookie != "" || !strings.Contains(p.text(), "Both factors") {
		t.Errorf("one factor is enough: %s %s", p.Status, p.text())
	}
	r.eng.reason = mfa.ReasonNone
	for name, out := range map[string]func(login string) error{
		"role taken away": func(login string) error { return r.Admin.RemoveAdministrator(t.Context(), "test", login, false) },
		"removed":         func(login string) error { return r.Admin.RemoveUser(t.Context(), "test", login) },
	} {
		login := strings.ReplaceAll(name, " ", "")
		r.person(login, mfa.RoleOwner)
		r.status(r.signInAs(login), http.StatusSeeOther)
		r.status(r.get("/"), http.StatusOK)
		if err := out(login); err != nil {
			t.Fatal(err)
		}
		if p := r.get("/"); p.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: still in: %s", name, p.Status)
		}
	}
}

func TestLimitsOfASession(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	end := r.now.Add(session.Idle)
	for r.now.Before(end) { // a page that looks for news keeps nobody in
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://nyc1.example/live", nil)
		req.Header.Set(pollHeader, "1")
		req.Header.Set(partHeader, "1")
		r.status(r.send(req), http.StatusOK)
		r.now = r.now.Add(time.Minute)
	}
	if p := r.get("/"); p.StatusCode != http.StatusSeeOther {
		t.Errorf("idle and still in: %s", p.Status)
	}
}

func TestLocalPath(t *testing.T) {
	for to, want := range map[string]string{"/": "/", "/users?search=a%26b": "/users?search=a%26b", "/users/x": "/users/x", "": "/", "users": "/",
		"//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/", "/../etc": "/", "javascript:alert(1)": "/", "/a\r\nSet-Cookie: x": "/",
		"/%2f%2fevil.example": "/", "/\tx": "/", "///x": "/"} {
		if got := web.LocalPath(to); got != want {
			t.Errorf("%q leads to %q, want %q", to, got, want)
		}
	}
	r := newRig(t)
	r.person("alice", mfa.RoleOwner)
	p := r.post("/sign-in", "login", "alice", "password", "right", "back", "https://evil.example/")
	p = r.post("/sign-in", "login", "alice", "handle", p.field(t, "handle"), "code", "123456", "back", "//evil.example")
	if to := p.Header.Get("Location"); to != "/" {
		t.Errorf("the sign-in leads to %q", to)
	}
}

func TestOneAddressIsLimited(t *testing.T) {
	r := newRig(t)
	for range web.Burst {
		r.status(r.post("/sign-in", "login", "x", "password", "x"), http.StatusUnauthorized)
	}
	p := r.post("/sign-in", "login", "x", "password", "x")
	if r.status(p, http.StatusTooManyRequests); p.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to come back")
	}
	for _, want := range []string{"Wait a minute, then do it again.", "stranger_burst", "trusted_proxies"} {
		if !strings.Contains(p.text(), want) {
			t.Errorf("no %q in %s", want, p.text())
		}
	}
	r.now = r.now.Add(time.Minute)
	r.status(r.post("/sign-in", "login", "x", "password", "x"), http.StatusUnauthorized)
}

// Behind a proxy of ours each has an allowance and a source of their own; nobody gets another by
// saying something.
func TestBehindAProxy(t *testing.T) {
	r := newRig(t)
	h := web.Proxies{netip.MustParsePrefix("10.0.0.0/24")}.Handler(r.Console, r.Log)
	try := func(peer, said string) int {
		form := url.Values{"login": {"x"}, "password": {"x"}}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://nyc1.example/sign-in", strings.NewReader(form.Encode()))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Forwarded-For", said)
		req.RemoteAddr = peer
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		return w.Code
	}
	for i := range web.Burst {
		if code := try("10.0.0.5:1", fmt.Sprintf("198.51.100.%d, 203.0.113.7", i)); code != http.StatusUnauthorized {
			t.Fatalf("try %d: %d", i, code)
		}
	}
	if got := r.eng.asked[len(r.eng.asked)-1]; got.Source != "203.0.113.7" {
		t.Errorf("the record will say %q", got.Source)
	}
	for name, c := range map[string]struct {
		peer, said string
		want       int
	}{
		"the same client, who says to be another": {"10.0.0.5:1", "192.0.2.9, 203.0.113.7", http.StatusTooManyRequests},
		"the same client, directly":               {"203.0.113.7:1", "192.0.2.9", http.StatusTooManyRequests},
		"another client":                          {"10.0.0.5:1", "203.0.113.8", http.StatusUnauthorized},
		"the proxy itself":                        {"10.0.0.5:1", "", http.StatusUnauthorized},
	} {
		if got := try(c.peer, c.said); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}
