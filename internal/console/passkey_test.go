package console

import (
	"bytes"
	"crypto/sha256"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/challenge"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/passkey"
	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
)

type groupKey struct{}

func (groupKey) Primary() keyring.KeyID { return 1 }
func (groupKey) Key(string, keyring.KeyID) (secret.Text, error) {
	return secret.New(bytes.Repeat([]byte{5}, 32)), nil
}

// keysOf is package method/passkey at the rig's time.
func keysOf(settings func() policy.Settings, now func() time.Time) passkey.Ceremonies {
	return passkey.Ceremonies{Method: passkey.Method{Name: "acme", Settings: settings,
		Digest: func(purpose, value string) [32]byte { return sha256.Sum256([]byte(purpose + value)) }},
		Sealer: challenge.Sealer{Keys: groupKey{}}, Epoch: func() uint64 { return 1 }, Now: now, Life: enroll.ProofLife}
}

// site gives the rig's group a site for passkeys, where they stand alone.
func (r *rig) site() *passkeytest.Authenticator {
	r.t.Helper()
	if err := r.db.UpdateSettings(r.t.Context(), func(s *policy.Settings) error {
		s.PasskeySite, s.PasskeyAlone = "nyc1.example", []string{"console"}
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	return &passkeytest.Authenticator{Origin: "https://nyc1.example", Verified: true}
}

// options are what a page gives the browser for a passkey.
func (p page) options(t *testing.T, kind string) []byte {
	t.Helper()
	m := regexp.MustCompile(`data-passkey="` + kind + `" data-options="([^"]*)"`).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no form for a passkey (%s) in\n%s", kind, p.body)
	}
	return []byte(html.UnescapeString(m[1]))
}

// makes adds a passkey in both steps, which pages at a path ask for.
func (r *rig) makes(a *passkeytest.Authenticator, p page, path, label string) page {
	r.t.Helper()
	made, err := a.Make(p.options(r.t, "create"))
	if err != nil {
		r.t.Fatal(err)
	}
	p = r.post(path+"/keep", "ticket", p.field(r.t, "ticket"), "label", label, "passkey", made)
	r.status(p, http.StatusOK)
	used, err := a.Use(p.options(r.t, "get"))
	if err != nil {
		r.t.Fatal(err)
	}
	return r.post(path+"/prove", "ticket", p.field(r.t, "ticket"), "credential", p.field(r.t, "credential"), "passkey", used)
}

func TestOwnPasskeys(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	if p := r.get("/account"); !strings.Contains(p.text(), "There are no passkeys here") {
		t.Errorf("without a site: %s", p.text())
	}
	key := r.site()
	if p := r.get("/account"); !strings.Contains(p.body, `href="/account/passkey"`) {
		t.Errorf("not offered: %s", p.text())
	}
	if p := r.makes(key, r.get(passkeyPath), passkeyPath, "blue key"); p.Header.Get("Location") != "/account?done=done.proven" {
		t.Fatalf("%s %s", p.Status, p.text())
	}
	p := r.get("/account")
	if !strings.Contains(p.text(), "passkey blue key proven") {
		t.Errorf("account: %s", p.text())
	}
	id := p.field(t, "credential")
	if p := r.post("/account/drop", "credential", id); p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "last second factor") {
		t.Errorf("the last one: %s %s", p.Status, p.text())
	}
	r.now = r.now.Add(6 * time.Minute)
	if p := r.post("/account/drop", "credential", id); !strings.HasPrefix(p.Header.Get("Location"), "/confirm?") {
		t.Errorf("without a fresh proof: %s", p.Status)
	}
}

// Who came in by a recovery code takes no passkey away before one was proven.
func TestStopgapRemovesNoPasskey(t *testing.T) {
	r := signedInAs(t, mfa.RoleAuditor)
	key := r.site()
	r.makes(key, r.get(passkeyPath), passkeyPath, "blue key")
	id := r.get("/account").field(t, "credential")
	r.eng.proves = mfa.MethodRecovery
	r.signInAs("alice")
	if p := r.post("/account/drop", "credential", id); p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "recovery code") {
		t.Errorf("by a recovery code: %s %s", p.Status, p.text())
	}
	other := &passkeytest.Authenticator{Origin: key.Origin, Verified: true}
	r.makes(other, r.get(passkeyPath), passkeyPath, "new key")
	if p := r.post("/account/drop", "credential", id); p.Header.Get("Location") != "/account?done=done.dropped" {
		t.Errorf("once the new one is proven: %s %s", p.Status, p.text())
	}
}

