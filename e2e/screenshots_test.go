//go:build screenshots

package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestScreenshots takes a picture of every page, light and dark, on a desk and on a phone,
// into the folder that SCREENSHOTS names (`make screenshots`).
func TestScreenshots(t *testing.T) {
	dir := album(t)
	b := newTab(t)
	all := newGroup(t, 3)
	first := all[0]
	await(t, "the link for the first administrator", func() bool { return setupURL.MatchString(first.log.String()) })
	link := setupURL.FindString(first.log.String())
	b.open(link)
	b.pictures(dir, "setup", "")
	b.setUp(link)
	b.pictures(dir, "setup-code", "")
	alice := b.device()
	b.fill("/setup/code", "code", alice.now())
	b.reads("alice · owner")
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
		"--base-dn", "dc=corp,dc=example", "--user-filter", "(sAMAccountName={user})", "--group-attribute", "memberOf")
	first.cliIn("a token to send with", "gateway", "add", "provider", "--kind", "sms", "--profile", "json", "--address", "https://sms.example/send", "--password-stdin", "--from", "Corp", "--country", "DE")
	first.cliIn("a password to bind with", "gateway", "add", "trunk", "--kind", "sms", "--protocol", "smpp", "--address", "smpp.provider.example", "--login", "corp", "--password-stdin", "--from", "Corp", "--country", "DE", "--country", "AT", "--order", "20")
	first.cli("gateway", "add", "relay", "--kind", "mail", "--address", "127.0.0.1:9", "--tls", "none", "--from", "mfa@corp.example")
	first.cli("administrator", "add", "grace", "--role", "help-desk", "--tag", "east", "--permission", "user.block", "--permission", "token.manage")
	first.cli("api-token", "create", "monitoring", "--scope", "status:read")
	first.cli("policy", "add", "guests", "--tag", "guest", "--hours", "mon-fri 07:00-19:00", "--zone", "Europe/Berlin", "--methods", "push,totp", "--own-order", "yes")
	first.cli("policy", "add", "abroad", "--outside-country", "DE,AT,CH", "--access", "deny")
	first.cliIn("what callbacks are signed with", "application", "add", "intranet", "--kind", "api", "--callback-url", "https://intranet.corp.example/signed-in", "--secret-stdin")
	var grace, tony struct{ ID string }
	first.json(&grace, "user", "show", "grace")
	first.json(&tony, "user", "show", "tony")
	attempt := first.attempts("--limit", "1")[0].AttemptID
	b.pictures(dir, "attempt", base+"/attempts/"+attempt.String())
	for name, path := range map[string]string{"status": "/", "users": "/users", "user": "/users/" + ada.ID, "user-new": "/users/new", "applications": "/applications",
		"application": "/applications/vpn", "protect": "/protect", "protect-form": "/protect/openvpn", "attempts": "/attempts", "report": "/reports/sign-ins", "report-enrolment": "/reports/enrolment", "audit": "/audit",
		"confirm": "/confirm?back=/users", "policy": "/policy", "gateways": "/gateways", "gateway": "/gateways/trunk", "gateway-new": "/new-gateway/http", "texts": "/texts", "rules": "/rules", "rule": "/rules/guests", "application-callback": "/applications/intranet", "text": "/texts/mail.de", "directories": "/directories", "directory": "/directories/corp", "administrators": "/administrators",
		"administrator": "/administrators/" + grace.ID, "tokens": "/tokens", "backup": "/backup", "keys": "/keys", "parked": "/parked", "promotion": "/promotion", "users-import": "/users/import",
		"report-no-second-factor": "/reports/no-second-factor", "report-blocked": "/reports/blocked", "report-blastradius": "/reports/blastradius",
		"attempts-filtered": "/attempts?application=vpn&verdict=reject&reason=wrong_code", "attempts-none": "/attempts?user=nobody", "new-directory": "/new-directory", "administrator-new": "/administrators/new", "passes": "/passes", "new-rule": "/new-rule", "groups": "/groups", "account": "/account",
		"group": "/groups/" + first.status().Group, "error": "/nowhere", "user-blocked": "/users/" + tony.ID, "nobody": "/users?search=nobody-has-this-name"} {
		b.pictures(dir, name, base+path)
	}
	first.cliIn("a password to bind with", "directory", "set", "corp", "--url", "ldaps://127.0.0.1:9", "--bind-password-stdin") // no name server's address in a picture
	b.answerPages(dir, base, ada.ID)
	all[1].kill9()
	all[2].kill9()
	await(t, "that there is no master", func() bool {
		b.open(base + "/promotion/disaster")
		return strings.Contains(b.text(), "Changes are refused for now.")
	})
	b.pictures(dir, "promotion-disaster", "")
	b.pictures(dir, "status-no-master", base+"/")
	b.open(base)
	b.fill("/sign-out")
	b.pictures(dir, "sign-in", base+"/sign-in")
	complete(t) // this test is the last of them
}

// answerPages takes those of pages that are the answer to a form, for the user of that id.
func (b *tab) answerPages(dir, base, id string) {
	b.t.Helper()
	user := base + "/users/" + id
	b.open(base + "/protect/openvpn")
	b.fill("/protect/openvpn/create", "name", "office-vpn", "addresses", "192.0.2.10")
	b.pictures(dir, "application-made", "")
	for name, act := range map[string]string{"user-token": "token", "user-recovery": "recovery", "user-invite": "invite"} {
		b.open(user)
		b.fill("/users/" + id + "/" + act)
		b.pictures(dir, name, "")
	}
	b.open(user)
	b.fill("/users/"+id+"/test", "application", "vpn", "password", "000000")
	b.pictures(dir, "user-test", "")
	b.open(base + "/users")
	b.eval("document.querySelectorAll('input[name=id]').forEach((e, i) => { e.checked = i < 3 })")
	b.fill("/users/bulk/look", "whom", "marked", "act", "tag", "word", "west")
	b.pictures(dir, "users-bulk", "")
	b.fill("/users/bulk/do")
	b.pictures(dir, "users-bulk-done", "")
	b.open(base + "/tokens")
	b.eval("document.querySelector('[name=scope][value=\"status:read\"]').checked = true")
	b.fill("/tokens/create", "name", "till")
	b.pictures(dir, "token-made", "")
	b.open(base + "/administrators/new")
	b.fill("/administrators/new/create", "login", "barbara", "groups", "corp/CN=Staff,DC=corp,DC=example")
	b.pictures(dir, "administrator-groups", "")
	b.open(base + "/directories/corp")
	b.fill("/directories/corp/test")
	b.pictures(dir, "directory-tested", "")
}
