package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfatest"
	"countersign/internal/radius"
)

// A person signs in with OpenSSH: PAM asks for the password, shows our prompt, sends the
// code back with the State.
func TestOpenSSH(t *testing.T) {
	expect := mfatest.Need(t, "expect", "ssh")[0]
	s := newServer(t)
	s.application("ssh", "127.0.0.1", "--passcode", "prompt")
	d := mfatest.OpenSSH(t, s.radius, secretWord)
	s.user(d.User, "wonder")
	k := s.totp(d.User)
	ssh := func(password, code string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		c := exec.CommandContext(ctx, expect, "-c", fmt.Sprintf(`
set timeout 30
spawn ssh -F /dev/null -p %s -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o NumberOfPasswordPrompts=1 -o PreferredAuthentications=keyboard-interactive %s@127.0.0.1 echo signed in as \$USER
expect -exact "Password:" { send "%s\r" }
expect {
	-exact "Enter the code from your authenticator" { send "%s\r" }
	eof { exit }
}
expect eof
`, d.Port, d.User, password, code))
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("expect: %v\n%s", err, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		name, password, code string
		in                   bool
		prompt               bool
		reason               string
	}{
		{"wrong code", "wonder", k.wrong(1)[0], false, true, "wrong_code"},
		{"right code", "wonder", k.now(), true, true, "ok"},
		{"wrong password", "thunder", "", false, false, "wrong_password"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := len(s.attempts())
			out := ssh(c.password, c.code)
			if in := strings.Contains(out, "signed in as "+d.User); in != c.in {
				t.Errorf("signed in: %v\n%s", in, out)
			}
			if p := strings.Contains(out, "Enter the code"); p != c.prompt {
				t.Errorf("our prompt was shown: %v\n%s", p, out)
			}
			all := s.attempts()
			if len(all) == before {
				t.Fatalf("no new record; want %s", c.reason)
			}
			if all[0].Reason != c.reason || all[0].Login != d.User {
				t.Errorf("%d new records; the newest is %+v; want %s", len(all)-before, all[0], c.reason)
			}
		})
	}
}

// FreeRADIUS stands between the client and us: password and code in one field, and the
// State of a challenge, pass through it.
func TestFreeRADIUSProxy(t *testing.T) {
	mfatest.Need(t, "freeradius")
	s := newServer(t)
	s.application("proxy", "127.0.0.1", "--passcode", "either")
	s.user("ann", "wonder")
	k := s.totp("ann")
	_, front := mfatest.FreeRADIUS(t, netip.MustParseAddrPort(s.radius), secretWord)
	// FreeRADIUS 3.2.1 signs no answer to PAP, so this client looks at less.
	ask := func(password string, state string) string {
		attributes := []string{"User-Name=ann", "User-Password=" + password, "Message-Authenticator=0x00"}
		if state != "" {
			attributes = append(attributes, "State="+state)
		}
		return radclient(t, front.String(), "auth", attributes...)
	}
	if out := ask("wonder"+k.now(), ""); !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("password and code:\n%s", out)
	}
	if out := ask("wonder"+k.now(), ""); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("a used code:\n%s", out)
	}
	out := ask("wonder", "")
	state := stateLine.FindStringSubmatch(out)
	if !strings.Contains(out, "Received Access-Challenge") || state == nil {
		t.Fatalf("password alone:\n%s", out)
	}
	if out := ask(k.soon(), state[1]); !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("the answer to a challenge:\n%s", out)
	}
	if got := s.reasons(); got["ok"] != 2 || got["replayed_code"] != 1 || len(got) != 2 {
		t.Errorf("reasons in the trail: %v", got)
	}
}

