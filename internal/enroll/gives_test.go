package enroll_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
)

// Who only gives credentials takes none away; and whose passes last an hour gives no longer
// invitation.
func TestGivesOnly(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.Portal = door{"https://nyc1.example/portal", "VPN"}
	of := func(by mfa.Caller) enroll.Desk {
		return r.As(by, func(ctx context.Context, login string, anyOf ...mfa.Permission) (mfa.User, error) {
			for _, p := range anyOf {
				if by.Can(p) {
					return r.Resolve(ctx, login)
				}
			}
			return mfa.User{}, by.Lacks(anyOf[0])
		})
	}
	giver := mfa.Caller{By: "token:hr", Permissions: mfa.SetOf(mfa.MayReadUsers, mfa.MayGiveToken, mfa.MayIssuePass), Reach: mfa.Reach{All: true}}
	made, err := of(giver).Add(ctx, "alice", enroll.Request{Method: mfa.MethodTOTP})
	if err != nil {
		t.Fatal(err)
	}
	id := string(made.ID)
	for what, err := range map[string]error{"remove": of(giver).Remove(ctx, "alice", id), "off": second(of(giver).Disable(ctx, "alice", id, true)), "on": second(of(giver).Disable(ctx, "alice", id, false))} {
		if !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
	both := giver
	both.Permissions |= mfa.SetOf(mfa.MayManageToken)
	if err := of(both).Remove(ctx, "alice", id); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		ask  enroll.InviteRequest
		want time.Duration
	}{{enroll.InviteRequest{}, time.Hour}, {enroll.InviteRequest{Code: true}, 15 * time.Minute}, {enroll.InviteRequest{Seconds: 3600}, time.Hour}, {enroll.InviteRequest{Seconds: 3601}, 0}} {
		i, err := of(giver).Invite(ctx, "alice", tt.ask)
		if tt.want == 0 {
			if !errors.Is(err, mfa.ErrForbidden) {
				t.Errorf("%+v: %v", tt.ask, err)
			}
		} else if err != nil || !i.Expires.Equal(noon.Add(tt.want)) {
			t.Errorf("%+v: until %s, %v", tt.ask, i.Expires, err)
		}
	}
	longer := giver
	longer.Permissions |= mfa.SetOf(mfa.MayChoosePassLife)
	if i, err := of(longer).Invite(ctx, "alice", enroll.InviteRequest{}); err != nil || !i.Expires.Equal(noon.Add(24*time.Hour)) {
		t.Errorf("with pass.lifetime: until %s, %v", i.Expires, err)
	}
}
