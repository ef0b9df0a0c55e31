package e2e_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// beside opens another tab of the same browser: what one keeps, the other has.
func (b *tab) beside() *tab {
	b.t.Helper()
	other := &tab{t: b.t}
	var cancel context.CancelFunc
	other.ctx, cancel = chromedp.NewContext(b.ctx)
	b.t.Cleanup(cancel)
	if err := chromedp.Do(other.ctx); err != nil {
		b.t.Fatal(err)
	}
	return other
}

// press clicks what a selector finds.
func (b *tab) press(selector string) {
	b.t.Helper()
	await(b.t, selector, func() bool { return b.eval("document.querySelector('"+selector+"') !== null") == "true" })
	b.do("press "+selector, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("(e => { e.closest('details')?.setAttribute('open', ''); e.click() })(document.querySelector('%s'))", selector)))
}

// answers approves the request that the app shows, with the number that the other page does.
func (b *tab) answers(from *tab) {
	b.t.Helper()
	var number string
	await(b.t, "a number", func() bool { // read once: a page that looks again by itself is empty between two looks
		number = from.eval("document.querySelector('.digits')?.textContent.trim() ?? ''")
		return len(number) == 2
	})
	await(b.t, "a request", func() bool { return b.eval("document.querySelector('article input') !== null") == "true" })
	b.eval("(a => { a.querySelector('input').value = '" + number + "'; a.querySelector('form button').click() })(document.querySelector('article'))")
	await(b.t, "an end of the request", func() bool { return b.eval("document.querySelector('article input') === null") == "true" })
}

// A user adds a browser as a device, sees it work, and signs in by it.
func TestDeviceInBrowser(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	s := newServer(t)
	const password = "adas password"
	s.cliIn(password, "user", "add", "ada", "--password-stdin")
	s.cli("policy", "set", "prompt_gap_seconds=0")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "ada")
	base := "https://" + s.https
	b.open(invitation.Link)
	b.fill("/portal/welcome", "login", "ada", "password", password)
	b.open(base + "/portal/device")
	b.accessible("device")
	b.fill("/portal/device")
	b.reads("Waiting for the device")
	b.accessible("device with its code")
	link := b.eval("document.querySelector('a[target]').href")
	if !strings.HasPrefix(link, base+"/authenticator/#") {
		t.Fatalf("the link is %q", link)
	}

	app := b.beside()
	app.open(link)
	await(t, "the app with its code", func() bool {
		return app.eval("document.body.dataset.ready + document.querySelector('#code').value.length") == "yes"+fmt.Sprint(len(link)-len(base+"/authenticator/#"))
	})
	app.press("[data-do=activate] button")
	app.reads("This device approves the sign-ins of ada")
	b.reads("is activated")
	b.fill(b.eval("document.querySelector('main form').getAttribute('action')"))
	app.answers(b)
	app.reads("Approved: portal")
	b.reads("It works")

	b.open(base + "/portal/")
	b.reads("Chrome")
	b.fill("/portal/sign-out")
	b.fill("/portal/sign-in", "login", "ada", "password", password)
	app.answers(b)
	app.reads("Approved: portal")
	b.reads("Hello, ada")

	device := b.eval(`document.querySelector('a[href^="/portal/factor/"]').getAttribute('href')`)
	if list := s.cli("credential", "list", "ada"); !strings.Contains(list, "push") || !strings.Contains(list, "Chrome") {
		t.Errorf("credentials %s", list)
	}
	b.open(base + device)
	b.accessible("device, to manage")
	for _, line := range append(b.console(), app.console()...) {
		if strings.Contains(line, "Content Security Policy") {
			t.Errorf("a page of ours breaks its own policy: %s", line)
		}
	}
}
