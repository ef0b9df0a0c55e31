package adminapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// idle is a coordinator that has nothing to do.
type idle struct{ asked []string }

func (c *idle) note(what string) { c.asked = append(c.asked, what) }

func (c *idle) Overview(context.Context) (group.Overview, error) {
	c.note("overview")
	return group.Overview{}, nil
}
func (c *idle) Status(context.Context) (admin.Status, error) {
	c.note("status")
	return admin.Status{}, nil
}
func (c *idle) CreateActivation(_ context.Context, by string, r admin.FoundingRequest) (admin.ActivationCode, error) {
	c.note(by + " founds " + r.Group)
	return admin.ActivationCode{Code: secret.NewWire("code"), Group: r.Group}, nil
}
func (c *idle) Retire(_ context.Context, by string, r admin.RetireRequest) (admin.Removed, error) {
	c.note(by + " retires " + r.Group + "/" + r.Server)
	return admin.Removed{Removed: r.Server}, nil
}
func (c *idle) Forget(_ context.Context, by, name string) (admin.Removed, error) {
	c.note(by + " forgets " + name)
	return admin.Removed{Removed: name}, nil
}
func (c *idle) Leave(_ context.Context, by string) (admin.Removed, error) {
	c.note(by + " leaves")
	return admin.Removed{}, nil
}
func (c *idle) SetLogLevel(_ context.Context, by string, l admin.LogLevel) error {
	c.note(by + " logs " + l.Component)
	return nil
}
func (c *idle) Doctor(context.Context) (admin.CheckList, error) {
	c.note("doctor")
	return admin.CheckList{OK: true}, nil
}
func (c *idle) Acts(context.Context, admin.AuditQuery) (admin.ActList, error) {
	c.note("acts")
	return admin.ActList{}, nil
}
func (c *idle) VerifyAudit(context.Context) (admin.AuditVerification, error) {
	c.note("verify")
	return admin.AuditVerification{OK: true}, nil
}
func (c *idle) Backup(_ context.Context, by string, _ secret.Text, w io.Writer) error {
	c.note(by + " backs up")
	_, err := io.WriteString(w, "backup")
	return err
}

// Every operation of a coordinator has an example, and every example works, for an owner and
// for nobody else.
func TestCoordinatorExamples(t *testing.T) {
	c := &idle{}
	r := newReal(t)
	a := NewCoordinator(c, r.api.admin, r.api.enroll, "test", slog.New(slog.DiscardHandler))
	told := map[string]bool{}
	for i, x := range a.examples {
		for _, who := range []admin.Caller{{By: "mallory"}, mfa.Owner("root")} {
			method, _, _ := strings.Cut(x.operation, " ")
			req := httptest.NewRequest(method, Prefix+x.target(), strings.NewReader(x.body))
			if x.body != "" {
				req.Header.Set("Content-Type", "application/json")
			}
			before := len(c.asked)
			w := httptest.NewRecorder()
			a.mux.ServeHTTP(w, as(req, who))
			did, want := len(c.asked)-before, 1
			if i >= len(coordinatorExamples) { // the use cases on operators do it
				want = 0
			}
			switch {
			case who.Role == mfa.RoleNone && (w.Code != http.StatusForbidden || did != 0):
				t.Errorf("%s by nobody: %d, %d acts", x.operation, w.Code, did)
			case who.Role == mfa.RoleOwner && (w.Code != http.StatusOK || did != want):
				t.Errorf("%s by the owner: %d %s, %d acts", x.operation, w.Code, w.Body, did)
			}
		}
		told[x.operation] = true
	}
	for path, item := range a.huma.OpenAPI().Paths {
		for method := range methodsOf(item) {
			if !told[method+" "+path] {
				t.Errorf("%s %s has no example", method, path)
			}
		}
	}
}

// The description is there to be read by everybody, loads nothing, and its style is the only
// one that the browser takes.
func TestBrowse(t *testing.T) {
	h := Browse(slog.New(slog.DiscardHandler))
	for path, want := range map[string]string{"/api/": "Make an API token", "/api/openapi.json": `"openapi": "3.1.0"`} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) || !strings.Contains(policy, "default-src 'none'") {
			t.Errorf("%s: %d, %s, %.80s", path, w.Code, policy, w.Body)
		}
		if path == "/api/" && !strings.Contains(policy, styleHash(w.Body.String())) {
			t.Errorf("the page's own style is refused by %s", policy)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/users", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("an operation is reached past the API: %d", w.Code)
	}
}
