package adminapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// What can be read in two ways is refused, and says which of them is meant.
func TestOddRequests(t *testing.T) {
	r := newReal(t)
	ask := func(method, path, body string, keys ...string) *httptest.ResponseRecorder {
		req := example{method + " x", path, body}.request("")
		for _, k := range keys {
			req.Header.Add(onceKey, k)
		}
		w := httptest.NewRecorder()
		r.api.mux.ServeHTTP(w, as(req, mfa.Owner("root")))
		return w
	}
	for _, tt := range []struct {
		name, method, path, body string
		keys                     []string
		status                   int
		detail                   string
	}{
		{"a field in another case", "POST", "/users", `{"Login":"alice"}`, nil, 422, "Login: unexpected property"},
		{"a field in both", "POST", "/users", `{"login":"alice","LOGIN":"bob"}`, nil, 422, "LOGIN: unexpected property"},
		{"a parameter twice", "GET", "/users?limit=5&limit=6", "", nil, 422, "limit: given 2 times"},
		{"a parameter that may be given twice", "GET", "/policy/explain?login=nobody&application=shop&group=a&group=b", "", nil, 404, "not found"},
		{"no time", "GET", "/audit/attempts?since=2026-11-24", "", nil, 422, "since: a time is written 2026-11-24T08:00:00Z"},
		{"two idempotency keys", "POST", "/users", `{"login":"alice"}`, []string{"a", "b"}, 422, "given 2 times"},
		{"an idempotency key of spaces", "POST", "/users", `{"login":"alice"}`, []string{" "}, 422, "empty"},
		{"a method of others", "PUT", "/users", `{}`, nil, 405, "GET, HEAD, POST"},
		{"a method of another path", "DELETE", "/status", "", nil, 405, "GET, HEAD"},
		{"no path", "DELETE", "/nonsense", "", nil, 404, "no operation"},
	} {
		w := ask(tt.method, tt.path, tt.body, tt.keys...)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.detail) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s, want %d with %q", tt.name, w.Code, w.Body, tt.status, tt.detail)
		}
		if allow := w.Header().Get("Allow"); (allow != "") != (tt.status == http.StatusMethodNotAllowed) || !strings.Contains(tt.detail, allow) {
			t.Errorf("%s: Allow: %s", tt.name, allow)
		}
	}
	if r.store.CountUsers() != 0 {
		t.Error("one of these made something")
	}
	// Whether spaces around a header's value are a part of it differs by the version of HTTP.
	if one, two := ask("POST", "/users", `{"login":"alice"}`, "k"), ask("POST", "/users", `{"login":"alice"}`, " k "); one.Code != 200 || two.Header().Get(onceReplayed) != "true" {
		t.Errorf("the same key with spaces: %d %s, %d %s", one.Code, one.Body, two.Code, two.Body)
	}
}
