package adminapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Of all scopes these alone take a credential away; and no token, nor anybody at a page, gives a
// local password that users could not give themselves.
func TestScopesThatTake(t *testing.T) {
	r := newReal(t)
	ask := func(by mfa.Caller, method, path, body string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		r.api.mux.ServeHTTP(w, as(req, by))
		return w
	}
	root := mfa.Owner("root")
	root.Root = true
	if w := ask(root, "POST", "/users", `{"login":"alice","password":"x"}`); w.Code != http.StatusOK {
		t.Errorf("root: %d %s", w.Code, w.Body)
	}
	for _, scopes := range [][]string{{"enrol"}, {"enrol", "read"}, {"users:write"}, {"enrol", "users:write"}, {"write"}, {"read"}, {"users:read"}, {"audit:read"}, {"status:read"}} {
		name := strings.ReplaceAll(strings.Join(scopes, "-"), ":", "-")
		made, err := r.api.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: name, Scopes: scopes, Seconds: 3600})
		if err != nil {
			t.Fatal(err)
		}
		by, err := r.api.admin.TokenCaller(secret.New(made.Token.Expose()))
		if err != nil {
			t.Fatal(err)
		}
		ask(root, "POST", "/users/alice/credentials", `{"method":"totp"}`)
		takes := strings.Contains(name, "write")
		off, gone := ask(by, "POST", "/users/alice/credentials/totp/disable", ""), ask(by, "DELETE", "/users/alice/credentials/totp", "")
		if (off.Code == http.StatusOK) != takes || (gone.Code == http.StatusOK) != takes || !takes && gone.Code != http.StatusForbidden {
			t.Errorf("%s: off %d %s, removed %d %s", name, off.Code, off.Body, gone.Code, gone.Body)
		}
		if !takes {
			ask(root, "DELETE", "/users/alice/credentials/totp", "")
		}
		if w := ask(by, "PATCH", "/users/alice", `{"password":"x"}`); w.Code == http.StatusOK || takes && !strings.Contains(w.Body.String(), "10 characters or more") {
			t.Errorf("%s sets a password of one character: %d %s", name, w.Code, w.Body)
		}
	}
}
