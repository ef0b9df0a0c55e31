package node

import (
	"crypto/tls"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/oath"
	"countersign/internal/secret"
)

// browser is somebody who looks at pages.
type browser struct {
	t    *testing.T
	c    *http.Client
	at   string // https://host:port
	last string // what the page says
}

func newBrowser(t *testing.T, address string) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // what is served is looked at, not by whom
	t.Cleanup(c.CloseIdleConnections)
	return &browser{t: t, c: c, at: "https://" + address}
}

func (b *browser) open(path string) int {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.at+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

// send posts a form; fields are names and values in turn.
func (b *browser) send(path string, fields ...string) int {
	b.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.at+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

func (b *browser) do(r *http.Request) int {
	b.t.Helper()
	resp, err := b.c.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.last = string(page)
	return resp.StatusCode
}

// found is the first group of the pattern on the page.
func (b *browser) found(pattern string) string {
	b.t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(b.last)
	if m == nil {
		b.t.Fatalf("no %s in\n%s", pattern, b.last)
	}
	return html.UnescapeString(m[1])
}

// sees fails unless the page says something.
func (b *browser) sees(what string) {
	b.t.Helper()
	if !strings.Contains(html.UnescapeString(b.last), what) {
		b.t.Errorf("%q is missing in\n%s", what, b.last)
	}
}

// token is the authenticator that a page shows the key of.
func (b *browser) token() oath.Key {
	b.t.Helper()
	seed, err := oath.ParseSecret(secret.FromString(strings.ReplaceAll(b.found(`<p class="code">([A-Z2-7 ]+)</p>`), " ", "")))
	if err != nil {
		b.t.Fatal(err)
	}
	k, err := oath.NewTOTP(seed, oath.SHA1, 6, 30)
	if err != nil {
		b.t.Fatal(err)
	}
	return k
}

// signIn takes both steps and returns the status of the last answer.
func (b *browser) signIn(login, password, code string) int {
	b.t.Helper()
	if s := b.send("/sign-in", "login", login, "password", password, "back", "/"); s != http.StatusOK {
		return s
	}
	return b.send("/sign-in", "login", login, "handle", b.found(`name="handle" value="([^"]+)"`), "code", code, "back", "/")
}

// Who looks at the coordinator's port of a server is led to its console; what servers ask is
// answered as ever.
func TestPortalInside(t *testing.T) {
	asked := 0
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { asked++; w.WriteHeader(http.StatusTeapot) })
	s := &server{}
	s.Config.Listen.HTTPS, s.Config.Advertise.HTTPS = ":8443", "nyc1.example:8443"
	for _, x := range []struct {
		https, method, path string
		status              int
		to                  string
	}{
		{"127.0.0.1:8443", http.MethodGet, "/", http.StatusSeeOther, "https://nyc1.example:8443/groups"},
		{"127.0.0.1:8443", http.MethodPost, "/", http.StatusTeapot, ""},
		{"127.0.0.1:8443", http.MethodGet, "/coordinator/v1/master", http.StatusTeapot, ""},
		{"127.0.0.1:8443", http.MethodGet, "//members", http.StatusTeapot, ""},
		{"127.0.0.1:8443", http.MethodGet, "/coordinator/v1/../../peer/v1/report", http.StatusTeapot, ""},
		{"", http.MethodGet, "/", http.StatusTeapot, ""},
	} {
		s.bound.HTTPS = x.https
		w := httptest.NewRecorder()
		s.besideConsole(next).ServeHTTP(w, httptest.NewRequest(x.method, x.path, nil))
		if w.Code != x.status || w.Header().Get("Location") != x.to {
			t.Errorf("%s %s: %d to %q", x.method, x.path, w.Code, w.Header().Get("Location"))
		}
	}
	if asked != 5 {
		t.Errorf("%d requests reached the coordinator", asked)
	}
}

// The first operator comes by the link that the coordinator prints, proves a second factor,
// and founds a group; a code is good once, here as in a group; what is done is on record.
func TestManagementPortal(t *testing.T) {
	o := options(folder(t))
	printed := &buffer{}
	o.Stdout = printed
	o.Config.Listen.HTTPS, o.Config.Listen.RADIUS, o.Config.Listen.Accounting = "", nil, nil
	o.Config.Listen.Coordinator = free(t)
	if err := InitCoordinator(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	r := start(t, o, RunCoordinator)
	var link string
	await(t, "the link", func() bool {
		m := regexp.MustCompile(`https://\S+(/setup\?link=\S+)`).FindStringSubmatch(printed.String())
		if m != nil {
			link = m[1]
		}
		return m != nil
	})
	b := newBrowser(t, r.at.Coordinator)
	b.open(link)
	b.sees("owner of this coordinator")
	if s := b.send("/setup", "link", strings.TrimPrefix(link, "/setup?link="), "login", "olga", "name", "", "password", "correct horse battery", "again", "correct horse battery"); s != http.StatusOK {
		t.Fatalf("set-up: %d\n%s", s, b.last)
	}
	token := b.token()
	step := uint64(time.Now().Unix()) / 30
	if s := b.send("/setup/code", "code", "none"); s != http.StatusUnprocessableEntity {
		t.Fatalf("a wrong code of set-up: %d\n%s", s, b.last)
	}
	if s := b.send("/setup/code", "code", token.HOTP(step)); s != http.StatusOK {
		t.Fatalf("the code of set-up: %d\n%s", s, b.last)
	}
	b.sees("No group uses this coordinator yet")
	if s := b.send("/found/create", "group", "acme"); s != http.StatusOK {
		t.Fatalf("founding code: %d\n%s", s, b.last)
	}
	b.sees("It is shown only now")

	other := newBrowser(t, r.at.Coordinator)
	if s := other.signIn("olga", "wrong", ""); s != http.StatusUnauthorized {
		t.Errorf("a wrong password: %d", s)
	}
	if s := other.signIn("olga", "correct horse battery", token.HOTP(step)); s == http.StatusOK && !strings.Contains(other.last, `name="handle"`) {
		t.Error("the code of the set-up passes once more")
	}
	other = newBrowser(t, r.at.Coordinator)
	if s := other.signIn("olga", "correct horse battery", token.HOTP(step+1)); s != http.StatusOK {
		t.Errorf("the next code: %d", s)
	}
	other.sees("No group uses this coordinator yet")

	acts := func(dataDir string) (said []string) {
		var list admin.ActList
		onSocket(t, dataDir, "GET", "/audit/acts", "", &list)
		for _, a := range list.Acts {
			said = append(said, a.By+": "+a.Verb)
		}
		return said
	}
	if all := strings.Join(acts(o.Config.DataDir), "\n"); !strings.Contains(all, "olga (console): activation create") {
		t.Errorf("acts:\n%s", all)
	}
	// Signed in people stay so over a restart, and the code that was used stays used.
	r.end()
	r = start(t, o, RunCoordinator)
	defer r.end()
	if s := other.open("/audit"); s != http.StatusOK {
		t.Errorf("after a restart: %d", s)
	}
	other.sees("activation create")
	again := newBrowser(t, r.at.Coordinator)
	if again.signIn("olga", "correct horse battery", token.HOTP(step+1)); !strings.Contains(again.last, `name="handle"`) {
		t.Errorf("a code passes again after a restart:\n%s", again.last)
	}
	if s := again.open("/coordinator/v1/master?group=acme"); s != http.StatusNotFound {
		t.Errorf("what servers ask: %d", s)
	}
}
