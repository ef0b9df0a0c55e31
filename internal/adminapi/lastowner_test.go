package adminapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// The last owner goes by no way but root's word at the socket, and that word is root's alone.
func TestLastOwner(t *testing.T) {
	r := newReal(t)
	elsewhere, socket := mfa.Owner("olga"), mfa.Owner("root (unix socket)")
	socket.Root = true
	do := func(by mfa.Caller, method, path, body string, want int, says string) {
		t.Helper()
		req := httptest.NewRequest(method, Prefix+path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		if r.api.mux.ServeHTTP(w, as(req, by)); w.Code != want || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s %s %s by %s: %d %s", method, path, body, by.By, w.Code, w.Body)
		}
	}
	do(elsewhere, "POST", "/users", `{"login":"olga"}`, http.StatusOK, "")
	do(elsewhere, "POST", "/administrators", `{"login":"olga","role":"owner"}`, http.StatusOK, "")
	for _, by := range []mfa.Caller{elsewhere, socket} {
		do(by, "PATCH", "/administrators/olga", `{"role":"auditor"}`, http.StatusUnprocessableEntity, "last owner")
		do(by, "DELETE", "/administrators/olga", "", http.StatusUnprocessableEntity, "last owner")
		do(by, "DELETE", "/users/olga", "", http.StatusUnprocessableEntity, "last owner")
		do(by, "PATCH", "/users/olga", `{"state":"denied"}`, http.StatusUnprocessableEntity, "last owner")
	}
	do(elsewhere, "DELETE", "/administrators/olga?last_owner=true", "", http.StatusForbidden, "only root")
	do(socket, "DELETE", "/administrators/olga?last_owner=true", "", http.StatusOK, "")
	do(elsewhere, "DELETE", "/users/olga", "", http.StatusOK, "")
}
