package e2e_test

import (
	"path/filepath"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfatest"
)

// Codes by SMPP from two servers with one account: the receipt of a message comes to the bind
// of the server that has not sent it, and the user answers there. What one gateway does not
// deliver the other one gets.
func TestSMPPReceiptsAcrossServers(t *testing.T) {
	lying := mfatest.NewSMSC(t, mfatest.NewCA(t), mfatest.Manner{Login: "corp", Password: "hush-hush", Receipt: "DELIVRD"})
	good := mfatest.NewSMSC(t, nil, mfatest.Manner{Receipt: "DELIVRD", Version: 0x50})
	all := newGroup(t, 2)
	s, other := all[0], all[1]
	s.user("alice", "correct horse")
	s.application("vpn", "127.0.0.1/32", "--retries", "1")
	ca := filepath.Join(s.dir, "smsc.pem")
	s.write(ca, lying.CA.PEM)
	s.cliIn("hush-hush\n", "gateway", "add", "first", "--kind", "sms", "--protocol", "smpp", "--address", lying.Address, "--tls-ca-file", ca,
		"--login", "corp", "--password-stdin", "--from", "Corp", "--country", "DE", "--order", "1")
	s.cli("credential", "add", "alice", "--method", "sms", "--to", "+49 170 1234567", "--trusted")
	await(t, "the gateway and the number at the other server", func() bool {
		return other.try("", "gateway", "show", "first").code == 0 && strings.Contains(other.try("", "credential", "list", "alice").stdout, "sms")
	})
	for i, one := range all { // so that both are bound
		if r := one.try("", "gateway", "test", "first", "--to", "+491701234567"); r.code != 0 || !strings.Contains(r.stdout, "it arrived") {
			t.Fatalf("test at server %d: %s%s", i, r.stdout, r.stderr)
		}
	}

	lying.Set(func(m *mfatest.Manner) { m.Receipt, m.Elsewhere, m.Decimal = "UNDELIV", true, true })
	asked := radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`)
	state := stateLine.FindStringSubmatch(asked)
	if state == nil {
		t.Fatalf("no challenge:\n%s", asked)
	}
	await(t, "the server that sent knows that it did not arrive", func() bool {
		var g admin.Gateway
		r := s.try("", "gateway", "show", "first", "--json")
		return r.code == 0 && document(r.stdout, &g) == nil && g.Health.Undelivered == 1
	})
	if out := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password=000000", "State="+state[1]); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("a wrong code, where the message did not arrive:\n%s", out)
	}
	if got := other.reasons("--user", "alice"); got["message_undelivered"] != 1 {
		t.Errorf("reasons %v", got)
	}

	s.cliIn("hush-hush\n", "gateway", "add", "second", "--kind", "sms", "--protocol", "smpp", "--address", good.Address, "--tls", "none", "--smpp-version", "5.0",
		"--login", "corp", "--password-stdin", "--from", "Corp", "--country", "DE", "--order", "2")
	asked = radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`)
	if state = stateLine.FindStringSubmatch(asked); state == nil {
		t.Fatalf("no challenge:\n%s", asked)
	}
	seen := good.Await(t, "the code, by the other gateway", func(s mfatest.Seen) bool { return len(s.Texts) == 1 })
	code := sixDigits.FindString(seen.Texts[0].Text)
	if out := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password="+code, "State="+state[1]); !strings.Contains(out, "Received Access-Accept") {
		t.Errorf("the code by the other gateway, at the other server:\n%s", out)
	}
	s.stop()
	lying.Await(t, "the bind of the server that was stopped ends", func(s mfatest.Seen) bool { return s.Bound <= 1 && s.Unbinds >= 1 })
}
