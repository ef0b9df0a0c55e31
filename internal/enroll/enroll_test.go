package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/admin/admintest"
	"countersign/internal/enroll"
	"countersign/internal/method/otp"
	"countersign/internal/mfa"
	"countersign/internal/oath"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

const seed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890"

// codes is package method/otp at noon.
type codes struct{}

func (codes) Recovery(c mfa.Credential, n int) ([]secret.Text, secret.Text, error) {
	return otp.GenerateRecovery(nil, c.ID, n)
}
func (codes) Pass(c mfa.Credential) (code, kept secret.Text, err error) {
	return otp.GenerateTAP(nil, c.ID)
}
func (codes) Verify(ctx context.Context, c mfa.Credential, f mfa.Floor, code secret.Text) (mfa.Floor, error) {
	m := otp.TOTP{Now: func() time.Time { return noon }, Skew: func() int { return 1 }}
	p, err := m.Finish(ctx, c, f, mfa.Step{}, code)
	return p.Floor, err
}
func (codes) Resync(c mfa.Credential, f mfa.Floor, first, second secret.Text, now time.Time) (mfa.Floor, error) {
	return otp.Resync(c, f, first, second, now)
}

type rig struct {
	*enroll.Service
	db    *admintest.Memory
	trail *admintest.Trail
	user  mfa.UserID
}

func newRig(t testing.TB) *rig {
	t.Helper()
	db, trail := admintest.New(), admintest.NewTrail()
	now := func() time.Time { return noon }
	a := admintest.Admin(db, trail, &admintest.Node{Now: now}, nil)
	login := "alice"
	u, err := a.AddUser(t.Context(), "test", admin.UserChange{Login: &login, Password: secret.NewWire("pw")})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"VPN", "mail"} {
		kind := mfa.KindAPI
		if _, err := a.AddApplication(t.Context(), "test", admin.ApplicationChange{Name: &name, Kind: &kind}); err != nil {
			t.Fatal(err)
		}
	}
	return &rig{&enroll.Service{Server: "nyc1", Issuer: "Acme: Inc", Store: db, Applications: db, Settings: db.Settings, Resolve: a.Resolve, Passcodes: codes{}, Trail: trail, Now: now}, db, trail, u.ID}
}

// code is the passcode of seed, steps of 30 s after noon.
func code(t testing.TB, steps int) secret.Wire {
	t.Helper()
	s, err := oath.ParseSecret(secret.FromString(seed))
	if err != nil {
		t.Fatal(err)
	}
	k, err := oath.NewTOTP(s, oath.SHA1, 6, 30)
	if err != nil {
		t.Fatal(err)
	}
	return *secret.NewWire(k.TOTP(noon.Add(time.Duration(steps) * 30 * time.Second)))
}

