package console

import (
	"context"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// telephone takes codes: always the same one, unless it fails.
type telephone struct {
	fails error
	told  int
}

func (p *telephone) SendProof(context.Context, mfa.Credential, string, time.Duration) (string, error) {
	if p.fails != nil {
		return "", p.fails
	}
	p.told++
	return "told", nil
}

func (p *telephone) CheckProof(_ context.Context, _ mfa.Credential, _, challenge string, code secret.Text) (settlement.Nonce, error) {
	if challenge != "told" || !code.Equal(secret.FromString("123456")) {
		return settlement.Nonce{}, mfa.WrongCode
	}
	return settlement.Nonce{ID: rand.Uint64() | 1}, nil // each code is another
}

func (p *telephone) Carries(mfa.MethodID) bool { return true }

// A number is added, cannot be called at first, is called, proven and taken away.
func TestNumberOfAUser(t *testing.T) {
	r := signedInAs(t, mfa.RoleOwner)
	phone := &telephone{}
	r.Enroll.Prover = phone
	page, _, _ := strings.Cut(r.post("/users/new/create", "login", "bob").Header.Get("Location"), "?")
	r.status(r.post(page+"/number", "method", "call", "to", "0170"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/number", "method", "totp", "to", "+491701234567"), http.StatusUnprocessableEntity)
	phone.fails = mfa.NoGateway
	p := r.post(page+"/number", "method", "call", "to", "+49 170 1234567")
	r.status(p, http.StatusUnprocessableEntity)
	if !strings.Contains(p.text(), "no_gateway") || strings.Contains(p.body, "/number/prove") {
		t.Errorf("not called: %s", p.text())
	}
	phone.fails = nil
	credential := p.field(t, "credential")
	p = r.post(page+"/number/send", "credential", credential)
	if r.status(p, http.StatusOK); phone.told != 1 || !strings.Contains(p.text(), "+49********67 is being called") {
		t.Errorf("%d calls: %s", phone.told, p.text())
	}
	r.status(r.post(page+"/number/prove", "credential", credential, "challenge", p.field(t, "challenge"), "code", "654321"), http.StatusUnprocessableEntity)
	r.status(r.post(page+"/number/prove", "credential", credential, "challenge", p.field(t, "challenge"), "code", "123 456"), http.StatusSeeOther)
	r.status(r.post(page+"/number", "method", "email", "to", "bob@corp.example", "trusted", "1"), http.StatusSeeOther)
	if got := r.get(page).text(); !strings.Contains(got, "call +49********67 proven") || !strings.Contains(got, "mail b***@corp.example proven") {
		t.Errorf("the page: %s", got)
	}
	r.status(r.post(page+"/switch", "credential", credential, "to", "off"), http.StatusSeeOther)
	r.status(r.post(page+"/drop", "credential", credential), http.StatusSeeOther)
	r.status(r.post(page+"/number/send", "credential", credential), http.StatusNotFound)
}