// The password lies in an OpenLDAP server of 10 000 users, behind StartTLS.
func TestOpenLDAP(t *testing.T) {
	d := mfatest.Slapd(t, 10_000)
	s := newServer(t)
	s.write(s.dir+"/ca.pem", d.CA.PEM)
	s.cliIn(d.BindPassword, "directory", "add", "corp", "--url", d.URL, "--start-tls", "--tls-ca-file", s.dir+"/ca.pem",
		"--bind-dn", d.BindDN, "--bind-password-stdin", "--base-dn", "ou=people,"+d.BaseDN, "--user-filter", "(uid={login})", "--group-attribute", "memberOf")
	s.application("vpn", atAppend, "--first-factor", "corp", "--passcode", "append", "--reply", "Filter-Id=even for group even")
	s.application("prompt", atPrompt, "--first-factor", "corp", "--passcode", "prompt")

	var checks admin.CheckList
	out := s.cliIn(d.Password(9999), "directory", "test", "corp", "--login", d.Login(9999), "--password-stdin", "--json")
	if err := document(out, &checks); err != nil || !checks.OK {
		t.Errorf("directory test: %v\n%s", err, out)
	}
	var layers []string
	for _, c := range checks.Checks {
		layers = append(layers, c.Layer)
		if c.Target == "" || c.Detail == "" {
			t.Errorf("directory test: a step says nothing: %+v", c)
		}
	}
	// Connect, StartTLS, its handshake, service bind, search, the user's bind, groups.
	if got := strings.Join(layers, " "); got != "tcp ldap tls ldap ldap ldap ldap" {
		t.Errorf("directory test tells the layers %q", got)
	}
	if r := s.try("nonsense", "directory", "test", "corp", "--login", d.Login(9999), "--password-stdin"); r.code != 1 || !strings.Contains(r.stdout, "password") {
		t.Errorf("directory test with a wrong password: exit %d\n%s%s", r.code, r.stdout, r.stderr)
	}

	for _, i := range []int{0, 7, 4999, 9998, 9999} {
		login := d.Login(i)
		s.user(login, "")
		k := s.totp(login)
		n := newNAS(t, atAppend, s.radius)
		r := n.ask(login, d.Password(i)+k.now(), nil)
		if r.code != radius.AccessAccept {
			t.Errorf("%s: %v", login, r)
		}
		if even := strings.Contains(string(r.raw), "even"); even != (i%2 == 0) {
			t.Errorf("%s: Filter-Id of the group even: %v", login, even)
		}
		if r := n.ask(login, d.Password(i+1)+k.soon(), nil); r.code != radius.AccessReject {
			t.Errorf("%s with another user's password: %v", login, r)
		}
		if r := signIn(t, s.radius, login, d.Password(i), k.soon()); r.code != radius.AccessAccept {
			t.Errorf("%s by a challenge: %v", login, r)
		}
	}
	// Nobody's filter is written by who signs in, and who is not there is not there.
	for _, login := range []string{"*", "user*", "a)(uid=*", "ghost"} {
		if r := newNAS(t, atPrompt, s.radius).ask(login, "x", nil); r.code != radius.AccessReject {
			t.Errorf("%q: %v", login, r)
		}
	}
	s.user("ghost", "")
	s.totp("ghost")
	if r := newNAS(t, atPrompt, s.radius).ask("ghost", "x", nil); r.code != radius.AccessReject {
		t.Errorf("ghost: %v", r)
	}
	got := s.reasons()
	if got["ok"] != 10 || got["wrong_password"] != 5 || got["not_in_directory"] != 1 {
		t.Errorf("reasons in the trail: %v", got)
	}

	// Without the directory nobody is told that the password is wrong: our fault is silence.
	d.Stop()
	n := newNAS(t, atAppend, s.radius)
	const failed = `countersign_radius_packets_total{outcome="failed"}`
	before := s.metric(failed)
	packet := n.request(d.Login(0), d.Password(0)+"123456", nil)
	if _, err := n.conn.Write(packet); err != nil {
		t.Fatal(err)
	}
	await(t, failed+" to rise", func() bool { return s.metric(failed) == before+1 })
	n.wait = 50 * time.Millisecond // it is decided already
	if r, err := n.receive(packet); !errors.Is(err, errSilent) {
		t.Errorf("without the directory: %v, %v", r, err)
	}
	if r := s.try("", "doctor"); r.code != 1 || !strings.Contains(r.stdout, "corp") {
		t.Errorf("doctor: exit %d\n%s", r.code, r.stdout)
	}
}

// The password lies in Active Directory; who may not sign in there gets the one reason,
// whether we bind as the user at once or search first.
func TestActiveDirectory(t *testing.T) {
	d := mfatest.SambaAD(t)
	s := newServer(t)
	s.write(s.dir+"/ca.pem", d.CA.PEM)
	s.cli("directory", "add", "upn", "--url", d.TLSURL, "--tls-ca-file", s.dir+"/ca.pem", "--base-dn", d.BaseDN, "--upn-suffix", d.UPNSuffix)
	s.cliIn(d.AdminPassword, "directory", "add", "search", "--url", d.URL, "--start-tls", "--tls-ca-file", s.dir+"/ca.pem",
		"--bind-dn", d.Administrator, "--bind-password-stdin", "--base-dn", d.BaseDN, "--user-filter", "(sAMAccountName={user})")
	s.cli("policy", "set", "login_domains=RIG="+d.UPNSuffix)
	s.application("upn", atPrompt, "--first-factor", "upn", "--passcode", "append")
	s.application("search", atAppend, "--first-factor", "search", "--passcode", "append")
	tokens := map[string]*token{}
	for _, login := range []string{"alice", "disabled", "expired", "mustchange", "locked"} {
		s.user(login, "")
		tokens[login] = s.hotp(login)
	}
	for _, way := range []struct{ name, from string }{{"upn", atPrompt}, {"search", atAppend}} {
		t.Run(way.name, func(t *testing.T) {
			n := newNAS(t, way.from, s.radius)
			var checks admin.CheckList
			text := s.cliIn(d.Password, "directory", "test", way.name, "--login", "alice", "--password-stdin", "--json")
			if err := document(text, &checks); err != nil || !checks.OK {
				t.Errorf("directory test: %v\n%s", err, text)
			}
			for _, c := range []struct{ login, as, password, reason string }{
				{"alice", "alice", d.Password, "ok"},
				{"alice", "alice@" + d.UPNSuffix, d.Password, "ok"},
				{"alice", `RIG\ALICE`, d.Password, "ok"},
				{"alice", "alice", "Wrong0!" + way.name, "wrong_password"},
				{"disabled", "disabled", d.Password, "account_disabled"},
				{"expired", "expired", d.Password, "account_expired"},
				{"mustchange", "mustchange", d.Password, "password_must_change"},
				{"disabled", "disabled", "Wrong0!" + way.name, "wrong_password"},
			} {
				r := n.ask(c.as, c.password+tokens[c.login].press(), nil)
				if ok := r.code == radius.AccessAccept; ok != (c.reason == "ok") {
					t.Errorf("%s: %v", c.as, r)
				}
				if _, why := s.last(); why != c.reason {
					t.Errorf("%s: the trail says %s, want %s", c.as, why, c.reason)
				}
			}
		})
	}
	// Three wrong passwords lock the account there, long before ours.
	n := newNAS(t, atPrompt, s.radius)
	for i := range 3 {
		_ = n.ask("locked", fmt.Sprintf("Wrong%d!pw", i)+tokens["locked"].press(), nil)
	}
	if r := n.ask("locked", d.Password+tokens["locked"].press(), nil); r.code != radius.AccessReject {
		t.Errorf("locked there: %v", r)
	}
	if _, why := s.last(); why != "account_locked_in_directory" {
		t.Errorf("locked there: the trail says %s", why)
	}
}