func (r *rig) give(t testing.TB, q enroll.Request) enroll.Created {
	t.Helper()
	c, err := r.Add(t.Context(), "root", "alice", q)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSecretIsShownOnceAndOnlyIfMadeHere(t *testing.T) {
	r := newRig(t)
	made := r.give(t, enroll.Request{Method: "totp", Label: "phone"})
	if made.Secret == nil || made.Secret.Len() != 32 || made.OTPAuthURL == nil {
		t.Fatalf("made %+v", made)
	}
	u, err := oath.ParseKeyURI(made.OTPAuthURL.Text)
	if err != nil || u.Account != "alice" || u.Issuer != "Acme  Inc" || !oath.FormatSecret(u.Key.Secret()).Equal(made.Secret.Text) {
		t.Errorf("URL %q: %+v, %v", made.OTPAuthURL.Expose(), u, err)
	}
	given := r.give(t, enroll.Request{Method: "hotp", Secret: secret.NewWire(seed), Counter: 7, Digits: 8})
	if given.Secret != nil || given.OTPAuthURL != nil || given.Digits != 8 {
		t.Errorf("given %+v", given)
	}
	recovery := r.give(t, enroll.Request{Method: "recovery"})
	if len(recovery.Codes) != 10 || *recovery.Left != 10 {
		t.Errorf("recovery: %d codes, %d left", len(recovery.Codes), *recovery.Left)
	}
	pass := r.give(t, enroll.Request{Method: "tap", Why: "first day", Seconds: 600, Uses: 2, Scope: []string{"vpn", "mail", "Vpn"}})
	if len(pass.Codes) != 1 || !pass.Expires.Equal(noon.Add(10*time.Minute)) || *pass.Left != 2 || !slices.Equal(pass.Scope, []string{"VPN", "mail"}) {
		t.Errorf("pass %+v", pass)
	}
	list, err := r.List(t.Context(), "alice")
	if err != nil || len(list.Credentials) != 4 {
		t.Fatalf("list %+v, %v", list, err)
	}
	for _, a := range r.trail.Recorded() {
		for _, s := range []secret.Wire{*made.Secret, recovery.Codes[0], pass.Codes[0]} {
			if strings.Contains(fmt.Sprint(a), string(s.Expose())) {
				t.Errorf("a secret in the trail: %+v", a)
			}
		}
	}
	if last := r.trail.Recorded()[6]; last.Verb != "credential add" || last.Object != "alice" ||
		!strings.HasSuffix(last.Detail, "2 uses until 2026-11-25T12:10:00Z, for VPN, mail, issued by root, approved by root: first day") {
		t.Errorf("act %+v", last)
	}
}

func TestBadRequests(t *testing.T) {
	tests := map[string]enroll.Request{
		"no method":           {},
		"unknown method":      {Method: "sms"},
		"password as method":  {Method: "password"},
		"secret not Base32":   {Method: "totp", Secret: secret.NewWire("0189")},
		"empty secret":        {Method: "totp", Secret: secret.NewWire("")},
		"short secret":        {Method: "totp", Secret: secret.NewWire("MFRGG")},
		"odd algorithm":       {Method: "totp", Algorithm: "MD5"},
		"five digits":         {Method: "totp", Digits: 5},
		"nine digits":         {Method: "hotp", Digits: 9},
		"long period":         {Method: "totp", Period: 86400},
		"negative period":     {Method: "totp", Period: -1},
		"period of hotp":      {Method: "hotp", Period: 30},
		"counter of totp":     {Method: "totp", Counter: 1},
		"counter too large":   {Method: "hotp", Counter: 1 << 63},
		"secret of recovery":  {Method: "recovery", Secret: secret.NewWire(seed)},
		"too many codes":      {Method: "recovery", Codes: 51},
		"pass without reason": {Method: "tap"},
		"pass for ever":       {Method: "tap", Why: "x", Seconds: 1 << 40},
		"pass too short":      {Method: "tap", Why: "x", Seconds: 5},
		"many uses":           {Method: "tap", Why: "x", Uses: 61},
		"for nothing there":   {Method: "tap", Why: "x", Scope: []string{"vpn", "wifi"}},
		"for an empty name":   {Method: "tap", Why: "x", Scope: []string{""}},
		"reason of two lines": {Method: "tap", Why: "x\ny"},
		"label of two lines":  {Method: "totp", Label: "x\ny"},
	}
	for name, q := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if _, err := r.Add(t.Context(), "root", "alice", q); !errors.Is(err, mfa.ErrInvalid) {
				t.Errorf("got %v, want invalid", err)
			}
			if l, _ := r.List(t.Context(), "alice"); len(l.Credentials) != 0 {
				t.Error("a credential was made")
			}
		})
	}
	r := newRig(t)
	if _, err := r.Add(t.Context(), "root", "nobody", enroll.Request{Method: "totp"}); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("nobody: %v", err)
	}
	for range 31 { // and the password
		r.give(t, enroll.Request{Method: "totp"})
	}
	if _, err := r.Add(t.Context(), "root", "alice", enroll.Request{Method: "totp"}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("one too many: %v", err)
	}
}

func TestACodeConfirmsOnce(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	c := r.give(t, enroll.Request{Method: "totp", Secret: secret.NewWire(seed)})
	wrong := *secret.NewWire("000000")
	if _, err := r.Confirm(ctx, "root", "alice", string(c.ID), enroll.Codes{Codes: []secret.Wire{wrong}}); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "wrong_code") {
		t.Errorf("wrong code: %v", err)
	}
	right := enroll.Codes{Codes: []secret.Wire{code(t, 0)}}
	var wg sync.WaitGroup
	results := make([]error, 16)
	for i := range results {
		wg.Go(func() { _, results[i] = r.Confirm(ctx, "root", "alice", "totp", right) })
	}
	wg.Wait()
	good := 0
	for _, err := range results {
		if err == nil {
			good++
		} else if !strings.Contains(err.Error(), "replayed_code") {
			t.Errorf("got %v", err)
		}
	}
	if good != 1 {
		t.Errorf("one code confirmed %d times", good)
	}
	list, _ := r.List(ctx, "alice")
	if list.Credentials[0].Confirmed == nil {
		t.Error("not shown as proven")
	}
	a, _ := r.db.Account(ctx, r.user, false)
	if a.Record.Floors.Of(c.ID).Next == 0 {
		t.Error("the code was not spent")
	}
}

