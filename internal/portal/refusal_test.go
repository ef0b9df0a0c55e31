package portal

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// refusing refuses every sign-in.
type refusing mfa.Reason

func (e refusing) Authenticate(context.Context, mfa.Request) (mfa.Decision, error) {
	return mfa.Decision{Verdict: mfa.Reject, Reason: mfa.Reason(e), Attempt: mfa.NewAttemptID(nil)}, nil
}

// Who was asked a moment ago, or too often, is told so; of all other reasons nobody learns here.
func TestSaidOfRefusals(t *testing.T) {
	for why, want := range map[mfa.Reason]string{mfa.PromptTooSoon: "only a moment ago", mfa.TooManyPrompts: "too often lately", mfa.TooManyMessages: "too often lately",
		mfa.WrongPassword: "Sign-in refused.", mfa.UnknownUser: "Sign-in refused.", mfa.Locked: "Sign-in refused.", mfa.NoCredential: "Sign-in refused.", mfa.PolicyDenied: "Sign-in refused."} {
		r := newRig(t)
		r.Engine = refusing(why)
		p := r.post("/portal/sign-in", "login", "alice", "password", "right")
		if p.StatusCode != http.StatusUnauthorized || !strings.Contains(p.text(), want) || !strings.Contains(p.text(), "Attempt ") || strings.Contains(p.text(), why.String()) {
			t.Errorf("%s: %s %s", why, p.Status, p.text())
		}
	}
}
