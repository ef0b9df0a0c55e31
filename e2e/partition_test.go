package e2e_test

import (
	"slices"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/radius"
)

// The master of three is parted from the others: it decides and changes nothing any more
// that the group would have to believe, the others go on, and afterwards all is one.
func TestPartition(t *testing.T) {
	w := newNetwork(t)
	all := w.group(3, nil)
	all[0].application("allow", atNone, "--first-factor", "none")
	all[0].application("refuse", atStrict, "--first-factor", "none", "--degraded", "refuse")
	all[1].user("alice", "")
	k := all[2].hotp("alice")
	m, others := master(t, all)
	i := slices.Index(all, m) + 1
	await(t, "the users everywhere", func() bool {
		return !slices.ContainsFunc(all, func(s *server) bool { return s.try("", "user", "show", "alice").code != 0 })
	})

	w.split(i)
	await(t, "a master among the others", func() bool { return others[0].try("", "user", "add", "bob").code == 0 })
	m.refusesChanges()
	both := k.press()
	if r := m.dialFrom(atNone).ask("alice", both, nil); r.code != radius.AccessAccept {
		t.Errorf("sign-in at the server that is parted from the others: %v", r)
	}
	if r := others[1].dialFrom(atNone).ask("alice", both, nil); r.code != radius.AccessAccept {
		t.Errorf("the same code on the other side: %v", r)
	}
	strict := m.dialFrom(atStrict)
	strict.wait /= 20
	if r, err := strict.exchange(strict.request("alice", k.press(), nil)); err == nil {
		t.Errorf("at the application that refuses to go on without the group: %v", r)
	}

	w.heal()
	for _, s := range all {
		s.settled(3)
		s.merged()
	}
	for _, s := range all {
		if r := s.dialFrom(atNone).ask("alice", both, nil); r.code != radius.AccessReject {
			t.Errorf("the code that was used on both sides, once more: %v", r)
		}
		s.cli("user", "show", "bob")
		s.verify()
	}
	var acts admin.ActList
	reported := 0
	for _, s := range all {
		s.json(&acts, "audit", "list", "--here", "--acts")
		for _, a := range acts.Acts {
			if a.Verb == "used_on_both_sides" {
				reported++
			}
		}
	}
	if reported == 0 {
		t.Error("a code that was used on both sides is reported nowhere")
	}
}
