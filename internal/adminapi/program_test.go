package adminapi

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// shop is a rig with a user who has a token, and two applications of kind api.
func shop(t *testing.T) *real {
	t.Helper()
	r := newReal(t)
	for _, x := range []example{
		{"POST /users", "", `{"login":"alice","password":"correct horse"}`},
		{"POST /users/{login}/credentials", "/users/alice/credentials", `{"method":"totp","secret":"GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"}`},
		{"POST /applications", "", `{"name":"shop","kind":"api"}`},
		{"POST /applications", "", `{"name":"other","kind":"api"}`},
	} {
		if w := r.ask(t, x, "", mfa.Owner("root")); w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", x.operation, w.Code, w.Body)
		}
	}
	return r
}

// say sends one leg with a key and returns the answer.
func (r *real) say(t *testing.T, path, body, key string, who admin.Caller) (int, admin.Authentication) {
	t.Helper()
	req := httptest.NewRequest(http.MethodPost, Prefix+path, strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	w := httptest.NewRecorder()
	r.api.mux.ServeHTTP(w, as(req, who))
	var out admin.Authentication
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, out
}

// attempts returns the verdict records so far, oldest first.
func (r *real) attempts(t *testing.T) []mfa.Attempt {
	t.Helper()
	all, err := r.trail.Attempts(t.Context(), admin.AuditQuery{Limit: admin.MaxPage})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all.Records)
	return all.Records
}

func (r *real) reasons(t *testing.T) (out []string) {
	t.Helper()
	for _, a := range r.attempts(t) {
		out = append(out, a.Reason.String())
	}
	return out
}

const right, wrong = `{"login":"alice","password":"correct horse"}`, `{"login":"alice","password":"wrong"}`

// A program signs a user in; every answer leaves its record, and says nothing of why.
func TestProgramSignsIn(t *testing.T) {
	r := shop(t)
	who := r.application(t, "shop")
	if _, out := r.say(t, "/authenticate", wrong, "", who); out.Verdict != "reject" || !strings.Contains(out.Message, out.AttemptID.String()) {
		t.Errorf("a wrong password: %+v", out)
	}
	if _, out := r.say(t, "/authenticate", `{"login":"nobody","password":"x"}`, "", who); out.Verdict != "reject" {
		t.Errorf("nobody: %+v", out)
	}
	_, asked := r.say(t, "/authenticate", right, "", who)
	if asked.Verdict != "challenge" || len(asked.Handle) == 0 || asked.Expires == nil || asked.Message == "" {
		t.Fatalf("the right one: %+v", asked)
	}
	answer := challengeBody(asked, "834822")
	if _, out := r.say(t, "/challenge", answer, "", r.application(t, "other")); out.Verdict != "reject" {
		t.Errorf("another application answers: %+v", out)
	}
	status, out := r.say(t, "/challenge", answer, "", who)
	if status != 200 || out.Verdict != "accept" || out.AttemptID != asked.AttemptID {
		t.Errorf("the right code: %d %+v", status, out)
	}
	// The same answer again is the same leg: its result, and not another attempt.
	n := len(r.reasons(t))
	if _, again := r.say(t, "/challenge", answer, "", who); again.Verdict != "accept" {
		t.Errorf("sent again: %+v", again)
	}
	if got := r.reasons(t); len(got) != n {
		t.Errorf("sent again it left %v", got[n:])
	}
	if _, other := r.say(t, "/challenge", challengeBody(asked, "475576"), "", who); other.Verdict != "reject" {
		t.Errorf("another answer to the same challenge: %+v", other)
	}
	for _, a := range r.attempts(t) {
		if a.Reason == mfa.OK && a.Login != "alice" {
			t.Errorf("recorded as %q", a.Login)
		}
		if a.FrontEnd != "api" || a.Application == "" || !strings.HasPrefix(a.Peer, "192.0.2.1:") {
			t.Errorf("recorded %+v", a)
		}
	}
}

func challengeBody(a admin.Authentication, code string) string {
	b, _ := json.Marshal(map[string]any{"login": "alice", "handle": a.Handle, "answer": code})
	return string(b)
}

// With one key the same request counts once; anything else under it is another request, and
// never gets the first one's result.
func TestProgramKeys(t *testing.T) {
	r := shop(t)
	if w := r.ask(t, example{"PATCH /applications/{name}", "/applications/shop", `{"passcode":"append"}`}, "", mfa.Owner("root")); w.Code != 200 {
		t.Fatal(w.Body)
	}
	who := r.application(t, "shop")
	whole := `{"login":"alice","password":"correct horse834822"}`
	for range 2 {
		if _, out := r.say(t, "/authenticate", whole, "order 7", who); out.Verdict != "accept" {
			t.Errorf("with the key: %+v", out)
		}
	}
	if _, out := r.say(t, "/authenticate", whole, "order 8", who); out.Verdict != "reject" {
		t.Errorf("the same code under another key: %+v", out)
	}
	if _, out := r.say(t, "/authenticate", wrong, "order 7", who); out.Verdict != "reject" {
		t.Errorf("a wrong password under the key of a sign-in: %+v", out)
	}
	if _, out := r.say(t, "/authenticate", whole, "order 7", r.application(t, "other")); out.Verdict == "accept" {
		t.Errorf("another application with the same key: %+v", out)
	}
	if got := r.reasons(t); len(got) < 3 || got[0] != "ok" || got[1] != "replayed_code" {
		t.Errorf("recorded %v", got)
	}
}

// Our fault is nobody's reject, and who has no application asks for none.
func TestProgramFaults(t *testing.T) {
	r := shop(t)
	who := r.application(t, "shop")
	r.down = true
	if status, _ := r.say(t, "/authenticate", right, "", who); status != http.StatusServiceUnavailable {
		t.Errorf("the engine cannot decide: %d", status)
	}
	r.down = false
	who.Application = ""
	if status, _ := r.say(t, "/authenticate", right, "", who); status != http.StatusForbidden {
		t.Errorf("a token without application: %d", status)
	}
	if status, _ := r.say(t, "/authenticate", right, "", mfa.Owner("root")); status != http.StatusForbidden {
		t.Errorf("an owner: %d", status)
	}
	who.Application = "gonegonegonegone"
	if _, out := r.say(t, "/authenticate", right, "", who); out.Verdict != "reject" {
		t.Errorf("an application that is gone: %+v", out)
	}
	for _, body := range []string{`{"handle":"AAAA"}`, `{"answer":"1"}`, `{"handle":"","answer":"1"}`, `{"handle":"?","answer":"1"}`} {
		if status, _ := r.say(t, "/challenge", body, "", r.application(t, "shop")); status != http.StatusUnprocessableEntity && status != http.StatusBadRequest {
			t.Errorf("%s: %d", body, status)
		}
	}
	if _, out := r.say(t, "/challenge", `{"handle":"AAAA","answer":"834822"}`, "", r.application(t, "shop")); out.Verdict != "reject" {
		t.Errorf("a handle of nobody's: %+v", out)
	}
}
