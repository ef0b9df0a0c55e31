package console

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/web/webtest"
)

// refusing refuses every sign-in.
type refusing mfa.Reason

func (e refusing) Authenticate(context.Context, mfa.Request) (mfa.Decision, error) {
	return mfa.Decision{Verdict: mfa.Reject, Reason: mfa.Reason(e), Attempt: mfa.NewAttemptID(nil)}, nil
}

// A form that is too large or did not arrive is no attempt to sign in.
func TestFormThatDidNotArrive(t *testing.T) {
	r := newRig(t)
	p := r.post("/sign-in", "login", "alice", "password", strings.Repeat("x", 300<<10))
	if r.status(p, http.StatusRequestEntityTooLarge); !strings.Contains(p.text(), "A form may have 256 KiB.") {
		t.Error(p.text())
	}
	req := webtest.Post(t, "/sign-in", "login", "alice")
	req.Body = io.NopCloser(strings.NewReader("login=alice&password=%"))
	if p = r.send(req); p.StatusCode != http.StatusBadRequest || !strings.Contains(p.text(), "broke off on the way") {
		t.Errorf("%s %s", p.Status, p.text())
	}
	if len(r.eng.asked) != 0 {
		t.Errorf("the engine was asked %d times", len(r.eng.asked))
	}

	r = signedInAs(t, mfa.RoleOwner)
	id := string(r.person("bob", mfa.RoleNone))
	r.status(r.post("/users/"+id+"/edit", "name", strings.Repeat("x", 300<<10)), http.StatusRequestEntityTooLarge)
}

// What a page says of a refusal is a sentence, in the reader's language and with the name that the
// field has on the page.
func TestRefusalsAreSentences(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	for path, fields := range map[string][]string{
		"/new-directory/create": {"name", "corp", "urls", "ldaps://dc1.corp.example", "timeout_seconds", "soon"},
		"/policy/edit":          {"tries", "many"},
		"/tokens/create":        {"name", "x", "days", "0"},
		"/users/bulk/do":        {"list", "made up"},
		"/users/bulk/look":      {"act", "block"},
	} {
		p := r.post(path, fields...)
		if r.status(p, http.StatusUnprocessableEntity); strings.Contains(p.text(), "invalid") || strings.Contains(p.text(), "timeout_seconds") || strings.Contains(p.text(), "days =") {
			t.Errorf("%s: %s", path, p.text())
		}
		if strings.Count(strings.ToLower(p.text()), "nothing was ") > 1 {
			t.Errorf("%s says it twice: %s", path, p.text())
		}
	}
	bob := string(r.person("bob", mfa.RoleNone))
	p := r.post("/users/bulk/look", "act", "tag", "word", "two words", "id", bob)
	if p = r.post("/users/bulk/do", "list", p.field(t, "list")); !strings.Contains(p.text(), "1 was not done") || strings.Contains(p.text(), "invalid") {
		t.Error(p.text())
	}
}

// Who was asked a moment ago, or too often, is told so; of all other reasons nobody learns here.
func TestSaidOfRefusals(t *testing.T) {
	for why, want := range map[mfa.Reason]string{mfa.PromptTooSoon: "only a moment ago", mfa.TooManyPrompts: "too often lately", mfa.TooManyMessages: "too often lately",
		mfa.WrongPassword: "Sign-in refused.", mfa.UnknownUser: "Sign-in refused.", mfa.Locked: "Sign-in refused.", mfa.NoCredential: "Sign-in refused.", mfa.PolicyDenied: "Sign-in refused."} {
		r := newRig(t)
		r.Engine = refusing(why)
		p := r.post("/sign-in", "login", "alice", "password", "right")
		if p.StatusCode != http.StatusUnauthorized || !strings.Contains(p.text(), want) || !strings.Contains(p.text(), "Attempt ") || strings.Contains(p.text(), why.String()) {
			t.Errorf("%s: %s %s", why, p.Status, p.text())
		}
	}
}
