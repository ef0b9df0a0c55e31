package portal

import (
	"net/http"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// A PIN that the help desk has set serves here alone, until its user has changed it here.
func TestPINFromFirstToLast(t *testing.T) {
	r, d := enrolled(t)
	if _, err := r.Admin.AddApplication(t.Context(), "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("api"), FirstFactor: ptr("local"), Passcode: ptr("append")}); err != nil {
		t.Fatal(err)
	}
	elsewhere := func(pin string) mfa.Reason {
		t.Helper()
		app, err := r.db.ApplicationByName("vpn")
		if err != nil {
			t.Fatal(err)
		}
		got, err := r.Engine.Authenticate(t.Context(), mfa.Request{Application: app.ID, Login: "alice", Password: secret.FromString(password + pin + d.next())})
		if err != nil {
			t.Fatal(err)
		}
		return got.Reason
	}
	if p := r.get("/portal/"); strings.Contains(p.body, "/portal/pin") {
		t.Error("a PIN is offered to somebody whom nobody asks for one")
	}
	if _, err := r.Admin.SetPIN(t.Context(), "root", "alice", admin.PINChange{PIN: secret.NewWire("1379")}); err != nil {
		t.Fatal(err)
	}
	if why := elsewhere("1379"); why != mfa.PINMustChange {
		t.Errorf("elsewhere before it was changed: %s", why)
	}
	r.cookie = ""
	p := r.post("/portal/sign-in", "login", "alice", "password", password, "back", "/portal/")
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "Enter the code from your authenticator, your PIN in front of it") {
		t.Error(p.text())
	}
	r.leads(r.post("/portal/sign-in", "login", "alice", "handle", p.field(t, "handle"), "code", "1379"+d.next(), "back", "/portal/"), "/portal/")
	if p := r.get("/portal/"); !strings.Contains(p.text(), "Your PIN has to be changed") {
		t.Error(p.text())
	}
	for typed, said := range map[string]string{"1379": "had this PIN before", "1117": "Three equal digits", "13": "too short"} {
		p := r.post("/portal/pin", "pin", typed, "again", typed)
		if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), said) || strings.Contains(p.body, `value="`+typed) {
			t.Errorf("%s: %s", typed, p.text())
		}
	}
	r.status(r.post("/portal/pin", "pin", "2468", "again", "2469"), http.StatusUnprocessableEntity)
	r.leads(r.post("/portal/pin", "pin", "2468", "again", "2468"), "/portal/?done=done.pin")
	if why := elsewhere("2468"); why != mfa.OK {
		t.Errorf("elsewhere afterwards: %s", why)
	}
	if why := elsewhere("1379"); why != mfa.WrongPIN {
		t.Errorf("the one before: %s", why)
	}
}

func TestPreferredMethod(t *testing.T) {
	r, _ := enrolled(t)
	if p := r.get("/portal/"); strings.Contains(p.body, "/portal/preferred") {
		t.Error("a choice of one")
	}
	r.leads(r.post("/portal/preferred", "method", "totp"), "/portal/?done=done.preferred")
	if u, err := r.Admin.User(t.Context(), "alice"); err != nil || u.PreferredMethod != "totp" {
		t.Errorf("%+v, %v", u, err)
	}
	r.status(r.post("/portal/preferred", "method", "telepathy"), http.StatusNotFound)
	if got := preferable([]mfa.MethodID{"totp", "totp", "recovery"}); got != nil {
		t.Errorf("a choice of %v", got)
	}
	if got := preferable([]mfa.MethodID{"totp", "sms", "totp"}); len(got) != 2 {
		t.Errorf("a choice of %v", got)
	}
}

func ptr[T any](v T) *T { return &v }