func TestResyncOnlyRaisesTheFloor(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	c := r.give(t, enroll.Request{Method: "totp", Secret: secret.NewWire(seed)})
	pair := func(at int) enroll.Codes { return enroll.Codes{Codes: []secret.Wire{code(t, at), code(t, at+1)}} }
	if _, err := r.Resync(ctx, "root", "alice", string(c.ID), enroll.Codes{Codes: []secret.Wire{code(t, 20)}}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("one code: %v", err)
	}
	v, err := r.Resync(ctx, "root", "alice", string(c.ID)[:6], pair(20))
	if err != nil || v.Drift == 0 {
		t.Fatalf("resync: %+v, %v", v, err)
	}
	a, _ := r.db.Account(ctx, r.user, false)
	floor := a.Record.Floors.Of(c.ID).Next
	for _, at := range []int{20, 19, 5} {
		if _, err := r.Resync(ctx, "root", "alice", "totp", pair(at)); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("codes of step %d again: %v", at, err)
		}
	}
	if a, _ := r.db.Account(ctx, r.user, false); a.Record.Floors.Of(c.ID).Next != floor {
		t.Errorf("the floor went from %d to %d", floor, a.Record.Floors.Of(c.ID).Next)
	}
}

func TestDisableAndRemove(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	first := r.give(t, enroll.Request{Method: "totp"})
	r.give(t, enroll.Request{Method: "totp"})
	if _, err := r.Disable(ctx, "root", "alice", "totp", true); !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), "fits 2") {
		t.Errorf("a name that fits two: %v", err)
	}
	if c, err := r.Disable(ctx, "root", "alice", string(first.ID), true); err != nil || !c.Disabled {
		t.Errorf("disabled: %+v, %v", c, err)
	}
	if c, err := r.Disable(ctx, "root", "alice", string(first.ID), false); err != nil || c.Disabled {
		t.Errorf("enabled: %+v, %v", c, err)
	}
	if err := r.Remove(ctx, "root", "alice", string(first.ID)); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{string(first.ID), "password", "", "zzzz"} {
		if err := r.Remove(ctx, "root", "alice", gone); !errors.Is(err, mfa.ErrNotFound) {
			t.Errorf("removing %q: %v", gone, err)
		}
	}
	token := "totp " + string(first.ID)
	var acts []string
	for _, a := range r.trail.Recorded() {
		if a.Object == "alice" && strings.HasPrefix(a.Detail, token) {
			acts = append(acts, a.Verb+": "+strings.TrimPrefix(a.Detail, token))
		}
	}
	want := []string{"credential add: ", "credential disable: , disabled false -> true", "credential enable: , disabled true -> false", "credential remove: "}
	if !slices.Equal(acts, want) {
		t.Errorf("acts: got %q, want %q", acts, want)
	}
}

func TestTheSameTokenTwiceIsRefused(t *testing.T) {
	r := newRig(t)
	q := enroll.Request{Method: mfa.MethodTOTP, Secret: secret.NewWire(seed)}
	had := r.give(t, q)
	q.Digits = 8 // ends in the same six digits
	_, err := r.Add(t.Context(), "root", "alice", q)
	if !errors.Is(err, mfa.ErrExists) || !strings.Contains(fmt.Sprint(err), string(had.ID)) {
		t.Errorf("the same secret again: got %v, want an error that names credential %s", err, had.ID)
	}
	r.give(t, enroll.Request{Method: mfa.MethodHOTP, Secret: secret.NewWire(seed)})
	r.give(t, enroll.Request{Method: mfa.MethodTOTP})
	if err := r.Remove(t.Context(), "root", "alice", string(had.ID)); err != nil {
		t.Fatal(err)
	}
	r.give(t, q)
}

// A pass for an application stays one for it whatever that is called, and is none for another that
// takes its name.
func TestPassFollowsItsApplication(t *testing.T) {
	r := newRig(t)
	r.give(t, enroll.Request{Method: mfa.MethodTAP, Why: "first day", Scope: []string{"VPN"}})
	vpn, err := r.db.ApplicationByName("VPN")
	if err != nil {
		t.Fatal(err)
	}
	vpn, err = r.db.UpdateApplication(t.Context(), vpn.ID, func(a *mfa.Application) error { a.Name = "gate"; return nil })
	if err != nil {
		t.Fatal(err)
	}
	other := mfa.Application{ID: mfa.ApplicationID(mfa.NewID(nil)), Name: "VPN"}
	list, err := r.List(t.Context(), "alice")
	if err != nil || !slices.Equal(list.Credentials[0].Scope, []string{"gate"}) {
		t.Errorf("shown as %+v, %v", list.Credentials, err)
	}
	a, err := r.db.Account(t.Context(), r.user, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, why := policy.Usable(vpn, a.Credentials, noon); why != mfa.ReasonNone {
		t.Errorf("at its application: %s", why)
	}
	if _, why := policy.Usable(other, a.Credentials, noon); why != mfa.WrongScope {
		t.Errorf("at one that has its name: %s", why)
	}
}
