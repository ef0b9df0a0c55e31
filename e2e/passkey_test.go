package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// passkeys gives the tab an authenticator like that of a phone.
func (b *tab) passkeys() webauthn.AuthenticatorID {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
	made, err := chromedp.Call(b.ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: "ctap2", Transport: "internal", HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true}})
	if err != nil {
		b.t.Fatal(err)
	}
	return made.AuthenticatorID
}

// A browser enrols a passkey in the portal, by an invitation and without a token, and signs in
// with it: to the portal after the password and without one, and to the console.
func TestPasskey(t *testing.T) {
	b := newTab(t)
	s := newServer(t)
	const password = "olgas password"
	_, port, _ := strings.Cut(s.https, ":")
	site := "https://localhost:" + port
	s.cli("policy", "set", "passkey_site=localhost", "passkey_alone=portal,console")
	s.cliIn(password, "user", "add", "olga", "--password-stdin")
	s.cli("administrator", "add", "olga", "--role", "owner")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "olga")
	b.passkeys()

	b.open(strings.Replace(invitation.Link, "https://"+s.https, site, 1))
	b.fill("/portal/welcome", "login", "olga", "password", password)
	b.reads("Add an authenticator app")
	b.open(site + "/portal/passkey")
	b.accessible("passkey")
	b.do("make a passkey", chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=label]').value = 'laptop'; document.querySelector('form[data-passkey] button').click()`))
	b.reads("It works. From now on you sign in with it.") // the proof begins by itself
	var list struct {
		Credentials []struct {
			Method, Label string
			Confirmed     *string
			Passkey       struct {
				Count        uint64
				Discoverable bool
				Transports   []string
			}
		}
	}
	s.json(&list, "credential", "list", "olga")
	if c := list.Credentials; len(c) != 1 || c[0].Method != "passkey" || c[0].Label != "laptop" || c[0].Confirmed == nil || !c[0].Passkey.Discoverable || len(c[0].Passkey.Transports) != 1 {
		t.Errorf("credentials %+v", c)
	}

	b.fill("/portal/sign-out")
	b.fill("/portal/sign-in", "login", "olga", "password", password)
	b.reads("Hello, olga")
	b.fill("/portal/sign-out")
	alone := func(after string) {
		t.Helper()
		b.do("sign in by a passkey alone", chromedp.WaitReady(`[name=discover]`), chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=discover]').form.querySelector('button').click()`))
		b.reads(after)
	}
	b.accessible("sign-in with a passkey")
	alone("Hello, olga")
	b.open(site + "/sign-in")
	alone("olga · owner")
	b.open(site + "/account")
	b.reads("laptop")
	b.accessible("account")

	b.open("https://" + s.https + "/portal/sign-in")
	b.reads("Passkeys do not work on a page that is opened by its address, " + s.https + ", only under localhost.")
	var trail struct {
		Attempts []struct{ Verdict, Method, Reason string }
	}
	s.json(&trail, "audit", "list", "--user", "olga")
	accepted := 0
	for _, a := range trail.Attempts {
		if a.Verdict == "accept" && a.Method == "passkey" {
			accepted++
		}
	}
	if accepted != 3 {
		t.Errorf("attempts %+v", trail.Attempts)
	}
	for _, line := range b.console() {
		if strings.Contains(line, "Content Security Policy") {
			t.Errorf("a page of ours breaks its own policy: %s", line)
		}
	}
}
