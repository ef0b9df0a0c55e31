package adminapi

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// FuzzOperations sends bodies and parameters that the schema may or may not allow to every
// operation: whatever comes, it is answered, by a problem if it cannot be, and is no fault of
// the server's.
func FuzzOperations(f *testing.F) {
	for i, x := range examples {
		if strings.Contains(x.target(), "tail") { // has no end
			continue
		}
		f.Add(uint8(i), x.target(), x.body)
		f.Add(uint8(i), x.target(), strings.Replace(x.body, `":"`, `":[{"`, 1))
	}
	f.Add(uint8(0), "/users", `{"login":"\u0000"}`)
	f.Add(uint8(1), "/users?limit=-1&after=%00", "")
	f.Add(uint8(17), "/authenticate", `{"login":"`+strings.Repeat("a", 300)+`"}`)
	f.Fuzz(func(t *testing.T, which uint8, target, body string) {
		x := examples[int(which)%len(examples)]
		method, path, _ := strings.Cut(x.operation, " ")
		u, err := url.Parse(target)
		if err != nil || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || path == "/audit/tail" || strings.Contains(target, "tail") {
			t.Skip()
		}
		r := newReal(t)
		req, err := http.NewRequestWithContext(t.Context(), method, "https://nyc1"+Prefix+u.EscapedPath()+"?"+u.RawQuery, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.Header.Set("Content-Type", "application/json")
		if path == "/import/users" {
			req.Header.Set("Content-Type", "text/csv")
		}
		who := mfa.Owner("root")
		who.Permissions |= mfa.SetOf(mfa.MayAuthenticate)
		w := httptest.NewRecorder()
		r.api.mux.ServeHTTP(w, as(req, who))
		if w.Code >= 500 && !strings.Contains(w.Body.String(), "none of that name") {
			t.Errorf("%s %s %q: %d %s", method, target, body, w.Code, w.Body)
		}
		if w.Code >= 400 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s %s %q: %d without a problem: %s", method, target, body, w.Code, w.Header())
		}
	})
}
