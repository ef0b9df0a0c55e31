package enroll_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// asked are devices and telephones that keep the last question, and what is answered to it.
type asked struct {
	wait  mfa.Wait
	creds int
	fails error
}

func (p *asked) Ask(_ context.Context, w mfa.Wait, creds []mfa.Credential) error {
	p.wait, p.creds = w, len(creds)
	return p.fails
}

func (p *asked) Wait(_ context.Context, user mfa.UserID, id mfa.WaitID, _ bool) (mfa.Wait, error) {
	if p.wait.ID != id || p.wait.User != user {
		return mfa.Wait{}, mfa.ErrNotFound
	}
	return p.wait, nil
}

// A caller is verified by what they answer on a device or telephone of theirs, and by the answer to
// no other question.
func TestCallerAsked(t *testing.T) {
	for _, m := range []mfa.MethodID{mfa.MethodPush, mfa.MethodCall} {
		for _, tt := range []struct {
			name   string
			change func(w *mfa.Wait)
			want   error // nil: verified
			trail  string
		}{
			{"the right number", func(w *mfa.Wait) { w.Answer = mfa.WaitAnswer{Reason: mfa.OK, Credential: "one", At: noon} }, nil, ", verified"},
			{"another number", func(w *mfa.Wait) { w.Answer = mfa.WaitAnswer{Reason: mfa.WrongNumber, Credential: "one", At: noon} }, mfa.WrongNumber, "not verified: wrong_number"},
			{"refused", func(w *mfa.Wait) { w.Answer = mfa.WaitAnswer{Reason: mfa.RefusedByUser, Credential: "one", At: noon} }, mfa.RefusedByUser, "not verified: refused_by_user"},
			{"nothing yet", func(*mfa.Wait) {}, mfa.ErrConflict, "asked as attempt"},
			{"nothing in time", func(w *mfa.Wait) { w.Expires = noon }, mfa.NotAnsweredInTime, "not verified: not_answered_in_time"},
			{"by a device that is gone", func(w *mfa.Wait) { w.Answer = mfa.WaitAnswer{Reason: mfa.OK, Credential: "gone", At: noon} }, mfa.NoCredential, "not verified: no_credential"},
			{"by a device that was switched off", func(w *mfa.Wait) { w.Answer = mfa.WaitAnswer{Reason: mfa.OK, Credential: "off", At: noon} }, mfa.CredentialDisabled, "not verified: credential_disabled"},
			{"a sign-in that was approved", func(w *mfa.Wait) {
				w.Session, w.Answer = "", mfa.WaitAnswer{Reason: mfa.OK, Credential: "one", At: noon}
			}, mfa.ErrInvalid, "asked as attempt"},
			{"another question", func(w *mfa.Wait) { w.ID = "other" }, mfa.ErrInvalid, "asked as attempt"},
		} {
			t.Run(string(m)+", "+tt.name, func(t *testing.T) {
				r, p := newRig(t), &asked{}
				r.Asker = p
				for _, c := range []mfa.Credential{{ID: "one", Confirmed: noon, Label: "Phone"}, {ID: "two", Confirmed: noon, Label: "Tablet"}, {ID: "off", Confirmed: noon, Disabled: true},
					{ID: "new", Hold: mfa.CredentialUnproven}} {
					c.User, c.Method = r.user, m
					if err := r.db.AddCredential(t.Context(), c); err != nil {
						t.Fatal(err)
					}
				}
				q, err := r.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{})
				if err != nil || q.Method != m || q.ID != "" || len(q.Number) != 2 || q.To != "Phone, Tablet" || p.creds != 2 || p.wait.Number != q.Number || !strings.Contains(p.wait.Text, "Acme") {
					t.Fatalf("asked %+v, %v; the question %+v", q, err, p.wait)
				}
				tt.change(&p.wait)
				got, err := r.CheckCaller(t.Context(), "helen", "alice", enroll.CallerAnswer{Challenge: q.Challenge})
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || (err == nil) != !got.Verified.IsZero() {
					t.Errorf("got %+v, %v; want %v", got, err, tt.want)
				}
				all := r.trail.Recorded()
				if act := all[len(all)-1]; act.Verb != "user verify" || act.By != "helen" || !strings.Contains(act.Detail, tt.trail) {
					t.Errorf("the trail has %+v, want %q", act, tt.trail)
				}
			})
		}
	}
}

// Who cannot be asked, or was a moment ago, is not; the trail says that it was tried.
func TestCallerNotAsked(t *testing.T) {
	r := newRig(t)
	if _, err := r.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{Method: mfa.MethodPush}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("without a device: %v", err)
	}
	r.Asker = &asked{fails: mfa.PromptTooSoon}
	if err := r.db.AddCredential(t.Context(), mfa.Credential{ID: "one", User: r.user, Method: mfa.MethodPush, Confirmed: noon}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{}); !errors.Is(err, mfa.PromptTooSoon) {
		t.Errorf("too soon: %v", err)
	}
	all := r.trail.Recorded()
	if act := all[len(all)-1]; !strings.Contains(act.Detail, "not asked: prompt_too_soon") {
		t.Errorf("the trail has %+v", act)
	}
}

// A code verifies its caller once, and what was sent for one purpose is no proof of the other.
func TestACodeProvesOnceAndOneThing(t *testing.T) {
	r := newRig(t)
	r.Prover = &telephones{}
	c := mfa.Credential{ID: "number", User: r.user, Method: mfa.MethodSMS, Secret: secret.FromString("+491701234567"), Confirmed: noon}
	if err := r.db.AddCredential(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	code := secret.Wire{Text: secret.FromString("123456")}
	q, err := r.VerifyCaller(t.Context(), "helen", "alice", enroll.CallerRequest{Method: mfa.MethodSMS})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Confirm(t.Context(), "helen", "alice", "number", enroll.Codes{Challenge: q.Challenge, Codes: []secret.Wire{code}}); !errors.Is(err, mfa.WrongCode) {
		t.Errorf("a caller's code as proof of a number: %v", err)
	}
	answer := enroll.CallerAnswer{ID: q.ID, Challenge: q.Challenge, Code: code}
	if got, err := r.CheckCaller(t.Context(), "helen", "alice", answer); err != nil || got.Verified.IsZero() {
		t.Fatalf("the right code: %+v, %v", got, err)
	}
	if got, err := r.CheckCaller(t.Context(), "helen", "alice", answer); !errors.Is(err, mfa.ChallengeReplayed) || !got.Verified.IsZero() {
		t.Errorf("the same once more: %+v, %v", got, err)
	}
	sent, err := r.Send(t.Context(), "helen", "alice", "number")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.CheckCaller(t.Context(), "helen", "alice", enroll.CallerAnswer{ID: sent.ID, Challenge: sent.Challenge, Code: code}); !errors.Is(err, mfa.WrongCode) {
		t.Errorf("a code for a number verifies a caller: %v", err)
	}
}
