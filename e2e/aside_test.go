package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"countersign/internal/radius"
)

// The old master comes back while nobody of the later epoch runs but a server that came after
// it. That one stays: who only knows an epoch that ended cannot tell it that it is no member.
// The old master does not know it, but believes what it brings. The epoch after that awaits all that may be missing, and everybody ends in it.
func TestDisasterTwice(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	n1, n2 := all[0], all[1]
	n1.application("none", atNone, "--first-factor", "none")
	n1.user("hank", "")
	hank := n1.hotp("hank")
	if r := newNAS(t, atNone, n2.radius).ask("hank", hank.press(), nil); r.code != radius.AccessAccept {
		t.Fatalf("hank at the replica: %v", r)
	}
	n2.kill9()
	code := hank.press()
	if r := newNAS(t, atNone, n1.radius).ask("hank", code, nil); r.code != radius.AccessAccept {
		t.Fatalf("hank at the master alone: %v", r)
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
	n3.user("newt", "")
	newt := n3.hotp("newt")
	n2.kill9()

	n1.launch()
	await(t, "the old master decides nothing: the newcomer brings what n2 has signed", func() bool {
		r := n1.try("", "status")
		return r.code == 0 && strings.Contains(r.stdout, "this server decides nothing: the group is at epoch 2")
	})
	if r := newNAS(t, atNone, n3.radius).ask("newt", newt.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("the only server of the later epoch: %v", r)
	}
	p := n3.lost()
	slices.Sort(p.Awaits)
	if p.NewEpoch != 3 || !slices.Equal(p.Awaits, []string{"n1", "n2"}) {
		t.Errorf("receipt: %+v", p)
	}
	n3.cli("group", "promote", "--disaster", "--confirm", "test/2")
	n3.inEpoch(3, "master")
	n2.start()
	n2.inEpoch(3, "replica")
	n1.inEpoch(3, "replica")
	for _, s := range []*server{n1, n2, n3} {
		if r := newNAS(t, atNone, s.radius).ask("hank", code, nil); r.code != radius.AccessReject {
			t.Errorf("a used code is good again in epoch 3: %v", r)
		}
	}
	await(t, "the hold ends when all is merged", func() bool {
		return !strings.Contains(strings.Join(n2.status().Warnings, " "), "--release")
	})
	if r := newNAS(t, atNone, n2.radius).ask("hank", hank.press(), nil); r.code != radius.AccessAccept {
		t.Errorf("hank's next code: %v (%s)", r, n2.reason("hank"))
	}
}