// Whom the engine refuses for want of a role reads it; they have proven both factors.
func TestRefusedForWantOfARole(t *testing.T) {
	r := newRig(t)
	r.person("alice", mfa.RoleOwner)
	r.eng.reason = mfa.NoRole
	if p := r.signInAs("alice"); p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "you hold no role here") || strings.Contains(p.body, `name="handle"`) {
		t.Errorf("%s %s", p.Status, p.text())
	}
}

// The page hands what the browser returned to the engine, and only where passkeys belong.
func TestSignInWithPasskey(t *testing.T) {
	r := newRig(t)
	r.person("alice", mfa.RoleOwner)
	last := func() mfa.Request { return r.eng.asked[len(r.eng.asked)-1] }
	r.post("/sign-in", "login", "alice", "password", "right")
	if last().Caps != mfa.CanPrompt {
		t.Error("passkeys are carried without a site")
	}
	r.site()
	if p := r.get("/sign-in"); !strings.Contains(p.body, `name="discover"`) {
		t.Errorf("a passkey alone is not offered: %s", p.body)
	}
	r.post("/sign-in", "discover", "1", "password", "ignored")
	if q := last(); !q.Passkey || !q.Password.Empty() || q.Caps != mfa.CanPrompt|mfa.CanPasskey {
		t.Errorf("asked %+v", q)
	}
	r.post("/sign-in", "login", "alice", "handle", "YWxpY2U", "passkey", `{"id":"x"}`, "code", "ignored")
	if q := last(); string(q.Answer.Expose()) != `{"id":"x"}` || string(q.Handle) != "alice" || q.Passkey {
		t.Errorf("asked %+v", q)
	}
}

// The first administrator may have a passkey from the start, and the token that was shown is gone.
func TestFirstAdministratorWithPasskey(t *testing.T) {
	r := newRig(t)
	link := r.link()
	p := r.post("/setup", "link", link, "login", "alice", "password", longPassword, "again", longPassword)
	if strings.Contains(p.body, setupPasskeyPath) {
		t.Error("a passkey is offered without a site")
	}
	key := r.site()
	if p = r.post("/setup/again"); !strings.Contains(p.body, `action="`+setupPasskeyPath+`"`) {
		t.Fatalf("no passkey is offered: %s", p.body)
	}
	r.status(r.post(setupPasskeyPath+"/keep", "ticket", "x", "passkey", "{}"), http.StatusUnprocessableEntity)
	if p := r.get("/"); p.StatusCode != http.StatusSeeOther || !r.Admin.SetupNeeded() {
		t.Errorf("an owner before the proof: %s", p.Status)
	}
	if p := r.makes(key, r.post(setupPasskeyPath), setupPasskeyPath, "key"); p.Header.Get("Location") != "/" {
		t.Fatalf("%s %s", p.Status, p.text())
	}
	if p := r.get("/"); !strings.Contains(p.text(), "alice · owner") {
		t.Errorf("%s %s", p.Status, p.text())
	}
	if all, err := r.Enroll.List(t.Context(), "alice"); err != nil || len(all.Credentials) != 1 || all.Credentials[0].Method != mfa.MethodPasskey {
		t.Errorf("credentials %+v, %v", all, err)
	}
	r.cookie = ""
	for _, path := range []string{setupPasskeyPath, setupPasskeyPath + "/keep", setupPasskeyPath + "/prove"} {
		r.status(r.post(path), http.StatusForbidden)
	}
}

func TestPolicyOfPasskeys(t *testing.T) {
	r := signedInAs(t, mfa.RoleAdministrator)
	var f form
	for _, one := range r.get("/policy").forms() {
		if one.action == "/policy/passkeys" {
			f = one
		}
	}
	if f.fields.Get("passkey_verification") != "preferred" || len(f.names) != 7 {
		t.Fatalf("the form is %+v", f)
	}
	p := r.post(f.action, f.values("passkey_site", "10.0.0.7")...)
	if r.status(p, http.StatusUnprocessableEntity); !strings.Contains(p.text(), "an IP address cannot be the site of passkeys") || p.field(t, "passkey_site") != "10.0.0.7" {
		t.Error(p.text())
	}
	f.fields.Set("passkey_alone", "portal, console")
	r.status(r.post(f.action, f.values("passkey_site", "mfa.corp.example")...), http.StatusSeeOther)
	if s := r.db.Settings(); s.PasskeySite != "mfa.corp.example" || len(s.PasskeyAlone) != 2 || s.Tries != 5 {
		t.Errorf("settings %+v", s)
	}
	r.status(r.post(f.action, f.values("passkey_site", "other.corp.example")...), http.StatusConflict)
}
