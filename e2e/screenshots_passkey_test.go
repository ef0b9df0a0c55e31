//go:build screenshots

package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
)

// TestScreenshotsPasskey takes those of the pages about passkeys.
func TestScreenshotsPasskey(t *testing.T) {
	dir := album(t)
	b := newTab(t)
	s := newServer(t)
	const password = "adas password"
	_, port, _ := strings.Cut(s.https, ":")
	site := "https://localhost:" + port
	s.cli("policy", "set", "passkey_site=localhost", "passkey_alone=portal,console")
	s.cliIn(password, "user", "add", "ada", "--name", "Ada Lovelace", "--password-stdin")
	s.cli("administrator", "add", "ada", "--role", "owner")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "ada")
	device := b.passkeys()
	b.open(strings.Replace(invitation.Link, "https://"+s.https, site, 1))
	b.fill("/portal/welcome", "login", "ada", "password", password)
	b.pictures(dir, "passkey-token", site+"/portal/token")
	b.pictures(dir, "passkey-make", site+"/portal/passkey")
	b.open(site + "/portal/passkey")
	b.do("make a passkey", chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=label]').value = 'Laptop'; document.querySelector('form[data-passkey] button').click()`))
	b.reads("It works.")
	b.pictures(dir, "passkey-home", site+"/portal/")
	b.open(site + "/portal/token")
	b.fill("/portal/token", "label", "My phone")
	b.fill("/portal/token/prove", "code", b.device().now())
	b.fill("/portal/sign-out")
	b.pictures(dir, "passkey-sign-in", site+"/portal/sign-in")
	touched := func(is bool) {
		if _, err := chromedp.Call(b.ctx, webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: device, Enabled: is}); err != nil {
			t.Fatal(err)
		}
	}
	touched(false)
	b.open(site + "/portal/sign-in")
	b.fill("/portal/sign-in", "login", "ada", "password", password)
	b.pictures(dir, "passkey-challenge", "")
	b.eval("document.querySelector('main details').open = true")
	b.pictures(dir, "passkey-other", "")
	touched(true)
	b.open(site + "/portal/sign-in")
	b.do("ask for a passkey alone", chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=discover]').form.querySelector('button').click()`))
	b.reads("Hello, Ada")
	b.open(site + "/sign-in")
	b.do("sign in to the console", chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=discover]').form.querySelector('button').click()`))
	b.reads("ada · owner")
	b.pictures(dir, "passkey-account", site+"/account")
	b.pictures(dir, "passkey-console-make", site+"/account/passkey")
	b.pictures(dir, "passkey-wrong-name", "https://"+s.https+"/sign-in")
}
