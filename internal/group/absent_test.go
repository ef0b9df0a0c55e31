package group

import (
	"strings"
	"testing"
)

func TestNextStepWithoutAMaster(t *testing.T) {
	up := func(name string) Way { return Way{Server: name, Address: name + ":7443", Voter: true, OK: true} }
	down := func(name string) Way { return Way{Server: name, Address: name + ":7443", Voter: true, Layer: "tcp"} }
	sees := func(name, master string) Way { w := up(name); w.Master = master; return w }
	alive := func(w Way) Way { w.Alive = true; return w }
	learner := func(w Way) Way { w.Voter = false; return w }
	for _, c := range []struct {
		name  string
		voter bool
		ways  []Way
		want  string
		not   string
	}{
		{"a pair, the master gone", false, []Way{down("n1")}, "bring n1 at n1:7443 (tcp) back; if it is gone for good, run `countersign group promote --disaster` here", ""},
		{"a pair between the steps of a promotion", true, []Way{down("n1")}, "bring n1 at n1:7443 (tcp) back; its vote is needed", "disaster"},
		{"three, the majority gone", true, []Way{down("n1"), down("n3")}, "look at its own network first, then bring them back (n1 at n1:7443 (tcp), n3 at n3:7443 (tcp))", ""},
		{"three, one more is there", true, []Way{down("n1"), up("n3")}, "wait a few seconds for an election", "disaster"},
		{"five, two left and a learner", true, []Way{down("n1"), up("n2"), down("n3"), down("n4"), learner(up("n6"))}, "2 of 5 votes are there and 3 are needed: bring back n1 at", ""},
		{"all are there", true, []Way{up("n1"), up("n3")}, "wait a few seconds", "disaster"},
		{"only the link to the master is cut", true, []Way{down("n1"), sees("n3", "n1")}, "n3 is in contact with the master, n1, which this server does not reach: mend the way from here to n1 at n1:7443 (tcp)", "disaster"},
		{"the master is reached, its database is not heard", false, []Way{sees("n1", "n1")}, "the master, n1, is reached", "disaster"},
		{"a pair, the master lives", false, []Way{alive(down("n1"))}, "n1 at n1:7443 (tcp): something answers there", "disaster"},
		{"three, one of the others lives", true, []Way{alive(down("n1")), down("n3")}, "n1 at n1:7443 (tcp): something answers there", "disaster"},
		{"five, one of the missing lives", true, []Way{down("n1"), up("n2"), alive(down("n3")), down("n4")}, "n3 at n3:7443 (tcp): something answers there", "disaster"},
		{"a pair between the steps, the other lives", true, []Way{alive(down("n1"))}, "its vote is needed", "disaster"},
		{"a server alone", true, nil, "look at the log and the disk", "disaster"},
	} {
		got := Absent{Server: "n2", Voter: c.voter, Ways: c.ways}.NextStep()
		if !strings.Contains(got, c.want) || c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	// A witness cannot be promoted, so it does not ask for that.
	for _, c := range []struct {
		name string
		ways []Way
		want string
	}{
		{"none of two is left", []Way{down("n1"), down("n3")}, "restore a backup on another machine"},
		{"the only one is lost", []Way{down("n1")}, "restore a backup on another machine"},
		{"some are left", []Way{down("n1"), up("n2"), down("n3"), down("n4")}, "--disaster` on one of those that are left"},
	} {
		got := Absent{Server: "w1", Voter: true, Witness: true, Ways: c.ways}.NextStep()
		if !strings.Contains(got, c.want) || strings.Contains(got, "--disaster` here") {
			t.Errorf("a witness, %s: %s", c.name, got)
		}
	}
}
