//go:build screenshots

package e2e_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestScreenshotsPortal takes those of the user portal.
func TestScreenshotsPortal(t *testing.T) {
	dir := album(t)
	b := newTab(t)
	s := newServer(t)
	const password = "adas password"
	s.cliIn(password, "user", "add", "ada", "--name", "Ada Lovelace", "--email", "ada@corp.example", "--phone", "+491701234501", "--password-stdin")
	phone := &handset{}
	provider := httptest.NewServer(phone)
	t.Cleanup(provider.Close)
	s.cliIn("provider token\n", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", provider.URL+"/send", "--private-addresses", "--password-stdin", "--from", "Corp", "--country", "DE")
	s.application("vpn", "127.0.0.1/32", "--passcode", "append")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "ada")
	base := "https://" + s.https + "/portal"
	b.pictures(dir, "portal-welcome", invitation.Link)
	b.open(invitation.Link)
	b.fill("/portal/welcome", "login", "ada", "password", password)
	b.pictures(dir, "portal-begin", base+"/")
	b.open(base + "/token")
	b.fill("/portal/token", "label", "My phone")
	device := b.device()
	b.pictures(dir, "portal-token", "")
	b.fill("/portal/token/prove", "code", device.now())
	used := device.step()
	b.open(base + "/recovery")
	b.fill("/portal/recovery")
	b.pictures(dir, "portal-recovery", "")
	radclient(t, s.radius, "auth", `User-Name = "ada"`, fmt.Sprintf(`User-Password = "%s%s"`, password, device.after(used)), `Calling-Station-Id = "203.0.113.7"`, "Message-Authenticator = 0x00")
	radclient(t, s.radius, "auth", `User-Name = "ada"`, `User-Password = "guess123456"`, `Calling-Station-Id = "198.51.100.9"`, "Message-Authenticator = 0x00")
	b.pictures(dir, "portal-home", base+"/")
	b.open(base + "/")
	factor, attempt := b.eval(`document.querySelector('a[href^="/portal/factor/"]').getAttribute('href')`), b.eval(`document.querySelector('tbody a').getAttribute('href')`)
	for name, path := range map[string]string{"factor": strings.TrimPrefix(factor, "/portal"), "password": "/password", "phone": "/phone", "sign-ins": "/sign-ins", "not-me": strings.TrimPrefix(attempt, "/portal"), "error": "/nowhere"} {
		b.pictures(dir, "portal-"+name, base+path)
	}
	b.pictures(dir, "portal-number", base+"/number")
	b.open(base + "/number")
	b.fill("/portal/number", "to", "+49 170 1234567")
	b.reads("67")
	b.pictures(dir, "portal-number-code", "")
	_, sent := phone.last()
	b.fill(b.eval(`document.querySelector('main form:has([name=code])').getAttribute('action')`), "code", sent)
	b.reads("It works")
	number := b.eval(`[...document.querySelectorAll('a[href^="/portal/factor/"]')].map(a => a.getAttribute('href')).find(p => p !== ` + fmt.Sprintf("%q", factor) + `)`)
	b.pictures(dir, "portal-factor-number", "https://"+s.https+number)
	b.pictures(dir, "portal-number-change", "https://"+s.https+number+"/number")
	s.cli("gateway", "add", "trunk", "--kind", "call", "--address", "127.0.0.1:9", "--from", "+4930123456", "--country", "DE", "--transport", "udp")
	var telephone struct{ ID string }
	s.json(&telephone, "credential", "add", "ada", "--method", "call", "--to", "+49 170 1234567", "--trusted")
	b.open(base + "/factor/" + telephone.ID)
	b.fill("/portal/number/" + telephone.ID + "/try")
	b.pictures(dir, "portal-number-tried", "")
	b.open("https://" + s.https + attempt)
	b.fill(b.eval("document.querySelector('main form').getAttribute('action')"))
	b.pictures(dir, "portal-disowned", "")
	b.pictures(dir, "portal-sign-in", base+"/sign-in")
}
