package e2e_test

import (
	crypto "crypto/rand"
	"fmt"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// A replica that was away comes back over a narrow line and is far behind. It is in contact:
// a user who was blocked a moment ago is not let in by its stale copy, and others sign in,
// not as degraded. A code that it accepted while it was alone is not good again at the master.
func TestBlockedWhileTheReplicaIsBehind(t *testing.T) {
	t.Parallel()
	w := newNetwork(t)
	all := w.group(2, nil)
	m, rep := all[0], all[1]
	m.application("allow", atNone, "--first-factor", "none")
	m.application("closed", atAppend)
	for _, login := range []string{"alice", "carl", "bob"} {
		m.user(login, "")
	}
	m.user("eve", "a password")
	m.cli("user", "set", "eve", "--state", "exempt")
	m.application("passes", atPrompt)
	alice, carl, bob := m.hotp("alice"), m.hotp("carl"), m.hotp("bob")
	await(t, "the users at the replica", func() bool {
		r := rep.try("", "credential", "list", "bob")
		return r.code == 0 && strings.Contains(r.stdout, "hotp")
	})
	w.down(2)
	used := carl.press()
	if r := rep.dialFrom(atNone).ask("carl", used, nil); r.code != radius.AccessAccept {
		t.Errorf("a sign-in at a replica that is alone: %v", r)
	}
	csv := &strings.Builder{}
	csv.WriteString("login,hotp_secret\n")
	const missed = 2000
	for i := range missed {
		fmt.Fprintf(csv, "missed%d,%sAAAAAA\n", i, crypto.Text()[:26])
	}
	m.cliIn(csv.String(), "user", "import", "-")
	w.narrow(2, "512kbit")
	w.up(2)
	status := func() (st admin.Status) { rep.answer(&st, "status"); return st }
	behind := func() bool {
		st := status()
		return !st.Degraded && strings.Contains(strings.Join(st.Warnings, " "), "behind the master's")
	}
	await(t, "the replica is in contact, and behind", behind)
	m.cli("user", "block", "bob")
	m.cli("application", "set", "closed", "--disabled")
	n := rep.dialFrom(atNone)
	if r, err := n.exchange(n.request("carl", used, nil)); err != nil || r.code != radius.AccessReject {
		t.Errorf("a code that the replica accepted while it was alone: %v %v", r, err)
	}
	r, err := n.exchange(n.request("bob", bob.press(), nil))
	if err != nil || r.code != radius.AccessReject {
		t.Errorf("a user who was just blocked, at a replica that is behind: %v %v", r, err)
	}
	if r, err = n.exchange(n.request("alice", alice.press(), nil)); err != nil || r.code != radius.AccessAccept {
		t.Errorf("a sign-in at a replica that is behind: %v %v", r, err)
	}
	// What needs no settlement is decided by what the master has, too.
	open, closed := rep.dialFrom(atPrompt), rep.dialFrom(atAppend)
	if r, err = open.exchange(open.request("eve", "a password", nil)); err != nil || r.code != radius.AccessAccept {
		t.Errorf("an exempt user at a replica that is behind: %v %v", r, err)
	}
	if r, err = closed.exchange(closed.request("eve", "a password", nil)); err != nil || r.code != radius.AccessReject {
		t.Errorf("an application that was just disabled, at a replica that is behind: %v %v", r, err)
	}
	if st := status(); st.Users >= missed {
		t.Errorf("it had caught up before it was asked: %d users; nothing was shown", st.Users)
	}
	for _, a := range m.attempts("--user", "eve") {
		if want := map[string]string{"passes": mfa.ExemptUser.String(), "closed": mfa.ApplicationDisabled.String()}[a.Application]; a.Reason != want {
			t.Errorf("at %s: %s, want %s", a.Application, a.Reason, want)
		}
	}
	for _, a := range rep.attempts() {
		if a.Degraded && a.Login != "carl" {
			t.Errorf("settled alone while in contact: %+v", a)
		}
	}
}
