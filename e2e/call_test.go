package e2e_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
)

var twoDigits = regexp.MustCompile(`type ([0-9]{2}) on it`)

// A call: begun at one server, asked about at the other, which lets in whoever typed on the
// telephone what the first had them shown; a telephone that is busy is told as that.
func TestCallOverRADIUS(t *testing.T) {
	mfatest.Need(t, "sipp")
	all := newGroup(t, 2)
	s, other := all[0], all[1]
	s.user("alice", "correct horse")
	s.application("vpn", "127.0.0.1/32", "--retries", "1")
	trunk := mfatest.FreeUDP(t)
	s.cli("gateway", "add", "trunk", "--kind", "call", "--address", trunk, "--from", "+4930123456", "--country", "DE", "--transport", "udp")
	s.cli("credential", "add", "alice", "--method", "call", "--to", "+49 170 1234567", "--trusted")
	await(t, "the credential at the other server", func() bool {
		return strings.Contains(other.try("", "credential", "list", "alice", "--json").stdout, `"call"`)
	})
	begin := func() (state, number string) {
		t.Helper()
		asked := radclient(t, s.radius, "auth", "User-Name=alice", `User-Password="correct horse"`)
		st, n := stateLine.FindStringSubmatch(asked), twoDigits.FindStringSubmatch(asked)
		if st == nil || n == nil || !strings.Contains(asked, "+49********67") {
			t.Fatalf("no challenge:\n%s", asked)
		}
		return st[1], n[1]
	}

	state, number := begin()
	// The telephone rings a moment after it was dialled: what is lost is repeated.
	phone := mfatest.Sipp(t, mfatest.PhoneOptions{Address: trunk}, mfatest.Ring, mfatest.Answer, mfatest.Wait(200*time.Millisecond), mfatest.Press(number), mfatest.AwaitBye)
	if out := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password=ok", "State="+state); !strings.Contains(out, "Received Access-Accept") {
		t.Fatalf("%s was typed on the telephone:\n%s", number, out)
	}
	if out := radclient(t, s.radius, "auth", "User-Name=alice", "User-Password=ok", "State="+state); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("the same call once more:\n%s", out)
	}
	phone.Done(t)

	state, _ = begin()
	busy := mfatest.Sipp(t, mfatest.PhoneOptions{Address: trunk}, mfatest.Refuse(486, "Busy Here"))
	if out := radclient(t, other.radius, "auth", "User-Name=alice", "User-Password=ok", "State="+state); !strings.Contains(out, "Received Access-Reject") {
		t.Errorf("a telephone that is busy:\n%s", out)
	}
	busy.Done(t)
	got := map[string]int{}
	for _, at := range all {
		for why, n := range at.reasons("--user", "alice") {
			got[why] = max(got[why], n) // each tells of the whole group
		}
	}
	if got["ok"] != 1 || got["call_busy"] != 1 {
		t.Errorf("reasons %v, want one ok and one call_busy: %+v", got, s.attempts())
	}
}
