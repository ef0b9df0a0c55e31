package admin_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

// told keeps notices.
type told struct {
	to   map[mfa.UserID]string
	fail error
}

func (n *told) AddNotice(_ context.Context, user mfa.UserID, what, _ string) error {
	if n.fail == nil {
		n.to[user] = what
	}
	return n.fail
}

// portal is a rig where alice is signed in to the portal and has signed in elsewhere.
func portal(t *testing.T) (r *rig, alice admin.Own, user mfa.UserID, attempt mfa.AttemptID, n *told, e *ender) {
	t.Helper()
	r, n, e = newRig(t), &told{to: map[mfa.UserID]string{}}, &ender{map[mfa.UserID]mfa.SessionID{}}
	r.Notices, r.Sessions = n, e
	u := r.add(t, "alice")
	attempt = mfa.NewAttemptID(nil)
	a := mfa.Attempt{ID: attempt, Time: noon.Add(-time.Hour), Server: "nyc1", Application: "vpn", User: u.ID, Login: "alice", Source: "203.0.113.7", Verdict: mfa.Accept, Reason: mfa.OK}
	if err := r.trail.Append(t.Context(), mfa.Record{Attempt: &a}); err != nil {
		t.Fatal(err)
	}
	return r, r.Own(admin.Caller{By: "alice (portal)", User: u.ID, Session: "mine", Proven: mfa.MethodTOTP}), u.ID, attempt, n, e
}

func TestDisown(t *testing.T) {
	r, alice, user, attempt, n, e := portal(t)
	help, auditor := r.add(t, "help"), r.add(t, "auditor")
	for login, role := range map[string]string{"help": "help-desk", "auditor": "auditor"} {
		c := admin.AdministratorChange{Login: &login, Role: &role}
		if role == "help-desk" {
			c.AllUsers, c.Permissions = ptr(true), &[]string{"notices.receive"}
		}
		if _, err := r.AddAdministrator(t.Context(), "test", c); err != nil {
			t.Fatal(err)
		}
	}
	var alarm mfa.Fraud
	r.Fraud = func(f mfa.Fraud) { alarm = f }
	did, err := alice.Disown(t.Context(), attempt.String())
	if err != nil || !did.Until.Equal(noon.Add(24*time.Hour)) || did.Sessions != 2 {
		t.Fatalf("%+v, %v", did, err)
	}
	if u, err := r.User(t.Context(), "alice"); err != nil || !u.Blocked || u.Block.By != "alice (portal)" || !strings.Contains(u.Block.Reason, attempt.String()) {
		t.Errorf("alice is %+v, %v", u, err)
	}
	if spared, ended := e.ended[user]; !ended || spared != "" {
		t.Errorf("sessions: %v", e.ended)
	}
	if alarm.Attempt != attempt || !alarm.Blocked || alarm.Channel != mfa.FraudPortal {
		t.Errorf("alarm about %+v", alarm)
	}
	if n.to[user] == "" || n.to[help.ID] == "" || n.to[auditor.ID] != "" || strings.Contains(n.to[help.ID], "alice") {
		t.Errorf("told: %v", n.to)
	}
	found := false
	for _, a := range r.trail.Recorded() {
		found = found || a.By == "alice (portal)" && a.Verb == mfa.VerbFraud && a.Fraud != nil && a.Fraud.Attempt == attempt && a.Fraud.Blocked && a.Object == "alice" && strings.Contains(a.Detail, attempt.String()) && strings.Contains(a.Detail, "203.0.113.7")
	}
	if !found {
		t.Errorf("recorded %+v", r.trail.Recorded())
	}
}

// Whatever the policy says, what is pending is over before the user gets in again; and a block
// that lasts longer stays.
func TestDisownBlocks(t *testing.T) {
	r, alice, _, attempt, n, _ := portal(t)
	n.fail = mfa.ErrUnavailable // no master: the notices are not all
	set := policy.Defaults()
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.FraudBlock = 0; return nil }); err != nil {
		t.Fatal(err)
	}
	did, err := alice.Disown(t.Context(), attempt.String())
	if err != nil || !did.Until.Equal(noon.Add(set.Handle.Duration())) {
		t.Errorf("%+v, %v", did, err)
	}
	if _, err := r.BlockUser(t.Context(), "root", "alice", admin.BlockRequest{Reason: "gone"}); err != nil {
		t.Fatal(err)
	}
	if did, err = alice.Disown(t.Context(), attempt.String()); err != nil || !did.Until.IsZero() {
		t.Errorf("%+v, %v", did, err)
	}
	if u, _ := r.User(t.Context(), "alice"); u.Block.Reason != "gone" || u.Block.By != "root" {
		t.Errorf("block %+v", u.Block)
	}
}

