package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A user who leaves the help desk's reach between the look and the write is not changed.
func TestReachIsAskedInTheWrite(t *testing.T) {
	for _, act := range onUsers {
		switch act.name {
		case "show", "explain", "attempts", "test", "tags", "directory": // these read, or are no help desk's
			continue
		}
		t.Run(act.name, func(t *testing.T) {
			r := staffed(t)
			moved := []string{"board"}
			r.db.Faster = func() {
				if _, err := r.SetUser(t.Context(), "somebody faster", "inside", admin.UserChange{Tags: &moved}); err != nil {
					t.Error(err)
				}
			}
			err := act.do(t.Context(), r.As(helpDesk(act.needs)), "inside")
			if !errors.Is(err, mfa.ErrNotFound) && !errors.Is(err, mfa.ErrChanged) {
				t.Errorf("it was done: %v", err)
			}
			if u, err := r.User(t.Context(), "inside"); err != nil || u.Blocked || u.HasPassword || u.State != "protected" || u.Name != "" {
				t.Errorf("the user is %+v, %v", u, err)
			}
			for _, a := range r.trail.Recorded() {
				if strings.HasPrefix(a.By, "helen") {
					t.Errorf("recorded %+v", a)
				}
			}
		})
	}
}

// What was decided from a list is done to those alone who are as the list said.
func TestSeeing(t *testing.T) {
	owner := mfa.Owner("root")
	for name, act := range map[string]func(context.Context, admin.Desk) error{
		"block": func(ctx context.Context, d admin.Desk) error {
			_, err := d.BlockUser(ctx, "inside", admin.BlockRequest{})
			return err
		},
		"unblock": func(ctx context.Context, d admin.Desk) error { _, err := d.UnblockUser(ctx, "inside"); return err },
		"unlock":  func(ctx context.Context, d admin.Desk) error { _, err := d.UnlockUser(ctx, "inside"); return err },
		"state": func(ctx context.Context, d admin.Desk) error {
			_, err := d.SetUser(ctx, "inside", admin.UserChange{State: ptr("denied")})
			return err
		},
		"remove": func(ctx context.Context, d admin.Desk) error { return d.RemoveUser(ctx, "inside") },
	} {
		r, ctx := staffed(t), t.Context()
		u, err := r.User(ctx, "inside")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.SetUser(ctx, "somebody faster", "inside", admin.UserChange{Name: ptr("New")}); err != nil {
			t.Fatal(err)
		}
		if err := act(ctx, r.As(owner).Seeing(u.ETag())); !errors.Is(err, mfa.ErrChanged) {
			t.Errorf("%s of somebody who has changed: %v", name, err)
		}
		if u, err = r.User(ctx, "inside"); err != nil || u.Blocked || u.State != "protected" {
			t.Errorf("%s: the user is %+v, %v", name, u, err)
		}
		if err := act(ctx, r.As(owner).Seeing(u.ETag())); err != nil {
			t.Errorf("%s of somebody who has not: %v", name, err)
		}
	}
}

// ender is sessions that end.
type ender struct{ ended map[mfa.UserID]mfa.SessionID }

func (e *ender) EndAll(_ context.Context, user mfa.UserID, but mfa.SessionID) (int, error) {
	e.ended[user] = but
	return 2, nil
}

// Whoever knows a password that is no more is out, wherever it was changed.
func TestPasswordEndsSessions(t *testing.T) {
	r, ctx, e := staffed(t), t.Context(), &ender{map[mfa.UserID]mfa.SessionID{}}
	r.Sessions = e
	u, err := r.User(ctx, "inside")
	if err != nil {
		t.Fatal(err)
	}
	by := mfa.Owner("token:x")
	by.Session = "mine"
	if _, err := r.As(by).SetUser(ctx, "inside", admin.UserChange{Name: ptr("N")}); err != nil || len(e.ended) != 0 {
		t.Errorf("a new name ends %v, %v", e.ended, err)
	}
	if _, err := r.As(by).SetUser(ctx, "inside", admin.UserChange{Password: secret.NewWire("another one")}); err != nil || e.ended[u.ID] != "mine" {
		t.Errorf("a new password ends %v, %v", e.ended, err)
	}
	acts := r.trail.Recorded()
	if last := acts[len(acts)-1]; last.Verb != "user sign-out" || last.Detail != "2 sessions ended" || last.By != "token:x" {
		t.Errorf("recorded %+v", last)
	}
}
