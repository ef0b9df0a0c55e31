package adminapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// Two tabs: the second is told, and nothing is overwritten.
func TestIfMatch(t *testing.T) {
	r := newReal(t)
	do := func(method, path, body, match string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		if match != "" {
			req.Header.Set("If-Match", match)
		}
		w := httptest.NewRecorder()
		r.api.mux.ServeHTTP(w, as(req, mfa.Owner("root")))
		return w
	}
	for _, object := range []struct{ list, one, add, a, b string }{
		{"/users", "/users/alice", `{"login":"alice"}`, `{"name":"A"}`, `{"name":"B"}`},
		{"/applications", "/applications/shop", `{"name":"shop","kind":"api"}`, `{"retries":1}`, `{"retries":2}`},
		{"/directories", "/directories/corp", `{"name":"corp","kind":"ldap","urls":["ldaps://dc1"],"base_dn":"DC=corp"}`, `{"timeout_seconds":1}`, `{"timeout_seconds":2}`},
		{"/administrators", "/administrators/alice", `{"login":"alice","role":"auditor"}`, `{"role":"administrator"}`, `{"role":"auditor"}`},
		{"", "/policy", "", `{"tries":7}`, `{"tries":8}`},
	} {
		if object.list != "" {
			made := do("POST", object.list, object.add, "")
			if made.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", object.list, made.Code, made.Body)
			}
			if shown := do("GET", object.one, "", ""); shown.Header().Get("ETag") != made.Header().Get("ETag") {
				t.Errorf("%s: made %s, shown %s", object.one, made.Header().Get("ETag"), shown.Header().Get("ETag"))
			}
		}
		seen := do("GET", object.one, "", "").Header().Get("ETag")
		if len(seen) < 10 || seen[0] != '"' {
			t.Errorf("%s has the tag %s", object.one, seen)
		}
		first := do("PATCH", object.one, object.a, seen)
		if first.Code != http.StatusOK {
			t.Errorf("%s, the first: %d %s", object.one, first.Code, first.Body)
		}
		for _, old := range []string{seen, "W/" + first.Header().Get("ETag"), `""x`} {
			if second := do("PATCH", object.one, object.b, old); second.Code != http.StatusPreconditionFailed || second.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("%s, the second with %s: %d %s", object.one, old, second.Code, second.Body)
			}
		}
		if now := do("GET", object.one, "", "").Header().Get("ETag"); now != first.Header().Get("ETag") {
			t.Errorf("%s: the second changed something", object.one)
		}
		for _, match := range []string{first.Header().Get("ETag"), "*"} {
			if third := do("PATCH", object.one, object.b, match); third.Code != http.StatusOK {
				t.Errorf("%s with %s: %d %s", object.one, match, third.Code, third.Body)
			}
		}
	}
	if got := do("GET", "/users", "", "").Header().Get("ETag"); got != "" {
		t.Errorf("a list has the tag %s", got)
	}
}

// Lists come in pages; page after page is the whole list.
func TestPages(t *testing.T) {
	r := newRig(t)
	for _, n := range []string{"a", "b", "c", "d", "e"} {
		if status, body := r.do(t, "POST", "/applications", `{"name":"`+n+`","kind":"api"}`); status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	var got []string
	for after, pages := "", 0; pages == 0 || after != ""; pages++ {
		status, body := r.do(t, "GET", "/applications?limit=2&after="+after, "")
		if status != 200 || pages > 3 {
			t.Fatalf("%d %s", status, body)
		}
		page := decode[struct {
			Applications []struct{ Name string }
			Next         string
		}](t, body)
		for _, a := range page.Applications {
			got = append(got, a.Name)
		}
		after = page.Next
	}
	if strings.Join(got, "") != "abcde" {
		t.Errorf("got %v", got)
	}
	for _, path := range []string{"/applications", "/directories", "/api-tokens", "/administrators"} {
		if status, body := r.do(t, "GET", path+"?after=zz", ""); status != 200 || !strings.Contains(body, "[]") {
			t.Errorf("%s beyond the end: %d %s", path, status, body)
		}
		if status, _ := r.do(t, "GET", path+"?limit=1001", ""); status != 422 {
			t.Errorf("%s with too large a page: %d", path, status)
		}
	}
}

func decode[T any](t *testing.T, body string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return v
}
