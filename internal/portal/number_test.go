package portal

import (
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/policy"
)

var ownNumber = regexp.MustCompile(`/portal/factor/([a-z2-7]{16})"[^>]*>[^<]*<span class="hidden"> [^<]*call`)

// Somebody adds a number that is called, tries it, and has another take its place.
func TestNumber(t *testing.T) {
	r, _ := enrolled(t)
	phone := &telephone{}
	r.Enroll.Prover, r.Enroll.Asker = phone, phone
	if _, err := r.Admin.SetUser(t.Context(), "test", "alice", admin.UserChange{Phone: new("+491701234567")}); err != nil {
		t.Fatal(err)
	}
	add := func(from, to string) page {
		t.Helper()
		p := r.get(from)
		fields := []string{"method", p.field(t, "method"), "to", to}
		if strings.HasSuffix(from, "/number") && from != "/portal/number" {
			fields = append(fields, "replaces", p.field(t, "replaces"))
		}
		return r.post("/portal/number", fields...)
	}
	if !strings.Contains(r.get("/portal/").body, `href="/portal/number"`) || r.get("/portal/number").field(t, "method") != "call" {
		t.Fatal("the page is not offered, or offers something else")
	}
	if p := r.get("/portal/number"); !strings.Contains(html.UnescapeString(p.body), `value="+491701234567"`) {
		t.Errorf("the number that is known is not there\n%s", p.text())
	}
	r.status(add("/portal/number", "0170 1234567"), http.StatusUnprocessableEntity)
	for why, says := range map[mfa.Reason]string{mfa.CountryNotAllowed: "cannot be reached", mfa.TooManyMessages: "too often", mfa.CallBusy: "Nobody picked up", mfa.GatewayDown: "not your fault"} {
		phone.fails = why
		p := add("/portal/number", "+491701234567")
		r.status(p, http.StatusUnprocessableEntity)
		if !strings.Contains(p.text(), says) {
			t.Errorf("%s: %s", why, p.text())
		}
	}
	phone.fails = nil
	p := add("/portal/number", "+49 170 1234567")
	r.status(p, http.StatusOK)
	if !strings.Contains(p.text(), "+49********67 is being called") || strings.Contains(p.body, "1234567") {
		t.Errorf("what is shown:\n%s", p.body)
	}
	prove := func(p page, code string) page {
		t.Helper()
		return r.post("/portal/number/prove", "credential", p.field(t, "credential"), "challenge", p.field(t, "challenge"), "replaces", p.field(t, "replaces"), "code", code)
	}
	wrong := prove(p, "654321")
	r.status(wrong, http.StatusUnprocessableEntity)
	again := r.post("/portal/number/again", "credential", wrong.field(t, "credential"), "replaces", "")
	r.status(again, http.StatusOK)
	if phone.told != 2 {
		t.Errorf("%d calls", phone.told)
	}
	r.leads(prove(again, " 123 456 "), "/portal/?done=done.number.call")
	r.status(add("/portal/number", "+49 170 1234567"), http.StatusUnprocessableEntity) // it is there already
	first := ownNumber.FindStringSubmatch(r.get("/portal/").body)
	if first == nil {
		t.Fatalf("it is not on the page\n%s", r.get("/portal/").body)
	}
	one := "/portal/factor/" + first[1]
	if p := r.get(one); strings.Contains(p.body, "/rename") || !strings.Contains(p.body, "/portal/number/"+first[1]+"/try") {
		t.Errorf("page of the number:\n%s", p.body)
	}

	for came, says := range map[mfa.Reason]string{mfa.ReasonNone: "is being called", mfa.OK: "It works", mfa.CallVoicemail: "Nobody picked up",
		mfa.WrongNumber: "not the one that was shown", mfa.CallNotPressed: "Nothing was pressed", mfa.GatewayDown: "not your fault"} {
		phone.came.Reason = came
		r.status(r.post("/portal/number/"+first[1]+"/try"), http.StatusOK)
		if p := r.get("/portal/number/" + first[1] + "/tried/" + string(phone.wait.ID)); !strings.Contains(p.text(), says) {
			t.Errorf("%s: %s", came, p.text())
		}
		if phone.wait.Method != mfa.MethodCall || len(phone.wait.Number) != 2 {
			t.Errorf("asked %+v", phone.wait)
		}
	}
	phone.fails = mfa.TooManyMessages
	r.status(r.post("/portal/number/"+first[1]+"/try"), http.StatusUnprocessableEntity)
	phone.fails = nil

	r.leads(prove(add(one+"/number", "+49 170 7654321"), "123456"), "/portal/?done=done.number.call")
	r.status(r.get(one), http.StatusNotFound)
	if left := ownNumber.FindAllStringSubmatch(r.get("/portal/").body, -1); len(left) != 1 || left[0][1] == first[1] {
		t.Errorf("after it was replaced: %v", left)
	}

	r.person("eve", password)
	r.cookie = ""
	r.leads(r.post(welcomePath, "login", "eve", "password", password, "code", r.invite("eve")), "/portal/token")
	theirs := ownNumberOf(t, r, "alice")
	for _, p := range []page{r.get("/portal/factor/" + theirs + "/number"), r.post("/portal/number/" + theirs + "/try"), r.post("/portal/number/again", "credential", theirs),
		r.post("/portal/number/prove", "credential", theirs, "challenge", "told", "code", "123456"),
		r.post("/portal/number", "method", "call", "to", "+491701112223", "replaces", theirs)} {
		r.status(p, http.StatusNotFound)
	}
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error { s.SelfService = []string{policy.SelfTOTP}; return nil }); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(r.get("/portal/").body, `href="/portal/number"`) {
		t.Error("offered though the policy does not let users")
	}
	r.status(r.get("/portal/number"), http.StatusForbidden)
	r.status(r.post("/portal/number", "method", "call", "to", "+491701112223"), http.StatusForbidden)
}

func ownNumberOf(t *testing.T, r *rig, login string) string {
	t.Helper()
	all, err := r.Enroll.List(t.Context(), login)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Credentials {
		if c.Method == mfa.MethodCall {
			return string(c.ID)
		}
	}
	t.Fatalf("%s has no number", login)
	return ""
}
