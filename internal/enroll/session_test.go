package enroll_test

import (
	"context"
	"testing"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// ender is sessions that end.
type ender struct{ ended []mfa.UserID }

func (e *ender) EndAll(_ context.Context, user mfa.UserID, but mfa.SessionID) (int, error) {
	if but == "mine" {
		e.ended = append(e.ended, user)
	}
	return 1, nil
}

func (e *ender) Enrolled(context.Context, mfa.SessionID, mfa.MethodID) error { return nil }

// Whoever had a second factor that is taken away, or switched off, is out.
func TestLostFactorsEndSessions(t *testing.T) {
	r, ctx, e := newRig(t), t.Context(), &ender{}
	r.Sessions = e
	by := mfa.Owner("root")
	by.Session = "mine"
	d := r.As(by, func(ctx context.Context, login string, _ ...mfa.Permission) (mfa.User, error) {
		return r.Resolve(ctx, login)
	})
	made, err := d.Add(ctx, "alice", enroll.Request{Method: mfa.MethodTOTP})
	if err != nil {
		t.Fatal(err)
	}
	for _, act := range []struct {
		name string
		ends int
		do   func() error
	}{
		{"switched off", 1, func() error { return second(d.Disable(ctx, "alice", string(made.ID), true)) }},
		{"switched on", 1, func() error { return second(d.Disable(ctx, "alice", string(made.ID), false)) }},
		{"removed", 2, func() error { return d.Remove(ctx, "alice", string(made.ID)) }},
	} {
		if err := act.do(); err != nil || len(e.ended) != act.ends {
			t.Errorf("%s: %d sessions ended so far, %v", act.name, len(e.ended), err)
		}
	}
}
