//go:build screenshots

package e2e_test

import (
	"net/http/httptest"
	"testing"
)

// TestScreenshotsDevice takes those of a device that approves sign-ins: the portal's page that
// adds it, the app itself, a sign-in that waits for it; and of a PIN.
func TestScreenshotsDevice(t *testing.T) {
	dir := album(t)
	b := newTab(t)
	s := newServer(t)
	const password = "adas password"
	s.cliIn(password, "user", "add", "ada", "--name", "Ada Lovelace", "--phone", "+491701234567", "--password-stdin")
	s.cli("policy", "set", "prompt_gap_seconds=0")
	s.cliIn("2741\n", "user", "pin", "set", "ada", "--pin-stdin")
	s.application("vpn", "127.0.0.1/32", "--methods", "push")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "ada")
	base := "https://" + s.https
	b.open(invitation.Link)
	b.fill("/portal/welcome", "login", "ada", "password", password)
	b.pictures(dir, "portal-device", base+"/portal/device")
	b.open(base + "/portal/device")
	b.fill("/portal/device")
	b.reads("Waiting for the device")
	b.pictures(dir, "portal-device-code", "")
	link := b.eval("document.querySelector('a[target]').href")
	app := b.beside()
	app.open(link)
	app.reads("Activate")
	app.pictures(dir, "authenticator-activate", "")
	app.press("[data-do=activate] button")
	app.reads("This device approves the sign-ins of ada")
	app.pictures(dir, "authenticator-none", "")
	b.reads("is activated")
	b.fill(b.eval("document.querySelector('main form').getAttribute('action')"))
	await(t, "a request", func() bool { return app.eval("document.querySelector('article input') !== null") == "true" })
	b.pictures(dir, "portal-device-number", "")
	app.pictures(dir, "authenticator-request", "")
	app.answers(b)
	b.reads("It works")
	b.pictures(dir, "portal-pin", base+"/portal/pin")
	b.pictures(dir, "portal-home-device", base+"/portal/")
	b.open(base + "/portal/")
	b.fill("/portal/sign-out")
	b.open(base + "/portal/sign-in")
	b.fill("/portal/sign-in", "login", "ada", "password", password)
	await(t, "the number to type", func() bool { return b.eval("document.querySelector('.digits') !== null") == "true" })
	b.eval("(window.stop(), document.querySelectorAll('button').forEach(e => { e.disabled = false }))") // it asks again by itself, under the pictures
	b.pictures(dir, "portal-waiting", "")

	phone := &handset{}
	provider := httptest.NewServer(phone)
	t.Cleanup(provider.Close)
	s.cliIn("provider token\n", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", provider.URL+"/send", "--private-addresses", "--password-stdin", "--from", "Corp", "--country", "DE")
	own := newTab(t)
	own.owner(s)
	var ada struct{ ID string }
	s.json(&ada, "user", "show", "ada")
	var made struct{ ID, Challenge string }
	s.json(&made, "credential", "add", "ada", "--method", "sms", "--to", "+491701234567")
	_, code := phone.last()
	s.cliIn(code+"\n", "credential", "confirm", "ada", made.ID, "--challenge", made.Challenge, "--code-stdin")
	own.pictures(dir, "user-device", base+"/users/"+ada.ID)
	own.open(base + "/users/" + ada.ID)
	own.fill("/users/" + ada.ID + "/verify")
	own.pictures(dir, "user-verify", "")
	own.open(base + "/users/" + ada.ID)
	own.fill("/users/" + ada.ID + "/device")
	own.pictures(dir, "user-device-code", "")
	s.user("grace", "graces password", "--name", "Grace Hopper")
	var grace struct{ ID string }
	s.json(&grace, "user", "show", "grace")
	own.open(base + "/users/" + grace.ID)
	own.fill("/users/"+grace.ID+"/number", "method", "sms", "to", "+491701234567")
	own.pictures(dir, "user-number", "")
}
