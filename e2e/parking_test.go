package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/radius"
)

// A master goes on alone, its replica away; then it is lost, and the replica is promoted. When
// it comes back, nothing of what it did alone is lost.
func TestParking(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	m.application("none", atNone, "--first-factor", "none")
	m.user("hank", "")
	m.user("mallory", "")
	hank := m.hotp("hank")
	ask := func(s *server, login, code string) radius.Code {
		t.Helper()
		return newNAS(t, atNone, s.radius).ask(login, code, nil).code
	}
	before := m.status().Revision
	await(t, "the replica has it all", func() bool { return rep.status().Revision >= before })
	rep.stop() // killed, it could lack the last moments of what it had
	for i := range 50 {
		m.cli("user", "add", fmt.Sprintf("alone%02d", i))
	}
	m.cli("user", "block", "mallory", "--reason", "stolen phone")
	used := hank.press()
	if got := ask(m, "hank", used); got != radius.AccessAccept {
		t.Fatalf("hank at the master: %s", got)
	}
	m.kill9()

	rep.start()
	rep.lost()
	rep.cli("group", "promote", "--disaster", "--confirm", "test/1")
	rep.ready()
	if got := ask(rep, "hank", used); got != radius.AccessReject || rep.reason("hank") != mfa.HeldAfterPromotion.String() {
		t.Errorf("a code that the old master may have accepted: %s, %s", got, rep.reason("hank"))
	}
	rep.cli("user", "add", "alone07") // somebody thinks of it

	m.start()
	m.inEpoch(2, "replica")
	var doc admin.ParkedList
	rep.answer(&doc, "group", "parked") // at any server
	conflicts := 0
	for _, c := range doc.Parked {
		if c.Kind != "user" || c.What != "added" || !strings.HasPrefix(c.Object, "alone") || c.By == "" || c.Epoch != 1 || c.Server != "n1" {
			t.Errorf("parked: %+v", c)
		}
		if c.Standing == "conflict" {
			conflicts++
		}
	}
	if len(doc.Parked) != 50 || len(doc.Reports) != 1 || doc.Reports[0].Listed != 50 || len(doc.Reports[0].Restricted) != 1 {
		t.Fatalf("%d changes are parked, want 50; reports %+v", len(doc.Parked), doc.Reports)
	}
	for _, s := range all {
		if w := strings.Join(s.status().Warnings, "\n"); !strings.Contains(w, "parked: 50 changes") || !strings.Contains(w, "group parked list") {
			t.Errorf("status of %s: %s", s.data, w)
		}
	}
	if r := m.try("", "doctor"); r.code != 1 || !strings.Contains(r.stdout, "parked: 50 changes") {
		t.Errorf("doctor: exit %d: %s", r.code, r.stdout)
	}

	// What restricts holds, what was used is used, and nothing is held back any more.
	var mallory admin.User
	if rep.json(&mallory, "user", "show", "mallory"); !mallory.Blocked {
		t.Error("mallory is not blocked in the new epoch")
	}
	for _, s := range all {
		if got := ask(s, "hank", used); got != radius.AccessReject || s.reason("hank") == mfa.HeldAfterPromotion.String() {
			t.Errorf("the code that the old master had accepted: %s, %s", got, s.reason("hank"))
		}
	}
	if got := ask(rep, "hank", hank.press()); got != radius.AccessAccept {
		t.Errorf("the next code: %s, %s", got, rep.reason("hank"))
	}

	// One at the other server, the rest at the one that brought them.
	first := doc.Parked[0]
	if first.Object == "alone07" {
		first = doc.Parked[1]
	}
	rep.cli("group", "parked", "apply", first.ID)
	if rep.json(&mallory, "user", "show", first.Object); mallory.Login != first.Object {
		t.Errorf("applied: %+v", mallory)
	}
	if r := m.try("", "group", "parked", "apply", "--all"); r.code != 1 || !strings.Contains(r.stderr, "1 of 49 were refused") || !strings.Contains(r.stderr, "alone07") {
		t.Errorf("apply --all: exit %d: %s", r.code, r.stderr)
	}
	m.cli("group", "parked", "discard", "--all", "--yes")
	doc = admin.ParkedList{}
	if rep.answer(&doc, "group", "parked"); len(doc.Parked) != 0 || m.status().Users != 52 {
		t.Errorf("%d are still listed, %d users, want none and 52", len(doc.Parked), m.status().Users)
	}
	for _, s := range all {
		s.verify()
	}
	for _, verb := range []string{"group parked", "group parked apply", "group parked discard", "trail merged"} {
		if !m.recorded(verb) {
			t.Errorf("%s is not in the trail", verb)
		}
	}
}
