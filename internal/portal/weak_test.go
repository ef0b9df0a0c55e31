package portal

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/web/webtest"
)

// guarded are the acts that take more than a recovery code.
func guarded(factor string) map[string]func(*rig) page {
	return map[string]func(*rig) page{
		"new recovery codes": func(r *rig) page { return r.post("/portal/recovery") },
		"password": func(r *rig) page {
			return r.post("/portal/password", "password", "another long one", "again", "another long one")
		},
		"PIN":          func(r *rig) page { return r.post("/portal/pin", "pin", "739164", "again", "739164") },
		"phone number": func(r *rig) page { return r.post("/portal/phone", "phone", "+49 170 1234567") },
		"rename":       func(r *rig) page { return r.post("/portal/factor/"+factor+"/rename", "label", "mine") },
		"remove":       func(r *rig) page { return r.post("/portal/factor/" + factor + "/remove") },
	}
}

// lostPhone is why a pass is given.
var lostPhone = map[mfa.MethodID]string{mfa.MethodTAP: "phone lost"}

// lost is a rig where alice has signed in by a recovery code, or by a pass, and the factor that she
// does not have any more.
func lost(t *testing.T, by mfa.MethodID) (r *rig, phone string) {
	t.Helper()
	r, _ = enrolled(t)
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error {
		s.SelfService = append(s.SelfService, policy.SelfPIN, policy.SelfPassword, policy.SelfPhone)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	phone = regexp.MustCompile(`/portal/factor/([a-z2-7]{16})`).FindStringSubmatch(r.get("/portal/").body)[1]
	made, err := r.Enroll.Add(t.Context(), "test", "alice", enroll.Request{Method: by, Why: lostPhone[by]})
	if err != nil {
		t.Fatal(err)
	}
	r.leads(r.post("/portal/sign-out"), "/portal/sign-in")
	r.leads(r.signIn("/portal/sign-in", "alice", password, string(made.Codes[0].Expose())), "/portal/")
	return r, phone
}

// DESIGN law 9: who comes in by a way around their factors adds one, and changes the others with
// that, not with the way around.
func TestStopgapChangesNothingStronger(t *testing.T) {
	for _, by := range []mfa.MethodID{mfa.MethodRecovery, mfa.MethodTAP} {
		t.Run(string(by), func(t *testing.T) {
			r, phone := lost(t, by)
			for name, act := range guarded(phone) {
				p := act(r)
				if p.StatusCode != http.StatusForbidden || !strings.Contains(p.text(), "Prove a second factor first") || !strings.Contains(p.body, `href="/portal/confirm?back=`) {
					t.Errorf("%s: %s %s", name, p.Status, p.text())
				}
			}
			for _, path := range []string{"/portal/recovery", "/portal/password", "/portal/pin", "/portal/phone"} {
				if p := r.get(path); p.StatusCode != http.StatusForbidden || strings.Contains(p.text(), "is kept") {
					t.Errorf("%s: %s %s", path, p.Status, p.text())
				}
			}
			german := webtest.Get(t, "/portal/recovery")
			german.Header.Set("Accept-Language", "de")
			for _, said := range webtest.Untranslated(t, textFiles, "de", r.send(german).body, productNames) {
				t.Errorf("in German it says %s", said)
			}
			all, err := r.Enroll.List(t.Context(), "alice")
			if err != nil || all.Credentials[0].Label != "phone" {
				t.Fatalf("%+v, %v", all, err)
			}
			p := r.post("/portal/token", "label", "new phone")
			r.status(p, http.StatusOK)
			if again := r.post("/portal/factor/" + phone + "/remove"); again.StatusCode != http.StatusForbidden {
				t.Errorf("by a token that was begun and not proven: %s", again.Status)
			}
			d := r.device(p)
			r.leads(r.post("/portal/token/prove", "credential", p.field(t, "credential"), "code", d.next()), "/portal/?done=done.token")
			r.leads(r.post("/portal/factor/"+phone+"/remove"), "/portal/?done=done.removed")
			for name, act := range guarded(p.field(t, "credential")) {
				if name == "remove" { // nothing would be left for the others to act on
					continue
				}
				if p := act(r); p.StatusCode >= http.StatusBadRequest {
					t.Errorf("%s, once the new phone is proven: %s %s", name, p.Status, p.text())
				}
			}
		})
	}
}

// The form that was refused is carried out after a proof that is worth enough, and not after
// another recovery code.
func TestStopgapIsKeptForTheProof(t *testing.T) {
	r, d := enrolled(t)
	made := r.post("/portal/recovery")
	codes := regexp.MustCompile(`<li>([0-9a-z]{5}-[0-9a-z]{5})</li>`).FindAllStringSubmatch(made.body, -1)
	r.leads(r.signIn("/portal/sign-in", "alice", password, codes[0][1]), "/portal/")
	refused := r.post("/portal/phone", "phone", "+49 170 1234567")
	kept := func(p page) string {
		to := regexp.MustCompile(`href="(/portal/confirm\?[^"]*)"`).FindStringSubmatch(p.body)
		if to == nil || !strings.Contains(p.text(), "is kept") {
			t.Fatalf("%s %s", p.Status, p.text())
		}
		return r.get(strings.ReplaceAll(to[1], "&amp;", "&")).field(t, "kept")
	}
	confirm := func(kept, code string) page {
		p := r.post("/portal/confirm", "password", password, "kept", kept)
		return r.post("/portal/confirm", "handle", p.field(t, "handle"), "code", code, "kept", kept)
	}
	again := confirm(kept(refused), codes[1][1])
	r.status(again, http.StatusForbidden)
	r.now = r.now.Add(time.Second)
	r.leads(confirm(kept(again), d.next()), "/portal/?done=done.phone")
}
