package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/radius"
)

// A server that comes back and hears of a later epoch that has no master decides nothing, not
// even what needs no settlement. The epoch after that awaits all that may be missing.
func TestDisasterTwice(t *testing.T) {
	all := newGroup(t, 2)
	n1, n2 := all[0], all[1]
	n1.application("none", atNone, "--first-factor", "none")
	n1.user("eve", "")
	n1.cli("user", "set", "eve", "--state", "exempt")
	n1.user("hank", "")
	hank := n1.hotp("hank")
	n2.kill9()
	code := hank.press()
	if r := newNAS(t, atNone, n1.radius).ask("hank", code, nil); r.code != radius.AccessAccept {
		t.Fatalf("hank at the master alone: %v", r)
	}
	if r := newNAS(t, atNone, n1.radius).ask("eve", "", nil); r.code != radius.AccessAccept {
		t.Fatalf("eve, who is exempt: %v", r)
	}
	n1.kill9()
	n2.start()
	n2.lost()
	n2.cli("group", "promote", "--disaster", "--confirm", "test/1")
	n2.inEpoch(2, "master")
	n3 := newMember(t, "n3")
	n3.activate(n2.code())
	n3.start()
	n3.inEpoch(2, "replica")
	n2.cli("user", "block", "eve")
	n2.kill9()

	n1.start()
	await(t, "it hears of epoch 2", func() bool { return strings.Contains(n1.try("", "status").stdout, "decides nothing") })
	for _, login := range []string{"eve", "nobody"} {
		at := newNAS(t, atNone, n1.radius)
		at.wait = time.Second
		if r, err := at.exchange(at.request(login, "", nil)); err == nil {
			t.Errorf("%s is answered by a server that knows of a later epoch: %v", login, r)
		}
	}
	n1.refusesChanges()
	if r := n1.try("", "group", "promote", "--disaster", "--confirm", "test/2"); r.code != 1 || !strings.Contains(r.stderr, "has a copy of epoch 2") {
		t.Errorf("promoted past the later epoch: %d %s", r.code, r.stderr)
	}
	p := n3.lost()
	slices.Sort(p.Awaits)
	if p.NewEpoch != 3 || !slices.Equal(p.Awaits, []string{"n1", "n2"}) {
		t.Errorf("receipt: %+v", p)
	}
	n3.cli("group", "promote", "--disaster", "--confirm", "test/2")
	n3.inEpoch(3, "master")
	n1.inEpoch(3, "replica")
	for _, s := range []*server{n1, n3} {
		if r := newNAS(t, atNone, s.radius).ask("hank", code, nil); r.code != radius.AccessReject {
			t.Errorf("a used code is good again in epoch 3: %v", r)
		}
	}
	n2.start()
	n2.inEpoch(3, "replica")
	await(t, "the hold ends when all is merged", func() bool {
		return newNAS(t, atNone, n2.radius).ask("hank", hank.press(), nil).code == radius.AccessAccept
	})
}
