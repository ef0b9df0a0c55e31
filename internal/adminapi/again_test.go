package adminapi

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// borne makes a request that bears a token, as TLS brings it.
func borne(ctx context.Context, method, path, body, token string) *http.Request {
	req := httptest.NewRequestWithContext(ctx, method, Prefix+path, strings.NewReader(body))
	req.TLS = &tls.ConnectionState{}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	return req
}

// A stream ends with its token, also while there is nothing to send, and its last line says why.
func TestTailEndsWithItsToken(t *testing.T) {
	revoke := func(r *rig, name string) error {
		return r.api.admin.RevokeAPIToken(context.Background(), "test", name)
	}
	for name, c := range map[string]struct {
		out  func(r *rig, name string) error
		sent bool // a record comes, and must not be sent
	}{
		"revoked":                {out: revoke},
		"revoked, then a record": {out: revoke, sent: true},
		"expired":                {out: func(r *rig, _ string) error { r.late.Store(true); return nil }},
	} {
		r := newRig(t)
		token := r.token(t, "audit:read")
		synctest.Test(t, func(t *testing.T) {
			w := httptest.NewRecorder()
			served := make(chan struct{})
			go func() {
				r.api.ServeHTTP(w, borne(t.Context(), "GET", "/audit/tail", "", token))
				close(served)
			}()
			r.trail.Listening()
			one := mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: noon, Login: "alice", Verdict: mfa.Accept, Reason: mfa.OK}
			if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &one}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			if err := c.out(r, r.db.APITokens()[0].Name); err != nil {
				t.Fatal(err)
			}
			if c.sent {
				one.Login = "bob"
				if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &one}); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
			} else {
				time.Sleep(askEvery)
				synctest.Wait()
			}
			select {
			case <-served:
			default:
				t.Fatalf("%s: the stream goes on", name)
			}
			lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
			if len(lines) != 2 || !strings.Contains(lines[0], `"login":"alice"`) || !strings.HasPrefix(lines[1], `{"ended":"`) || !strings.Contains(lines[1], admin.ErrToken.Error()) {
				t.Errorf("%s: %q", name, lines)
			}
		})
	}
}

// A sign-in that waits for a person is told to nobody once the program's token was revoked.
func TestWaitEndsWithItsToken(t *testing.T) {
	r := newRig(t)
	kind, name := string(mfa.KindAPI), "shop"
	if _, err := r.api.admin.AddApplication(t.Context(), "test", admin.ApplicationChange{Name: &name, Kind: &kind}); err != nil {
		t.Fatal(err)
	}
	made, err := r.api.admin.CreateAPIToken(t.Context(), "test", admin.APITokenRequest{Name: "till", Scopes: []string{admin.ScopeAuthenticate}, Application: name, Seconds: 3600})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		r.api.admin.Decider = waiter{}
		w := httptest.NewRecorder()
		served := make(chan struct{})
		go func() {
			r.api.ServeHTTP(w, borne(t.Context(), "POST", "/challenge", `{"handle":"YQ==","answer":"","wait_seconds":45}`, string(made.Token.Expose())))
			close(served)
		}()
		synctest.Wait()
		if err := r.api.admin.RevokeAPIToken(t.Context(), "test", "till"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(askEvery)
		synctest.Wait()
		select {
		case <-served:
		default:
			t.Fatal("the wait goes on")
		}
		if w.Code != http.StatusUnauthorized || strings.Contains(w.Body.String(), "accept") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	})
}

// waiter lets in whoever waits, as soon as nobody does.
type waiter struct{}

func (waiter) Authenticate(ctx context.Context, _ mfa.Request) (mfa.Decision, error) {
	<-ctx.Done()
	return mfa.Decision{Verdict: mfa.Accept, Reason: mfa.OK}, nil
}
