package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// threeCoordinators founds one and has two others join it.
func threeCoordinators(t *testing.T) []*server {
	t.Helper()
	var all []*server
	for i := range 3 {
		s := prepare(t, "")
		s.write(s.config, fmt.Sprintf("name: c%d\ndata_dir: %s\nlisten:\n  coordinator: %s\n  peer: %s\n", i+1, s.data, freeAddress(t), freeAddress(t)))
		if i == 0 {
			s.initCoordinator()
		} else {
			s.joinCoordinator(all[0].colleagueCode())
		}
		all = append(all, s)
	}
	for _, s := range all {
		s.colleagues(3, 3)
	}
	return all
}

// colleagueCode makes a code that admits another coordinator.
func (s *server) colleagueCode() string {
	s.t.Helper()
	var doc struct{ Code, Role string }
	await(s.t, "a code for a coordinator", func() bool {
		r := s.try("", "coordinator", "activation", "create", "--coordinator", "--json")
		return r.code == 0 && document(r.stdout, &doc) == nil && doc.Role == mfa.RoleCoordinator
	})
	return doc.Code
}

// joinCoordinator admits a prepared machine as another coordinator and starts it.
func (s *server) joinCoordinator(code string) {
	s.t.Helper()
	if r := countersign(s.t, nil, code, "coordinator", "join", "-", "--yes", "--config", s.config); r.code != 0 {
		s.t.Fatalf("coordinator join: exit %d\n%s", r.code, r.stderr)
	}
	s.coordinate()
}

// colleagues waits until there are n coordinators of which so many vote and all but the silent
// ones answer, and one leads; it returns that one's name.
func (s *server) colleagues(n, votes int, silent ...string) (leads string) {
	s.t.Helper()
	var last []group.ColleagueView
	defer func() {
		if s.t.Failed() {
			s.t.Logf("coordinators: %+v", last)
		}
	}()
	await(s.t, "the coordinators", func() bool {
		var o group.Overview
		r := s.try("", "coordinator", "status", "--json") // one that joins again does not answer for a moment
		if r.code != 0 || document(r.stdout, &o) != nil {
			return false
		}
		last = o.Coordinators
		voters := 0
		leads = ""
		for _, c := range last {
			if c.Reachable == slices.Contains(silent, c.Name) {
				return false
			}
			if c.Leads {
				leads = c.Name
			}
			if c.Voter {
				voters++
			}
		}
		return len(last) == n && voters == votes && leads != ""
	})
	return leads
}

// Of three coordinators one is killed: a group is founded, a server joins, an epoch is
// granted, as ever. With two gone each verb says so, and the group goes on; one that was
// taken out for good is told.
func TestThreeCoordinators(t *testing.T) {
	t.Parallel()
	all := threeCoordinators(t)
	code := all[1].colleagueCode()
	n1 := newMember(t, "n1")
	if r := countersign(t, nil, code, "activate", "-", "--yes", "--config", n1.config); r.code != 1 || !strings.Contains(r.stderr, "coordinator join") {
		t.Errorf("a server with a coordinator's code: exit %d %s", r.code, r.stderr)
	}
	leads := all[0].colleagues(3, 3)
	i := slices.IndexFunc(all, func(s *server) bool { return serverName(t, s) == leads })
	dead, a, b := all[i], all[(i+1)%3], all[(i+2)%3]
	dead.kill9()

	// With one gone: found, join, see.
	var doc struct{ Code string }
	await(t, "a founding code", func() bool {
		r := a.try("", "coordinator", "activation", "create", "--group", "corp", "--json")
		return r.code == 0 && document(r.stdout, &doc) == nil
	})
	n1.activate(doc.Code)
	if urls := readText(t, n1.config); strings.Count(urls, "https://127.0.0.1:") != 3 {
		t.Errorf("the first server knows other coordinators than three:\n%s", urls)
	}
	n1.start()
	n2 := newMember(t, "n2")
	n2.activate(n1.code())
	n2.start()
	n1.settled(2)
	n2.cli("user", "add", "alice")
	a.sees("corp", 2, "n1")
	b.sees("corp", 2, "n1")

	check := a.doctorCheck("coordinator " + leads)
	if check.OK || check.Layer != "tcp" || !strings.Contains(check.NextStep, "countersign-coordinator") {
		t.Errorf("doctor says of the dead one: %+v", check)
	}
	if out := a.cli("audit", "list", "--acts"); !strings.Contains(out, "activation create") {
		t.Errorf("what was done at it: %s", out)
	}

	// An epoch is granted, while servers ask the one that is dead too.
	n1.kill9()
	var done mfa.DisasterPromotion
	last := ""
	await(t, "the grant", func() bool {
		r := n2.try("", "group", "promote", "--disaster", "--confirm", "corp/1", "--json")
		last = r.stderr
		return r.code == 0 && document(r.stdout, &done) == nil
	})
	if done.Unconfirmed || done.NewEpoch != 2 || done.NewMaster != "n2" {
		t.Errorf("promoted: %+v, last refusal %s", done, last)
	}
	a.sees("corp", 1, "n2")

	// With two gone nothing is decided here, and the group goes on.
	b.kill9()
	await(t, "no majority", func() bool { return slices.Contains(rules(a.overview()), group.RuleNoMajority) })
	for _, verb := range [][]string{
		{"activation", "create", "--group", "other"}, {"activation", "create", "--coordinator"}, {"retire", "corp/n1", "--yes"}, {"forget", serverName(t, b), "--yes"}, {"leave", "--yes"},
	} {
		if r := a.try("", append([]string{"coordinator"}, verb...)...); r.code != 1 || !strings.Contains(r.stderr, "no majority of the coordinators answers") || !strings.Contains(r.stderr, leads) {
			t.Errorf("%v without a majority: exit %d %s", verb, r.code, r.stderr)
		}
	}
	if o := a.overview(); len(o.Groups) != 1 || o.Groups[0].Epoch != 2 || len(o.Coordinators) != 3 {
		t.Errorf("without a majority it knows %+v", o)
	}
	n2.cli("user", "add", "bob")

	// Started alone it serves what it can; with a second one everything works again.
	a.stop()
	a.coordinate()
	b.coordinate()
	a.colleagues(3, 3, leads)
	a.sees("corp", 1, "n2")
	await(t, "a server retired", func() bool { return b.try("", "coordinator", "retire", "corp/n1", "--yes").code == 0 })

	// The dead one is taken out, and told when it comes back; it may join again.
	b.cli("coordinator", "forget", leads, "--yes")
	b.colleagues(2, 1)
	dead.proc = launch(t, dead.log, "coordinator", "--config", dead.config)
	await(t, "its end", func() bool { return !dead.proc.alive() })
	if !strings.Contains(dead.log.String(), "was taken out by the others") {
		t.Error("a coordinator that was taken out does not say so")
	}
	dead.joinCoordinator(a.colleagueCode())
	leads = a.colleagues(3, 3)
	dead.sees("corp", 1, "n2")

	// The one that leads leaves: another one leads.
	i = slices.IndexFunc(all, func(s *server) bool { return serverName(t, s) == leads })
	gone, rest := all[i], all[(i+1)%3]
	gone.cli("coordinator", "leave", "--yes")
	await(t, "its end", func() bool { return !gone.proc.alive() })
	if now := rest.colleagues(2, 1); now == leads {
		t.Errorf("%s has left and leads", leads)
	}
	rest.sees("corp", 1, "n2")
}
