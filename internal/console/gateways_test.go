package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

func TestGatewayFromFirstToLast(t *testing.T) {
	for way, all := range map[string][]string{
		"mail": {"address", "mail.corp.example", "from", "mfa@corp.example", "tls", "starttls", "login", "mfa"},
		"http": {"profile", "twilio", "address", "", "from", "Corp", "login", "AC1", "countries", "de, AT", "cap_day", "500", "cap_month", "0"},
		"smpp": {"address", "smpp.provider.example", "from", "Corp", "login", "corp", "tls", "tls", "countries", "DE", "cap_day", "0", "cap_month", "0", "version", "5.0", "window", "5",
			"enquire_seconds", "60", "alphabet", "gsm", "parts", "sar", "receipts", "1", "system_type", "vma"},
		"sip": {"address", "sip.provider.example", "from", "+4930123456", "login", "corp", "countries", "DE", "cap_day", "0", "cap_month", "0"},
	} {
		r := signedInAs(t, mfa.RoleOwner)
		all = append(all, "name", "relay", "password", "a secret to send with", "order", "7", "timeout_seconds", "0")
		r.status(r.get("/new-gateway/"+way), http.StatusOK)
		bad := r.post("/new-gateway/"+way+"/create", append(slices.Clone(all), "order", "soon")...)
		if r.status(bad, http.StatusUnprocessableEntity); bad.field(t, "from") != all[slices.Index(all, "from")+1] || strings.Contains(bad.body, "a secret to send with") {
			t.Errorf("%s: what was typed is lost, or the password is shown: %s", way, bad.text())
		}
		r.status(r.post("/new-gateway/"+way+"/create", all...), http.StatusSeeOther)
		r.status(r.post("/new-gateway/"+way+"/create", all...), http.StatusConflict)
		p := r.get("/gateways/relay")
		if r.status(p, http.StatusOK); strings.Contains(p.body, "a secret to send with") || !strings.Contains(p.text(), "not used yet") {
			t.Errorf("%s: %s", way, p.text())
		}
		r.status(r.post("/gateways/relay/edit", p.forms()[0].values("order", "9")...), http.StatusSeeOther)
		g, err := r.db.Gateway("relay")
		if err != nil || string(g.Password.Expose()) != "a secret to send with" || g.Order != 9 {
			t.Errorf("%s: an empty password changed it: %+v, %v", way, g, err)
		}
		if way == "smpp" && (g.SMPP.Version != mfa.SMPP50 || g.SMPP.Parts != mfa.PartsBySAR || g.SMPP.NoReceipts || g.SMPP.Window != 5 || g.SMPP.SystemType != "vma") {
			t.Errorf("kept %+v", g.SMPP)
		}
		if way == "http" && (g.HTTP.Headers["Authorization"] == "" || g.CapDay != 500 || strings.Join(g.Countries, " ") != "DE AT") {
			t.Errorf("kept %+v", g)
		}
		if p = r.get("/gateways"); !strings.Contains(p.text(), "relay") || !strings.Contains(p.text(), "0 taken, 0 not") {
			t.Errorf("%s: the list says %s", way, p.text())
		}
		to := map[string]string{"mail": "you@corp.example"}[way]
		if to == "" {
			to = "+49 170 1234567"
		}
		if p = r.post("/gateways/relay/test", "to", to); !strings.Contains(p.text(), "good") {
			t.Errorf("%s: the test says %s", way, p.text())
		}
		r.status(r.post("/gateways/relay/test", "to", "nobody"), http.StatusUnprocessableEntity)
		r.status(r.post("/gateways/relay/remove", "name", "other"), http.StatusUnprocessableEntity)
		r.status(r.post("/gateways/relay/remove", "name", "relay"), http.StatusSeeOther)
		r.status(r.get("/gateways/relay"), http.StatusNotFound)
		for _, a := range r.trail.Recorded() {
			if strings.Contains(a.Detail, "a secret") {
				t.Errorf("a password is in the trail: %+v", a)
			}
		}
	}
	r := signedInAs(t, mfa.RoleOwner)
	r.status(r.get("/new-gateway/pigeon"), http.StatusNotFound)
}

func TestMessageTexts(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	if p := r.get("/texts"); !strings.Contains(p.text(), "246813 ist Ihr Code für VPN") || !strings.Contains(p.text(), "1 text message") || strings.Contains(p.text(), "notice.fr") {
		t.Error(p.text())
	}
	if p := r.get("/texts?language=fr"); !strings.Contains(p.text(), "notice.fr") || !strings.Contains(p.text(), "the English one is sent") {
		t.Error(p.text())
	}
	for path, status := range map[string]int{"/texts/sms.fr": 200, "/texts/sms.french": 404, "/texts/sms": 404, "/texts/fax.en": 404, "/texts/..%2fsms.en": 404} {
		r.status(r.get(path), status)
	}
	edit := func(name, text string) page {
		return r.post("/texts/"+name+"/edit", r.get("/texts/" + name).forms()[0].values("text", text)...)
	}
	if p := edit("sms.fr", "Votre code"); p.StatusCode != http.StatusUnprocessableEntity || !strings.Contains(p.text(), "{code} is missing") || p.forms()[0].fields.Get("text") != "Votre code" {
		t.Errorf("without its code: %s", p.text())
	}
	p := r.post("/texts/sms.fr/preview", "text", "{code}: "+strings.Repeat("x", 200))
	if r.status(p, http.StatusOK); !strings.Contains(p.text(), "246813: xxx") || !strings.Contains(p.text(), "2 text messages") {
		t.Errorf("preview: %s", p.text())
	}
	r.status(r.post("/texts/sms.fr/preview", "text", "{cod}"), http.StatusUnprocessableEntity)
	if texts := r.db.Settings().Texts; len(texts) != 0 {
		t.Fatalf("a preview has saved %v", texts)
	}
	r.status(edit("sms.fr", "{code} est votre code pour {application}.\r\nMerci."), http.StatusSeeOther)
	if got := r.db.Settings().Texts["sms.fr"]; got != "{code} est votre code pour {application}.\nMerci." {
		t.Errorf("saved %q", got)
	}
	if p := r.get("/texts"); !strings.Contains(p.text(), "246813 est votre code pour VPN.") {
		t.Error(p.text())
	}
	r.status(edit("sms.fr", ""), http.StatusSeeOther)
	if texts := r.db.Settings().Texts; len(texts) != 0 {
		t.Errorf("left %v", texts)
	}
}
