package portal

import (
	"context"
	"net/http"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// Whoever was kept out proves themselves again when they are let in again: their session ended, by
// the act itself, or by the first look at it if another server's act came here by the database.
func TestNoSessionComesBack(t *testing.T) {
	type act func(ctx context.Context, r *rig, id mfa.UserID) error
	state := func(to mfa.State) act {
		return func(ctx context.Context, r *rig, _ mfa.UserID) error {
			name := to.String()
			_, err := r.Admin.SetUser(ctx, "test", "alice", admin.UserChange{State: &name})
			return err
		}
	}
	block := func(seconds int64) act {
		return func(ctx context.Context, r *rig, _ mfa.UserID) error {
			_, err := r.Admin.BlockUser(ctx, "test", "alice", admin.BlockRequest{Seconds: seconds})
			return err
		}
	}
	elsewhere := func(change func(r *rig, u *mfa.User)) act {
		return func(ctx context.Context, r *rig, id mfa.UserID) error {
			_, err := r.db.UpdateUser(ctx, id, func(u *mfa.User) error { change(r, u); return nil })
			return err
		}
	}
	brief := func(r *rig, u *mfa.User) {
		u.Block = &mfa.Block{By: "test", Since: r.now, Until: r.now.Add(time.Minute)}
	}
	lapse := func(_ context.Context, r *rig, _ mfa.UserID) error { r.now = r.now.Add(time.Minute); return nil }
	for name, c := range map[string]struct {
		out, back act
		look      bool // the session is shown in between
	}{
		"timed block": {out: block(60), back: lapse},
		"lifted block": {out: block(0), back: func(ctx context.Context, r *rig, _ mfa.UserID) error {
			_, err := r.Admin.UnblockUser(ctx, "test", "alice")
			return err
		}},
		"denied":                        {out: state(mfa.StateDenied), back: state(mfa.StateProtected)},
		"timed block by another server": {out: elsewhere(brief), back: lapse},
		"lifted block by another server, looked at": {out: elsewhere(brief), back: elsewhere(func(_ *rig, u *mfa.User) { u.Block = nil }), look: true},
		"denied by another server, looked at": {out: elsewhere(func(_ *rig, u *mfa.User) { u.State = mfa.StateDenied }),
			back: state(mfa.StateProtected), look: true},
	} {
		t.Run(name, func(t *testing.T) {
			r, d := enrolled(t)
			r.status(r.get("/portal/"), http.StatusOK)
			u, err := r.Admin.Resolve(t.Context(), "alice")
			if err != nil {
				t.Fatal(err)
			}
			stolen := r.cookie
			r.now = r.now.Add(time.Second)
			if err := c.out(t.Context(), r, u.ID); err != nil {
				t.Fatal(err)
			}
			if c.look {
				r.leads(r.get("/portal/"), "/portal/sign-in")
			}
			if err := c.back(t.Context(), r, u.ID); err != nil {
				t.Fatal(err)
			}
			r.cookie = stolen
			r.leads(r.get("/portal/"), "/portal/sign-in")
			r.leads(r.signIn("/portal/sign-in", "alice", password, d.next()), "/portal/")
			r.status(r.get("/portal/"), http.StatusOK)
		})
	}
}

// Whoever shuts the portal means those too who are in it.
func TestShutPortalEndsSessions(t *testing.T) {
	r, _ := enrolled(t)
	r.status(r.get("/portal/"), http.StatusOK)
	stolen := r.cookie
	set := func(disabled bool) {
		t.Helper()
		if _, err := r.Admin.SetApplication(t.Context(), "root", application, admin.ApplicationChange{Disabled: &disabled}); err != nil {
			t.Fatal(err)
		}
	}
	set(true)
	r.leads(r.get("/portal/"), "/portal/sign-in")
	set(false)
	r.cookie = stolen
	r.leads(r.get("/portal/"), "/portal/sign-in")
}
