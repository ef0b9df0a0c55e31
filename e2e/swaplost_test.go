package e2e_test

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// swapLost has a pair change places, kills the new master while the old one joins again, which
// has lost its membership by then, and restarts the old one, which stands by.
func swapLost(t *testing.T) (n1, n2 *server) {
	all := newGroup(t, 2)
	n1, n2 = all[0], all[1]
	n2.cli("user", "add", "early")
	c := exec.CommandContext(t.Context(), program, "group", "promote", "--yes", "--data", n2.data)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, "the old master has lost its vote", func() bool {
		for _, m := range n2.members() {
			if m.Name == "n1" && !m.Voter {
				return true
			}
		}
		return false
	})
	n2.kill9()
	_ = c.Process.Kill()
	_ = c.Wait()
	n1.kill9()
	n1.launch()
	await(t, "the old master, standing by", func() bool { return n1.try("", "group", "members").code == 0 }) // until then it tries to join
	if code, why := n1.get("/health/ready"); code == http.StatusOK || !strings.Contains(why, "decides nothing") {
		t.Errorf("a server that lost its membership is ready: %d %s", code, why)
	}
	if r := n1.try("", "user", "add", "late"); r.code != 1 {
		t.Errorf("a change by a copy that does not count: exit %d: %s%s", r.code, r.stdout, r.stderr)
	}
	return n1, n2
}

// The new master is gone for good: a new epoch begins from the old master's copy.
func TestPromotePairNewMasterLost(t *testing.T) {
	t.Parallel()
	n1, n2 := swapLost(t)
	p := n1.lost()
	n1.cli("group", "promote", "--disaster", "--confirm", p.Confirm)
	n1.inEpoch(2, "master")
	n1.ready()
	if !strings.Contains(n1.cli("user", "list"), "early ") {
		t.Error("a user that was acknowledged is lost")
	}
	n1.cli("user", "add", "later")
	n2.start()
	n2.inEpoch(2, "replica")
	n1.settled(2)
}

// The new master comes back: the old one joins it by itself.
func TestPromotePairNewMasterBack(t *testing.T) {
	t.Parallel()
	n1, n2 := swapLost(t)
	n2.start()
	n1.inEpoch(1, "replica")
	n1.ready()
	n2.settled(2)
	await(t, "a change at the old master", func() bool { // on a busy machine contact may be lost for another moment
		r := n1.try("", "user", "add", "later")
		return r.code == 0 || strings.Contains(r.stderr, "exists already")
	})
}