func TestDisownOwnOnly(t *testing.T) {
	r, alice, _, attempt, _, _ := portal(t)
	bob := r.add(t, "bob")
	eve := r.Own(admin.Caller{By: "bob (portal)", User: bob.ID})
	if _, err := eve.Disown(t.Context(), attempt.String()); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("bob disowns a sign-in of alice: %v", err)
	}
	for _, bad := range []string{"", "x", mfa.NewAttemptID(nil).String(), strings.Repeat("a", 16), strings.Repeat("x", 1000)} {
		if _, err := alice.Disown(t.Context(), bad); !errors.Is(err, mfa.ErrNotFound) || len(err.Error()) > 100 {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	for _, login := range []string{"alice", "bob"} {
		if u, _ := r.User(t.Context(), login); u.Blocked {
			t.Errorf("%s is blocked", login)
		}
	}
	if list, all, err := eve.Attempts(t.Context(), 20); err != nil || !all || len(list) != 0 {
		t.Errorf("bob sees %+v, %v", list, err)
	}
	if list, all, err := alice.Attempts(t.Context(), 20); err != nil || !all || len(list) != 1 {
		t.Errorf("alice sees %+v, %v", list, err)
	}
}

func TestOwnAccount(t *testing.T) {
	r, alice, user, _, _, e := portal(t)
	ctx := t.Context()
	if err := alice.SetPassword(ctx, secret.FromString("too short")); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a short password: %v", err)
	}
	if err := alice.SetPassword(ctx, secret.FromString("long enough, at last")); err != nil || e.ended[user] != "mine" {
		t.Errorf("%v; sessions %v", err, e.ended)
	}
	if has, local, err := alice.HasPassword(ctx); !has || !local || err != nil {
		t.Errorf("password: %t %t %v", has, local, err)
	}
	if err := alice.SetPhone(ctx, "0170 1234567"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a number without country: %v", err)
	}
	if err := alice.SetPhone(ctx, "+49 170 1234567"); err != nil {
		t.Error(err)
	}
	if err := alice.SetLanguage(ctx, "de"); err != nil {
		t.Error(err)
	}
	if u, err := r.User(ctx, "alice"); err != nil || u.Phone != "+491701234567" || u.Language != "de" {
		t.Errorf("%+v, %v", u, err)
	}
	for _, a := range r.trail.Recorded() {
		if strings.Contains(a.Detail, "1234567") || strings.Contains(a.Detail, "long enough") {
			t.Errorf("the trail tells %+v", a)
		}
	}
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.SelfService = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"phone": alice.SetPhone(ctx, "+491701234568"), "password": alice.SetPassword(ctx, secret.FromString("another long one"))} {
		if !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("%s, which the policy does not allow: %v", what, err)
		}
	}
}

// Who has a password, or may have one in a directory, comes in by that; who has none by the
// invitation alone.
func TestEntrance(t *testing.T) {
	r, alice, user, _, _, _ := portal(t)
	ctx := t.Context()
	if app, password, err := r.EntranceOf(ctx, user); app != "invitation" || password || err != nil {
		t.Errorf("without a password: %s %t %v", app, password, err)
	}
	if err := r.Invited(ctx, user); err != nil {
		t.Error(err)
	}
	app, err := r.Application(ctx, "invitation")
	if err != nil || app.FirstFactor != "none" || len(app.Methods) != 1 || app.Methods[0] != "tap" || app.Retries != 0 {
		t.Errorf("the application is %+v, %v", app, err)
	}
	if err := alice.SetPassword(ctx, secret.FromString("long enough, at last")); err != nil {
		t.Fatal(err)
	}
	if app, password, err := r.EntranceOf(ctx, user); app != "portal" || !password || err != nil {
		t.Errorf("with a password: %s %t %v", app, password, err)
	}
	if err := r.Invited(ctx, user); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("by the invitation alone: %v", err)
	}
	kept, err := r.Page(ctx, "portal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.UpdateApplication(ctx, kept.ID, func(a *mfa.Application) error { a.FirstFactor = mfa.FirstFactorNone; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.EntranceOf(ctx, user); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a portal that checks no password: %v", err)
	}
}
