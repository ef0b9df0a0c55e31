package e2e_test

import (
	"syscall"
	"testing"

	"countersign/internal/radius"
)

// What the master of a pair settled while the other server hung would be lost with its disk:
// the verdict says so, and status counts it. People are let in all the same.
func TestUnreplicated(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	m.application("none", atNone, "--first-factor", "none")
	m.user("hank", "")
	hank := m.hotp("hank")
	m.settled(2)
	ask := func() {
		t.Helper()
		if r := newNAS(t, atNone, m.radius).ask("hank", hank.press(), nil); r.code != radius.AccessAccept {
			t.Fatalf("a sign-in at the master: %v (%s)", r, m.reason("hank"))
		}
	}
	marked := func() bool { t.Helper(); return m.attempts("--user", "hank")[0].Unreplicated }
	await(t, "a verdict that the replica has", func() bool { ask(); return !marked() }) // on a busy machine not the first
	before := m.status().Unreplicated
	signal := func(how syscall.Signal) {
		t.Helper()
		if err := syscall.Kill(-rep.proc.cmd.Process.Pid, how); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	defer signal(syscall.SIGCONT)
	ask()
	if !marked() || m.status().Unreplicated != before+1 {
		t.Errorf("a verdict that the replica cannot have: marked %v, %d counted, want %d", marked(), m.status().Unreplicated, before+1)
	}
}
