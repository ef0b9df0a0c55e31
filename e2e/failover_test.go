package e2e_test

import (
	"net"
	"testing"

	"countersign/internal/radius"
	"countersign/internal/secret"
)

// turn returns the client as it goes on after it has given up on a server: the same socket
// address, another server.
func (n *nas) turn(to *server) *nas {
	n.t.Helper()
	local := n.conn.LocalAddr().(*net.UDPAddr)
	_ = n.conn.Close()
	server, err := net.ResolveUDPAddr("udp", to.radius)
	if err != nil {
		n.t.Fatal(err)
	}
	conn, err := net.DialUDP("udp", local, server)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = conn.Close() })
	return &nas{t: n.t, conn: conn, key: radius.NewKey(secret.FromString(secretWord)), word: secretWord, wait: n.wait, id: n.id}
}

// A client gives up on one server and turns to another, in the middle of a challenge and
// with the very packet that was answered too late: the other goes on where the first was,
// and what was decided stays decided. Then the first is killed.
func TestClientTurnsToAnotherServer(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	a, b := all[0], all[1]
	a.application("prompt", atPrompt, "--first-factor", "local", "--passcode", "prompt")
	a.application("none", atNone, "--first-factor", "none")
	a.user("alice", "wonder")
	k := a.hotp("alice")
	await(t, "the user at the other server", func() bool { return b.try("", "user", "show", "alice").code == 0 })

	// A challenge of one server is answered at the other, and then at none.
	n := newNAS(t, atPrompt, a.radius)
	asked := n.ask("alice", "wonder", nil)
	if asked.code != radius.AccessChallenge {
		t.Fatalf("first leg: %v", asked)
	}
	n = n.turn(b)
	code := k.press()
	if r := n.ask("alice", code, asked.state); r.code != radius.AccessAccept {
		t.Errorf("a challenge answered at another server: %v", r)
	}
	if r := n.turn(a).ask("alice", code, asked.state); r.code != radius.AccessReject {
		t.Errorf("the same challenge answered once more where it was made: %v", r)
	}
	if why := a.reasons("--user", "alice"); why["challenge_replayed"] != 1 {
		t.Errorf("reasons at n1: %v", why)
	}

	// The very packet at both servers: one settlement, the same answer.
	n = newNAS(t, atNone, a.radius)
	packet := n.request("alice", k.press(), nil)
	first := n.send(packet)
	n = n.turn(b)
	second := n.send(packet)
	if first.code != radius.AccessAccept || second.code != radius.AccessAccept {
		t.Errorf("a packet sent to one server and then to the other: %v, then %v", first, second)
	}
	if here, there := a.reasons("--application", "none")["ok"], b.reasons("--application", "none")["ok"]; here != 1 || there != 0 {
		t.Errorf("one sign-in left %d accepts at n1 and %d at n2; want one record", here, there)
	}
	// Its code in another packet is used.
	a.kill9()
	if r := n.ask("alice", k.at(k.next-1), nil); r.code != radius.AccessReject {
		t.Errorf("a used code in a new packet, at the server that is left: %v", r)
	}
	if r := n.send(packet); r.code != radius.AccessAccept {
		t.Errorf("the answered packet again, at the server that is left: %v", r)
	}
}
