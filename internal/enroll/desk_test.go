package enroll_test

import (
	"context"
	"errors"
	"testing"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// Every method asks for its own permission, each act on a credential for that of its method.
func TestDesk(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	desk := func(ps ...mfa.Permission) enroll.Desk {
		c := mfa.Caller{By: "helen", Permissions: mfa.SetOf(ps...), Reach: mfa.Reach{All: true}}
		return r.As(c, func(ctx context.Context, login string, anyOf ...mfa.Permission) (mfa.User, error) {
			for _, p := range anyOf {
				if c.Can(p) {
					return r.Resolve(ctx, login)
				}
			}
			return mfa.User{}, c.Lacks(anyOf[0])
		})
	}
	for method, needs := range map[mfa.MethodID]mfa.Permission{mfa.MethodTOTP: mfa.MayManageToken, mfa.MethodHOTP: mfa.MayManageToken,
		mfa.MethodRecovery: mfa.MayChangeMethod, mfa.MethodTAP: mfa.MayIssuePass} {
		q := enroll.Request{Method: method}
		if method == mfa.MethodTAP {
			q.Why = "lost phone"
		}
		with := desk(needs)
		made, err := with.Add(ctx, "alice", q)
		if err != nil {
			t.Fatalf("%s with %s: %v", method, needs, err)
		}
		id := string(made.ID)
		one := enroll.Codes{Codes: []secret.Wire{code(t, 0)}}
		for _, other := range append(enroll.Givers, mfa.MayReadUsers) {
			if other == needs {
				continue
			}
			d := desk(other)
			for name, err := range map[string]error{
				"add":     second(d.Add(ctx, "alice", q)),
				"confirm": second(d.Confirm(ctx, "alice", id, one)),
				"resync":  second(d.Resync(ctx, "alice", id, one)),
				"disable": second(d.Disable(ctx, "alice", id, true)),
				"remove":  d.Remove(ctx, "alice", id),
			} {
				if !errors.Is(err, mfa.ErrForbidden) {
					t.Errorf("%s %s with %s: %v", name, method, other, err)
				}
			}
		}
		if _, err := with.Disable(ctx, "alice", id, true); err != nil {
			t.Errorf("disable %s with %s: %v", method, needs, err)
		}
		if _, err := with.List(ctx, "alice"); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("list with %s: %v", needs, err)
		}
		if err := with.Remove(ctx, "alice", id); err != nil {
			t.Errorf("remove %s with %s: %v", method, needs, err)
		}
	}
	for _, q := range []enroll.Request{{Method: mfa.MethodTAP, Why: "x", Seconds: 7200}, {Method: mfa.MethodTAP, Why: "x", Uses: 2}} {
		if _, err := desk(mfa.MayIssuePass).Add(ctx, "alice", q); !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("a long pass: %v", err)
		}
		if _, err := desk(mfa.MayIssuePass, mfa.MayChoosePassLife).Add(ctx, "alice", q); err != nil {
			t.Errorf("a long pass with the permission: %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
