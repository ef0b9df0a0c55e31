package webtest

import (
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/oath"
	"countersign/internal/secret"
)

// Host is where the pages of a test are.
const Host = "https://nyc1.example"

// Get is the request for a page.
func Get(t testing.TB, path string) *http.Request {
	t.Helper()
	return httptest.NewRequestWithContext(t.Context(), http.MethodGet, Host+path, nil)
}

// Post is the request that a form of our own pages makes; fields are names and values in turn.
func Post(t testing.TB, path string, fields ...string) *http.Request {
	t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return Form(t, path, form)
}

// Form is Post with names that may come more than once.
func Form(t testing.TB, path string, form url.Values) *http.Request {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, Host+path, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req
}

// Send makes a request as a browser would that holds a cookie of that name, and returns the
// answer with its body. What the answer sets is in *cookie then.
func Send(pages http.Handler, req *http.Request, name string, cookie *string) (*http.Response, string) {
	if *cookie != "" {
		req.AddCookie(&http.Cookie{Name: name, Value: *cookie}) //nolint:gosec // of a test's own browser
	}
	w := httptest.NewRecorder()
	pages.ServeHTTP(w, req)
	res := w.Result()
	body, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	for _, k := range res.Cookies() {
		if k.Name == name {
			*cookie = k.Value
		}
	}
	return res, string(body)
}

// Text is what a person reads of a page.
func Text(body string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tags.ReplaceAllString(body, " "))), " ")
}

// Field is the value of a hidden or filled field of a page.
func Field(t testing.TB, body, name string) string {
	t.Helper()
	m := regexp.MustCompile(`name="` + name + `" value="([^"]*)"`).FindStringSubmatch(body)
	if m == nil {
		t.Fatalf("no field %s in\n%s", name, body)
	}
	return html.UnescapeString(m[1])
}

// shownKey is the key of a new token, in letters.
var shownKey = regexp.MustCompile(`<p class="code">([A-Z2-7 ]+)</p>`)

// Key is the key of a time-based token that a page shows, to scan and to type.
func Key(t testing.TB, body string) oath.Key {
	t.Helper()
	m := shownKey.FindStringSubmatch(body)
	if m == nil || !strings.Contains(body, `<svg class="qr"`) {
		t.Fatalf("no key and no QR code in\n%s", body)
	}
	key, err := oath.ParseSecret(secret.FromString(strings.ReplaceAll(m[1], " ", "")))
	if err != nil {
		t.Fatal(err)
	}
	k, err := oath.NewTOTP(key, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// link is a link of a page.
var link = regexp.MustCompile(`<a\b[^>]*\bhref="([^"]*)"`)

// Links are where a page leads, in its order.
func Links(body string) (all []string) {
	for _, m := range link.FindAllStringSubmatch(body, -1) {
		all = append(all, html.UnescapeString(m[1]))
	}
	return all
}
