package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/mfatest"
)

// From an invitation to a token that RADIUS takes, as a new user does it, and to the sign-in
// that was somebody else's.
func TestPortal(t *testing.T) {
	radclientPath := mfatest.Need(t, "radclient")[0]
	b := newTab(t)
	s := newServer(t)
	const password, secret = "bobs password", "a shared secret"
	s.cliIn(password, "user", "add", "bob", "--name", "Bob Brown", "--password-stdin")
	s.cliIn(secret, "application", "add", "vpn", "--kind", "radius", "--address", "127.0.0.1", "--passcode", "append", "--secret-stdin")
	var invitation struct{ Link string }
	s.json(&invitation, "user", "invite", "bob")
	base := "https://" + s.https + "/portal"
	if !strings.HasPrefix(invitation.Link, base+"/welcome?code=") {
		t.Fatalf("the link is %q", invitation.Link)
	}

	b.open(invitation.Link)
	b.accessible("welcome")
	b.fill("/portal/welcome", "login", "bob", "password", password)
	b.reads("Add an authenticator app")
	b.accessible("token")
	b.fill("/portal/token", "label", "phone")
	device := b.device()
	b.accessible("token with its code")
	b.fill("/portal/token/prove", "code", device.now())
	b.reads("It works.")
	used := device.step()
	b.accessible("home")
	value, hidden := b.cookie("__Host-portal")
	if value == "" || !hidden {
		t.Errorf("a script reads the cookie %q", value)
	}

	send := func(code string) string {
		return radclientWith(t, radclientPath, s.radius, secret, `User-Name = "bob"`, fmt.Sprintf(`User-Password = "%s%s"`, password, code))
	}
	code := device.after(used)
	used = device.step()
	if out := send(code); !strings.Contains(out, "Received Access-Accept") {
		t.Fatalf("radclient got %s", out)
	}

	b.open(base + "/")
	b.reads("vpn")
	b.open(base + "/sign-ins")
	b.accessible("sign-ins")
	b.open("https://" + s.https + b.eval(`document.querySelector('tbody a').getAttribute('href')`))
	b.accessible("not me")
	b.fill(b.eval("document.querySelector('main form').getAttribute('action')"))
	b.reads("You are signed out everywhere")
	b.open(base + "/")
	b.reads("User name")
	if out := send(device.after(used)); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("radclient got %s", out)
	}
	var bob struct {
		Blocked bool
		Block   struct{ By string }
	}
	if s.json(&bob, "user", "show", "bob"); !bob.Blocked || bob.Block.By != "bob (portal)" {
		t.Errorf("bob is %+v", bob)
	}
	if !strings.Contains(s.log.String(), "was not theirs") {
		t.Errorf("no alarm in the log:\n%s", tail(s.log.String(), 2000))
	}
	for _, line := range b.console() {
		if strings.Contains(line, "Content Security Policy") {
			t.Errorf("a page of ours breaks its own policy: %s", line)
		}
	}
}
