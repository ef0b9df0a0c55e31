package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// An operator of an independent coordinator names the site, adds a passkey, and signs in to the
// management portal with it.
func TestPasskeyAtCoordinator(t *testing.T) {
	t.Parallel()
	b := newTab(t)
	c := newCoordinator(t)
	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(c.log.String()) })
	link := setupURL.FindString(c.log.String())
	here, _, _ := strings.Cut(link, "/setup")
	_, port, _ := strings.Cut(strings.TrimPrefix(here, "https://"), ":")
	site := "https://localhost:" + port
	b.passkeys()
	b.setUp(strings.Replace(link, here, site, 1))
	b.fill("/setup/code", "code", b.device().now())
	b.reads("alice · owner")

	b.open(site + "/account")
	b.reads("There are no passkeys here")
	b.open(site + "/policy")
	b.accessible("passkeys of the coordinator")
	b.fill("/policy/passkeys", "passkey_site", "localhost", "passkey_alone", "console")
	b.reads("Saved")
	b.open(site + "/account/passkey")
	b.do("make a passkey", chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=label]').value = 'laptop'; document.querySelector('form[data-passkey] button').click()`))
	b.reads("laptop") // the proof begins by itself
	b.reads("proven")

	b.fill("/sign-out")
	b.open(site + "/sign-in")
	b.fill("/sign-in", "login", "alice", "password", ownerPassword)
	b.reads("alice · owner")
	b.fill("/sign-out")
	b.open(site + "/sign-in")
	b.do("sign in by a passkey alone", chromedp.WaitReady(`[name=discover]`), chromedp.Evaluate[chromedp.Void](`document.querySelector('[name=discover]').form.querySelector('button').click()`))
	b.reads("alice · owner")
	b.open(here + "/sign-in")
	b.reads("Passkeys do not work on a page that is opened by its address")
}
