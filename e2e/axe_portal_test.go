package e2e_test

import (
	"strings"
	"testing"

	"countersign/internal/portal"
)

// The same of every page of the user portal, and of the app that it leads to.
func TestPortalAccessible(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	s := newServer(t)
	const password = "adas password"
	s.cliIn(password, "user", "add", "ada", "--name", "Ada Lovelace", "--email", "ada@corp.example", "--password-stdin")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "ada")
	base := "https://" + s.https
	b.open(invitation.Link)
	b.choose("de") // longer words
	b.open(invitation.Link)
	b.fit("/portal/welcome")
	b.fill("/portal/welcome", "login", "ada", "password", password)
	b.open(base + "/portal/recovery")
	b.fit("/portal/recovery, where a factor has to be proven first")
	b.open(base + "/portal/token")
	b.fill("/portal/token", "label", "Telefon")
	b.fit("/portal/token, the key")
	b.fill("/portal/token/prove", "code", b.device().now())
	s.cliIn("a token", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", "https://sms.example/send", "--password-stdin", "--from", "Corp", "--country", "DE")
	s.cli("policy", "set", "passkey_site=localhost")
	s.cli("gateway", "add", "trunk", "--kind", "call", "--address", "127.0.0.1:9", "--from", "+4930123456", "--country", "DE", "--transport", "udp")
	var telephone struct{ ID string }
	s.json(&telephone, "credential", "add", "ada", "--method", "call", "--to", "+49 170 1234567", "--trusted")
	pages := visitsOf(portal.Pages())
	look := func(path string) {
		b.fit(path)
		pages.see(path)
		if lang := b.eval("document.documentElement.lang"); lang != "de" {
			t.Errorf("%s is in %q", path, lang)
		}
	}
	b.crawl(base, "/portal/", look)
	b.visit(base, look, "/portal/passkey", "/portal/pin")
	b.open(base + "/portal/device")
	b.fill("/portal/device")
	b.fit("/portal/device, its code")
	waits, app := b.eval("document.querySelector('[data-poll]').dataset.poll"), b.beside()
	app.open(b.eval("document.querySelector('a[target]').href"))
	await(t, "the code in the app", func() bool { return app.eval("document.querySelector('#code').value !== ''") == "true" })
	app.press("[data-do=activate] button")
	await(t, "the device", func() bool { return app.eval("document.querySelector('#add').open") == "false" })
	b.visit(base, look, waits, "/portal/factor/"+telephone.ID+"/number")
	for _, one := range []struct{ page, form string }{{waits, strings.TrimSuffix(waits, "/") + "/try"}, {"/portal/factor/" + telephone.ID, "/portal/number/" + telephone.ID + "/try"}} {
		await(t, "the form "+one.form, func() bool {
			b.open(base + one.page)
			return b.eval("document.querySelector('form[action=\""+one.form+"\"]') !== null") == "true"
		})
		b.fill(one.form)
		b.visit(base, look, b.eval("document.querySelector('[data-poll]').dataset.poll"))
	}
	pages.done(t)
	b.open(base + "/portal/recovery")
	b.fill("/portal/recovery")
	b.fit("/portal/recovery, the codes")
	b.open(base + "/portal/nowhere")
	b.fit("/portal/nowhere")
	b.open(base + "/portal/") // the page before knows nobody, and has no way out
	b.fill("/portal/sign-out")
	b.fit("/portal/sign-in")
}
