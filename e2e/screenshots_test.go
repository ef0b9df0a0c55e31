//go:build screenshots

package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// TestScreenshots takes a picture of every page, light and dark, on a desk and on a phone,
// into the folder that SCREENSHOTS names (`make screenshots`).
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		t.Fatal("set SCREENSHOTS to a folder, or run `make screenshots`")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	b := newTab(t)
	all := newGroup(t, 3)
	first := all[0]
	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(first.log.String()) })
	link := setupURL.FindString(first.log.String())
	b.open(link)
	b.pictures(dir, "setup", "")
	b.owner(first)
	base := "https://" + first.https

	var rows strings.Builder
	rows.WriteString("login,name,email,phone,state\n")
	for i, name := range []string{"Ada Lovelace", "Grace Hopper", "Alan Turing", "Edsger Dijkstra", "Barbara Liskov", "Donald Knuth", "Radia Perlman", "Tony Hoare"} {
		login := strings.ToLower(strings.Fields(name)[0])
		state := "protected"
		if i == 6 {
			state = "exempt"
		}
		fmt.Fprintf(&rows, "%s,%s,%s@corp.example,+4917012345%02d,%s\n", login, name, login, i, state)
	}
	file := first.dir + "/users.csv"
	first.write(file, rows.String())
	first.cli("user", "import", file, "--format", "csv")
	first.cli("user", "block", "tony", "--reason", "phone was lost")
	device := first.totp("ada")
	first.application("vpn", "127.0.0.1/32", "--first-factor", "none")
	for _, code := range []string{device.now(), "000000", "111111"} {
		radclient(t, first.radius, "auth", `User-Name = "ada"`, fmt.Sprintf(`User-Password = "%s"`, code), "Message-Authenticator = 0x00")
	}
	var ada struct{ ID string }
	first.json(&ada, "user", "show", "ada")
	first.cliIn("a password to bind with", "directory", "add", "corp", "--kind", "ldap", "--url", "ldaps://dc1.corp.example", "--bind-dn", "cn=reader,dc=corp,dc=example", "--bind-password-stdin",
		"--base-dn", "dc=corp,dc=example", "--user-filter", "(sAMAccountName={user})")
	first.cli("administrator", "add", "grace", "--role", "help-desk", "--tag", "east", "--permission", "user.block", "--permission", "token.manage")
	first.cli("api-token", "create", "monitoring", "--scope", "status:read")
	var grace struct{ ID string }
	first.json(&grace, "user", "show", "grace")
	for name, path := range map[string]string{"status": "/", "users": "/users", "user": "/users/" + ada.ID, "user-new": "/users/new", "applications": "/applications",
		"application": "/applications/vpn", "protect": "/protect", "protect-form": "/protect/openvpn", "attempts": "/attempts", "report": "/reports/sign-ins", "report-enrolment": "/reports/enrolment", "audit": "/audit",
		"confirm": "/confirm?back=/users", "policy": "/policy", "directories": "/directories", "directory": "/directories/corp", "administrators": "/administrators",
		"administrator": "/administrators/" + grace.ID, "tokens": "/tokens", "backup": "/backup", "keys": "/keys", "parked": "/parked", "promotion": "/promotion", "users-import": "/users/import"} {
		if only := os.Getenv("SCREENSHOTS_ONLY"); only != "" && !strings.Contains(","+only+",", ","+name+",") {
			continue
		}
		b.pictures(dir, name, base+path)
	}
	b.open(base)
	b.fill("/sign-out")
	b.pictures(dir, "sign-in", base+"/sign-in")
}

// pictures takes those of one page; "" is the one that is open.
func (b *tab) pictures(dir, name, url string) {
	b.t.Helper()
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}}); err != nil {
				b.t.Fatal(err)
			}
			b.do("resize", chromedp.EmulateViewport(width, 900))
			if url != "" {
				b.open(url)
			}
			shot, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				b.t.Fatal(err)
			}
			if wide := b.eval("document.documentElement.scrollWidth > document.documentElement.clientWidth"); wide != "false" {
				b.t.Errorf("%s is wider than %d", name, width)
			}
			b.accessible(name)
			file := filepath.Join(dir, fmt.Sprintf("%s-%s-%s.png", name, map[int64]string{1280: "desktop", 390: "phone"}[width], scheme))
			if err := os.WriteFile(file, shot, 0o644); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}
