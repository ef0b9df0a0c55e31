package console

import (
	"context"
	"net/http"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Whoever was kept out proves both factors again when they are let in again: their session ended,
// by the act itself, or by the first look at it if another server's act came here by the database.
func TestNoSessionComesBack(t *testing.T) {
	type act func(ctx context.Context, r *rig, id mfa.UserID) error
	state := func(to mfa.State) act {
		return func(ctx context.Context, r *rig, _ mfa.UserID) error {
			name := to.String()
			_, err := r.Admin.SetUser(ctx, "test", "alice", admin.UserChange{State: &name})
			return err
		}
	}
	role := func(ctx context.Context, r *rig, _ mfa.UserID) error {
		login, owner := "alice", mfa.RoleOwner.String()
		_, err := r.Admin.AddAdministrator(ctx, "test", admin.AdministratorChange{Login: &login, Role: &owner})
		return err
	}
	lapse := func(_ context.Context, r *rig, _ mfa.UserID) error { r.now = r.now.Add(time.Minute); return nil }
	elsewhere := func(change func(r *rig, u *mfa.User)) act {
		return func(ctx context.Context, r *rig, id mfa.UserID) error {
			_, err := r.db.UpdateUser(ctx, id, func(u *mfa.User) error { change(r, u); return nil })
			return err
		}
	}
	brief := func(r *rig, u *mfa.User) {
		u.Block = &mfa.Block{By: "test", Since: r.now, Until: r.now.Add(time.Minute)}
	}
	for name, c := range map[string]struct {
		out, back act
		look      bool // the session is shown in between
	}{
		"timed block": {out: func(ctx context.Context, r *rig, _ mfa.UserID) error {
			_, err := r.Admin.BlockUser(ctx, "test", "alice", admin.BlockRequest{Seconds: 60})
			return err
		}, back: lapse},
		"lifted block": {out: func(ctx context.Context, r *rig, _ mfa.UserID) error {
			_, err := r.Admin.BlockUser(ctx, "test", "alice", admin.BlockRequest{})
			return err
		}, back: func(ctx context.Context, r *rig, _ mfa.UserID) error {
			_, err := r.Admin.UnblockUser(ctx, "test", "alice")
			return err
		}},
		"denied": {out: state(mfa.StateDenied), back: state(mfa.StateProtected)},
		"role": {out: func(ctx context.Context, r *rig, _ mfa.UserID) error {
			return r.Admin.RemoveAdministrator(ctx, "test", "alice", false)
		}, back: role},
		"timed block by another server":             {out: elsewhere(brief), back: lapse},
		"timed block by another server, looked at":  {out: elsewhere(brief), back: lapse, look: true},
		"lifted block by another server, looked at": {out: elsewhere(brief), back: elsewhere(func(_ *rig, u *mfa.User) { u.Block = nil }), look: true},
		"denied by another server, looked at": {out: elsewhere(func(_ *rig, u *mfa.User) { u.State = mfa.StateDenied }),
			back: state(mfa.StateProtected), look: true},
		"role by another server, looked at": {out: func(ctx context.Context, r *rig, id mfa.UserID) error {
			return r.db.RemoveAdministrator(ctx, id, false)
		}, back: role, look: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			id := r.person("alice", mfa.RoleOwner)
			r.leads(r.signInAs("alice"), "/")
			stolen := r.cookie
			r.now = r.now.Add(time.Second)
			if err := c.out(t.Context(), r, id); err != nil {
				t.Fatal(err)
			}
			if c.look {
				r.leads(r.get("/"), "/sign-in")
			}
			if err := c.back(t.Context(), r, id); err != nil {
				t.Fatal(err)
			}
			r.cookie = stolen
			r.leads(r.get("/"), "/sign-in")
			r.now = r.now.Add(time.Second)
			r.leads(r.signInAs("alice"), "/")
			r.status(r.get("/"), http.StatusOK)
		})
	}
}
