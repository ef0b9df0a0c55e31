package enroll_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"countersign/internal/enroll"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

// telephones take codes: what was sent to whom, until they fail.
type telephones struct {
	to    []string
	fails error
	nonce uint64 // of the last code
}

func (p *telephones) SendProof(_ context.Context, c mfa.Credential, application string, _ time.Duration) (string, error) {
	if p.fails != nil {
		return "", p.fails
	}
	p.to = append(p.to, string(c.Method)+" "+string(c.Secret.Expose()))
	p.nonce++
	return fmt.Sprintf("%d for %q of %s", p.nonce, application, c.ID), nil
}

func (p *telephones) CheckProof(_ context.Context, c mfa.Credential, application, challenge string, code secret.Text) (settlement.Nonce, error) {
	var nonce uint64
	if _, err := fmt.Sscanf(challenge, "%d", &nonce); err != nil || challenge != fmt.Sprintf("%d for %q of %s", nonce, application, c.ID) || !code.Equal(secret.FromString("123456")) {
		return settlement.Nonce{}, mfa.WrongCode
	}
	return settlement.Nonce{ID: nonce, Until: noon.Add(enroll.ProofLife)}, nil
}

func (p *telephones) Carries(m mfa.MethodID) bool { return m == mfa.MethodCall }

// A number serves when the code that was told there has come back, and then takes the place of
// the one before; no sooner, and of no other method's.
func TestOwnNumber(t *testing.T) {
	r := newRig(t)
	phones := &telephones{}
	r.Prover = phones
	own, good := r.own(), secret.FromString("123456")
	if got := own.Numbers(); len(got) != 1 || got[0] != mfa.MethodCall {
		t.Errorf("numbers for %v; a gateway is there for calls alone", got)
	}
	begin := func(q enroll.NumberRequest) enroll.Created {
		t.Helper()
		made, err := own.BeginNumber(t.Context(), q)
		if err != nil || made.Hold != mfa.CredentialUnproven.String() || made.Challenge == "" {
			t.Fatalf("begun %+v, %v", made, err)
		}
		return made
	}
	begin(enroll.NumberRequest{Method: mfa.MethodCall, To: "+49 170 7654321"}) // mistyped
	first := begin(enroll.NumberRequest{Method: mfa.MethodCall, To: "+49 30 1234567x,417"})
	if all, _ := own.List(t.Context()); len(all.Credentials) != 1 {
		t.Errorf("%+v; one that was begun anew goes", all)
	}
	if last := phones.to[len(phones.to)-1]; last != "call +49301234567x,417" {
		t.Errorf("sent to %s", last)
	}
	if _, err := own.ProveNumber(t.Context(), string(first.ID), first.Challenge, secret.FromString("000000"), ""); !errors.Is(err, mfa.WrongCode) {
		t.Errorf("a wrong code: %v", err)
	}
	if _, err := own.ProveNumber(t.Context(), string(first.ID), "", good, ""); !errors.Is(err, mfa.ChallengeInvalid) {
		t.Errorf("a code that was never sent: %v", err)
	}
	c, err := own.ProveNumber(t.Context(), string(first.ID), first.Challenge, good, "")
	if err != nil || c.Hold != "" || c.Confirmed == nil {
		t.Fatalf("proven %+v, %v", c, err)
	}
	if _, err := own.BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodSMS, To: "+491701", Replaces: string(first.ID)}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a text message in place of a call: %v", err)
	}
	if _, err := own.BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodCall, To: "+49 30 1234567x,417"}); !errors.Is(err, mfa.ErrExists) {
		t.Errorf("the same number twice: %v", err)
	}
	if err := own.Rename(t.Context(), string(first.ID), "mine"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("another name: %v", err)
	}
	second := begin(enroll.NumberRequest{Method: mfa.MethodCall, To: "+49 170 1234567", Replaces: string(first.ID)})
	if all, _ := own.List(t.Context()); len(all.Credentials) != 2 {
		t.Errorf("%+v; the old one serves until the new one is proven", all)
	}
	again, err := own.SendNumber(t.Context(), string(second.ID))
	if err != nil || again.Challenge == "" {
		t.Errorf("sent again: %+v, %v", again, err)
	}
	if _, err := own.ProveNumber(t.Context(), string(second.ID), again.Challenge, good, string(first.ID)); err != nil {
		t.Fatal(err)
	}
	all, err := own.List(t.Context())
	if err != nil || len(all.Credentials) != 1 || all.Credentials[0].ID != second.ID {
		t.Errorf("after it was replaced: %+v, %v", all, err)
	}
	if err := own.Remove(t.Context(), string(second.ID)); !errors.Is(err, enroll.ErrLast) {
		t.Errorf("the last one: %v", err)
	}
	var acts []string
	for _, a := range r.trail.Recorded() {
		if strings.HasPrefix(a.By, "alice") {
			acts = append(acts, a.Verb+" "+a.Detail)
		}
		if strings.Contains(a.Detail, "1234567") {
			t.Errorf("a number in the trail: %+v", a)
		}
	}
	if s := strings.Join(acts, "\n"); strings.Count(s, "credential confirm") != 4 || strings.Count(s, "credential send") != 4 {
		t.Errorf("acts:\n%s", s)
	}
}

// What cannot be called says why and is not forgotten half; what the policy keeps for itself is refused.
func TestOwnNumberRefused(t *testing.T) {
	r := newRig(t)
	phones := &telephones{fails: mfa.CountryNotAllowed}
	r.Prover = phones
	made, err := r.own().BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodCall, To: "+1 212 555 0100"})
	if !errors.Is(err, mfa.CountryNotAllowed) || made.ID == "" {
		t.Errorf("a country that is not allowed: %+v, %v", made, err)
	}
	for to, want := range map[string]error{"": mfa.ErrInvalid, "110": mfa.ErrInvalid, "+49 170 1234567x1a": mfa.ErrInvalid} {
		if _, err := r.own().BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodCall, To: to}); !errors.Is(err, want) {
			t.Errorf("%q: %v", to, err)
		}
	}
	if _, err := r.own().BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodPush}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("no number: %v", err)
	}
	phones.fails = nil
	if made, err = r.own().BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodCall, To: "+491701234567"}); err != nil {
		t.Fatal(err)
	}
	if err := r.db.UpdateSettings(t.Context(), func(s *policy.Settings) error {
		s.SelfService = []string{policy.SelfTOTP, policy.SelfSMS}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"begin": failed(r.own().BeginNumber(t.Context(), enroll.NumberRequest{Method: mfa.MethodCall, To: "+491701234567"})),
		"send":  failed(r.own().SendNumber(t.Context(), string(made.ID))),
		"prove": failed(r.own().ProveNumber(t.Context(), string(made.ID), made.Challenge, secret.FromString("123456"), "")),
	} {
		if !errors.Is(err, mfa.ErrForbidden) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := r.own().Numbers(); len(got) != 0 {
		t.Errorf("numbers for %v", got)
	}
}

func failed[T any](_ T, err error) error { return err }
