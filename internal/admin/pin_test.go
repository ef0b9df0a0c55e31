package admin_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

func TestPINs(t *testing.T) {
	r, alice, _, _, n, _ := portal(t)
	ctx := t.Context()
	phone := "+491701234567"
	if _, err := r.SetUser(ctx, "root", "alice", admin.UserChange{Phone: &phone}); err != nil {
		t.Fatal(err)
	}
	set := func(pin string) error {
		_, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{PIN: secret.NewWire(pin)})
		return err
	}
	for pin, want := range map[string]error{"137": policy.ErrPINLength, "1117": policy.ErrPINRepeat, "1701": policy.ErrPINPhone, "12a4": policy.ErrPINDigits} {
		if err := set(pin); !errors.Is(err, want) || !errors.Is(err, mfa.ErrInvalid) || admin.WeakPIN(err) != want {
			t.Errorf("%s: %v", pin, err)
		}
	}
	u, err := r.User(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	for i, m := range []mfa.MethodID{mfa.MethodCall, mfa.MethodSMS} {
		c := mfa.Credential{ID: mfa.CredentialID(fmt.Sprint("reached", i)), User: u.ID, Method: m, Secret: secret.FromString(fmt.Sprintf("+4930555%d2864", i))}
		if err := r.db.AddCredential(ctx, c); err != nil {
			t.Fatal(err)
		}
		if err := set(fmt.Sprintf("%d286", i)); !errors.Is(err, policy.ErrPINPhone) {
			t.Errorf("of the number of %s: %v", m, err)
		}
		if err := r.db.RemoveCredential(ctx, c.User, c.ID); err != nil {
			t.Fatal(err)
		}
	}
	v, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{PIN: secret.NewWire("1379")})
	if err != nil || !v.Set || !v.MustChange || v.Expires != nil {
		t.Fatalf("%+v, %v", v, err)
	}
	if u, err := r.User(ctx, "alice"); err != nil || !u.HasPIN || u.Credentials != 0 {
		t.Errorf("user %+v, %v", u, err)
	}
	if err := alice.SetPIN(ctx, secret.FromString("1379")); !errors.Is(err, policy.ErrPINUsed) {
		t.Errorf("the present one again: %v", err)
	}
	for _, pin := range []string{"2468", "8642", "9753"} {
		if err := alice.SetPIN(ctx, secret.FromString(pin)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := alice.PIN(ctx); err != nil || v.MustChange || n.to == nil {
		t.Errorf("changed by the user: %+v, %v", v, err)
	}
	if err := alice.SetPIN(ctx, secret.FromString("2468")); !errors.Is(err, policy.ErrPINUsed) {
		t.Errorf("one of those before: %v", err)
	}
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.PINHistory, s.PINDays = 1, 30; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := alice.SetPIN(ctx, secret.FromString("2468")); err != nil {
		t.Errorf("it is farther back than is looked at: %v", err)
	}
	if v, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{MustChange: ptr(true)}); err != nil || !v.MustChange || !v.Expires.Equal(noon.Add(30*24*time.Hour)) {
		t.Errorf("%+v, %v", v, err)
	}
	if v, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{PIN: secret.NewWire("")}); err != nil || v.Set {
		t.Errorf("removed: %+v, %v", v, err)
	}
	if u, err := r.User(ctx, "alice"); err != nil || u.HasPIN {
		t.Errorf("after that: %+v, %v", u, err)
	}
	for _, c := range []admin.PINChange{{}, {MustChange: ptr(true)}, {PIN: secret.NewWire("")}} {
		if _, err := r.SetPIN(ctx, "root", "alice", c); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%+v of nobody's PIN: %v", c, err)
		}
	}
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.SelfService = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := alice.SetPIN(ctx, secret.FromString("9753")); !errors.Is(err, mfa.ErrForbidden) {
		t.Errorf("users do not do this themselves: %v", err)
	}
	for _, a := range r.trail.Recorded() {
		for _, pin := range []string{"1379", "2468", "8642", "9753"} {
			if strings.Contains(a.Detail, pin) {
				t.Errorf("a PIN is in the trail: %+v", a)
			}
		}
	}
}

