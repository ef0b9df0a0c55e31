package e2e_test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
	"countersign/internal/radius"
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

// shortWAV is a recording of a tenth of a second.
func shortWAV(t *testing.T) string {
	t.Helper()
	const samples = 800
	b := []byte("RIFF")
	for _, field := range []any{uint32(36 + 2*samples), []byte("WAVEfmt "), uint32(16), uint16(1), uint16(1), uint32(8000), uint32(16000), uint16(2), uint16(16),
		[]byte("data"), uint32(2 * samples), make([]byte, 2*samples)} {
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, field); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(t.TempDir(), "short.wav")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// A telephone rings at the request of one server while the master is killed; whoever picks up
// presses #. The client repeats its packet all the while and is let in once, by one call.
func TestCallWhileTheMasterDies(t *testing.T) {
	t.Parallel()
	mfatest.Need(t, "sipp")
	all := newGroup(t, 3)
	all[0].application("old", atPrompt, "--first-factor", "local", "--methods", "call", "--waiting", "inside")
	all[0].user("alice", "wonder")
	trunk := mfatest.FreeUDP(t)
	all[0].cli("gateway", "add", "trunk", "--kind", "call", "--address", trunk, "--from", "+4930123456", "--country", "DE", "--transport", "udp")
	all[0].cli("credential", "add", "alice", "--method", "call", "--to", "+491701234567", "--trusted")
	for _, prompt := range []string{"greeting", "application", "application-old", "press"} { // # counts when it was named
		all[0].cli("recording", "set", prompt+".en", "--file", shortWAV(t))
	}
	dead, left := master(t, all)
	await(t, "the credential at the other server", func() bool {
		return strings.Contains(left[0].try("", "credential", "list", "alice", "--json").stdout, `"call"`)
	})
	ringing := filepath.Join(t.TempDir(), "ringing")
	phone := mfatest.Sipp(t, mfatest.PhoneOptions{Address: trunk}, mfatest.Ring, mfatest.Touch(ringing), mfatest.Wait(2*time.Second), mfatest.Answer,
		mfatest.Wait(1500*time.Millisecond), mfatest.Press("#"), mfatest.Wait(500*time.Millisecond), mfatest.HangUp)
	n := newNAS(t, atPrompt, left[0].radius)
	packet := n.request("alice", "wonder", nil)
	answered := make(chan reply, 1)
	go func() { answered <- n.untilAnswered(packet) }()
	await(t, "a telephone that rings", func() bool { _, err := os.Stat(ringing); return err == nil })
	dead.kill9()
	if r := <-answered; r.code != radius.AccessAccept {
		t.Errorf("the request that waited: %v", r)
	}
	n.wait = patience
	if r := n.turn(left[1]).send(packet); r.code != radius.AccessAccept { // as of a client that has missed the answer
		t.Errorf("the same packet elsewhere: %v", r)
	}
	phone.Done(t)
	if here, there := left[0].reasons("--user", "alice"), left[1].reasons("--user", "alice"); len(here) != 1 || here["ok"]+there["ok"] != 1 {
		t.Errorf("one call left %v at one server and %v at the other, want one ok", here, there)
	}
	calls := 0
	for _, s := range left {
		var got struct{ Health struct{ Sent, Failed int } }
		s.json(&got, "gateway", "show", "trunk")
		calls += got.Health.Sent + got.Health.Failed
	}
	if calls != 1 {
		t.Errorf("%d calls were placed", calls)
	}
}
