package e2e_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gone checks that a server has left its group: it ends, and says so when it is started.
func (s *server) gone() {
	s.t.Helper()
	await(s.t, "the end of the server that left", func() bool { return s.proc == nil || !s.proc.alive() })
	if r := countersign(s.t, nil, "", "server", "--config", s.config); r.code != 1 || !strings.Contains(r.oneLine(s.t), "has left its group") {
		s.t.Errorf("a server that left, started again: exit %d: %s", r.code, r.stderr)
	}
}

// A machine in a group whose master it does not reach is put right with two commands all the
// same: one that was activated and never started, and one that serves.
func TestLeaveWithoutAMaster(t *testing.T) {
	t.Parallel()
	m := newGroup(t, 1)[0]
	s := newMember(t, "n2")
	s.activate(m.code())
	leave := func(flags ...string) result {
		return countersign(t, nil, "", append([]string{"group", "leave", "--yes", "--config", s.config}, flags...)...)
	}
	if r := leave(); r.code != 1 || !strings.Contains(r.stderr, "no server is running") {
		t.Errorf("leave before the first start: exit %d: %s", r.code, r.stderr)
	}
	if r := countersign(t, nil, m.code(), "activate", "-", "--yes", "--config", s.config); r.code != 1 || !strings.Contains(r.stderr, "group leave --force --config "+s.config) {
		t.Errorf("activated twice: exit %d: %s", r.code, r.stderr)
	}
	if r := leave("--force"); r.code != 0 {
		t.Errorf("an activation given up: exit %d: %s", r.code, r.stderr)
	}
	s.gone()
	m.cli("group", "forget", "n2", "--yes")
	s.activate(m.code())
	s.start()
	m.settled(2)
	if r := leave("--force"); r.code != 0 { // the master answers: as without force
		t.Errorf("leave --force with a master: exit %d: %s", r.code, r.stderr)
	}
	s.gone()
	m.settled(1)
	s.activate(m.code())
	s.start()
	m.settled(2)
	m.kill9()
	await(t, "no master", func() bool { return s.status().Degraded })
	for _, verb := range [][]string{{"leave"}, {"forget", "n1"}} {
		began := time.Now()
		r := s.try("", append([]string{"group", "--yes"}, verb...)...)
		if took := time.Since(began); r.code != 1 || took > 4*time.Second || !strings.Contains(r.stderr, "stays on record") || strings.Contains(r.stderr, "--force") != (verb[0] == "leave") {
			t.Errorf("%v without a master: exit %d after %s: %s", verb, r.code, took, r.stderr)
		}
	}
	if r := leave("--force"); r.code != 0 {
		t.Errorf("leave --force without a master: exit %d: %s", r.code, r.stderr)
	}
	s.gone()
	if !s.recorded("group leave") {
		t.Error("the act is not in the trail")
	}
	m.start()
	m.cli("group", "forget", "n2", "--yes")
	s.activate(m.code())
	s.start()
	m.settled(2)
	if kept, _ := filepath.Glob(filepath.Join(s.data, "left", "*", "trail", "*")); len(kept) == 0 {
		t.Error("the trail of before is gone")
	}
}

// Servers get other addresses, one after the other, by a restart of each.
func TestServersMove(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	for i, s := range all {
		s.stop()
		peer := freeAddress(t)
		s.rewrite("peer", peer)
		s.rewrite("coordinator", freeAddress(t))
		s.start()
		if i == 0 { // the one that votes; the other joins again from where it is. Before that the other must not move.
			await(t, "the group's database knows the new address", func() bool {
				return strings.Contains(s.log.String(), `new address" component=cluster peer=https://`+peer)
			})
		}
		for _, o := range all {
			o.settled(2)
			o.merged()
		}
		for _, m := range all[1-i].members() {
			if _, port, _ := net.SplitHostPort(m.Peer); m.Reachable && m.Name == serverName(t, s) && !strings.Contains(readText(t, s.config), ":"+port+"\"") {
				t.Errorf("the others call %s at %s", m.Name, m.Peer)
			}
		}
		all[1-i].cli("user", "add", "after-"+serverName(t, s))
	}
	s := newMember(t, "n3")
	s.activate(all[1].code()) // the code has the new addresses
	s.start()
	s.settled(3)
}