func TestFraudWithoutABlock(t *testing.T) {
	r, alice, user, attempt, n, e := portal(t)
	ctx := t.Context()
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.FraudBlocks = false; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []mfa.Credential{{ID: "begun", Method: mfa.MethodPush, Hold: mfa.CredentialUnproven}, {ID: "serves", Method: mfa.MethodTOTP}} {
		c.User = user
		if err := r.db.AddCredential(ctx, c); err != nil {
			t.Fatal(err)
		}
	}
	did, err := alice.Disown(ctx, attempt.String())
	if a, err := r.db.Account(ctx, user, false); err != nil || len(a.Credentials) != 1 || a.Credentials[0].ID != "serves" {
		t.Errorf("left of what was begun: %+v, %v", a.Credentials, err)
	}
	if acts := r.trail.Recorded(); !strings.Contains(acts[len(acts)-2].Detail, "enrolments void: push begun") && !strings.Contains(acts[len(acts)-1].Detail, "enrolments void: push begun") {
		t.Errorf("the trail: %+v", acts)
	}
	if _, ended := e.ended[user]; err != nil || did.Blocked || did.Sessions != 2 || !ended || !strings.Contains(n.to[user], "not theirs") || strings.Contains(n.to[user], "kept out") {
		t.Errorf("%+v, %v, told %q", did, err, n.to[user])
	}
	if u, _ := r.User(ctx, "alice"); u.Blocked {
		t.Error("blocked all the same")
	}
	// What a push or a call reports comes the same way.
	if did, err = r.ReportFraud(ctx, mfa.Fraud{User: user, Attempt: mfa.NewAttemptID(nil), Channel: mfa.FraudPush, Time: noon, Server: "nyc1", Application: "vpn"}); err != nil || did.Blocked {
		t.Errorf("%+v, %v", did, err)
	}
	f, err := r.Report(ctx, admin.ReportFrauds, admin.ReportQuery{}, mfa.Reach{All: true})
	if err != nil || len(f.Frauds) != 2 || f.Frauds[0].Channel != mfa.FraudPush || f.Frauds[0].Login != "alice" || f.Frauds[1].Attempt != attempt {
		t.Errorf("report %+v, %v", f.Frauds, err)
	}
	if rows := f.Tables(time.UTC)[0]; rows.Name != "reported" || len(rows.Rows) != 2 {
		t.Errorf("table %+v", rows)
	}
}

// Who has a PIN taken away does not choose it again, nor one before it.
func TestPINsAreRememberedWithoutOne(t *testing.T) {
	r, alice, _, _, _, _ := portal(t)
	ctx := t.Context()
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.SelfService = []string{policy.SelfPIN}; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, pin := range []string{"2468", "8642"} {
		if err := alice.SetPIN(ctx, secret.FromString(pin)); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{PIN: secret.NewWire("")}); err != nil || v.Set {
		t.Fatalf("removed: %+v, %v", v, err)
	}
	for _, pin := range []string{"8642", "2468"} {
		if err := alice.SetPIN(ctx, secret.FromString(pin)); !errors.Is(err, policy.ErrPINUsed) {
			t.Errorf("%s again: %v", pin, err)
		}
	}
	if err := alice.SetPIN(ctx, secret.FromString("9753")); err != nil {
		t.Fatal(err)
	}
	if v, err := alice.PIN(ctx); err != nil || !v.Set {
		t.Errorf("set anew: %+v, %v", v, err)
	}
	if err := r.db.UpdateSettings(ctx, func(s *policy.Settings) error { s.PINHistory = 0; return nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := r.SetPIN(ctx, "root", "alice", admin.PINChange{PIN: secret.NewWire("")}); err != nil {
		t.Fatal(err)
	}
	if err := alice.SetPIN(ctx, secret.FromString("8642")); err != nil {
		t.Errorf("nothing is kept: %v", err)
	}
}
