package adminapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
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
		{"a field twice", "POST", "/users", `{"login":"alice","name":"A","login":"bob"}`, nil, 400, `body: the field \"login\" is there twice: give it once`},
		{"a field twice, once written otherwise", "POST", "/users", `{"lo\u0067in":"alice","login":"bob"}`, nil, 400, `the field \"login\" is there twice`},
		{"a field twice, by its name for the request", "POST", "/users", `{"login":"alice","login":"alice"}`, []string{"twice"}, 400, `the field \"login\" is there twice`},
		{"a setting twice", "PATCH", "/policy", `{"tries":5,"tries":1000}`, nil, 400, `the field \"tries\" is there twice`},
		{"a field twice, deep", "POST", "/gateways", `{"name":"g","kind":"sms","http":{"headers":[{"name":"a","value":"b","value":"c"}]}}`, nil, 400, `the field \"value\" is there twice`},
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
	// The same name in objects beside each other is no second one.
	if name, ok := fieldTwice([]byte(`[{"a":{"a":[1,{"a":2}]},"b":"a"},{"a":"a"},"a","a",1e999]`)); ok {
		t.Errorf("%q is there twice", name)
	}
	if r.store.CountUsers() != 0 {
		t.Error("one of these made something")
	}
	// Whether spaces around a header's value are a part of it differs by the version of HTTP.
	if one, two := ask("POST", "/users", `{"login":"alice"}`, "k"), ask("POST", "/users", `{"login":"alice"}`, " k "); one.Code != 200 || two.Header().Get(onceReplayed) != "true" {
		t.Errorf("the same key with spaces: %d %s, %d %s", one.Code, one.Body, two.Code, two.Body)
	}
}

// What the document says a new object must have is what is missed when it is missing, and nothing
// else is.
func TestNewObjectsNeedWhatIsDocumented(t *testing.T) {
	for operation, fields := range mustHave {
		method, path, _ := strings.Cut(operation, " ")
		r := populated(t)
		x, ok := r.api.exampleOf(method, path)
		var whole map[string]any
		if err := json.Unmarshal([]byte(x.body), &whole); !ok || err != nil {
			t.Fatalf("%s has no example: %v", operation, err)
		}
		for field := range whole {
			less := maps.Clone(whole)
			delete(less, field)
			w := r.ask(t, example{operation, "", text(less)}, "", mfa.Owner("root"))
			missed := w.Code == http.StatusUnprocessableEntity && regexp.MustCompile(`"detail":"[a-z ]*\b`+field+`\b[a-z ]* (is missing|are needed)"`).MatchString(w.Body.String())
			if documented := slices.Contains(fields, field); documented != missed {
				t.Errorf("%s without %s (documented as needed: %v): %d %s", operation, field, documented, w.Code, w.Body)
			}
		}
	}
}
