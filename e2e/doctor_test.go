package e2e_test

import (
	"fmt"
	"net"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
)

// doctor returns what doctor says, and that within its time. It fails if one check does.
func (s *server) doctor() (doc admin.CheckList) {
	s.t.Helper()
	began := time.Now()
	r := s.try("", "doctor", "--json")
	if took := time.Since(began); took > 15*time.Second {
		s.t.Errorf("doctor took %s", took)
	}
	if err := document(r.stdout, &doc); err != nil {
		s.t.Fatalf("doctor: %v\n%s\n%s", err, r.stdout, r.stderr)
	}
	return doc
}

// check returns the check of that name.
func checkOf(t testing.TB, doc admin.CheckList, name string) admin.Check {
	t.Helper()
	for _, c := range doc.Checks {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no check %q in %+v", name, doc.Checks)
	return admin.Check{}
}

// A pair: all is well; the master is stopped, so that its port is open and nobody answers;
// it is gone. The replica says at which layer, what works, and what to do.
func TestDoctorInAGroup(t *testing.T) {
	t.Parallel()
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	var doc admin.CheckList
	defer func() {
		if t.Failed() {
			t.Logf("doctor said last: %+v", doc)
		}
	}()
	await(t, "all is well", func() bool {
		doc = rep.doctor()
		ok := doc.SignIns.OK && doc.Changes.OK
		for _, name := range []string{"master", "server n1", "coordinator at n1", "coordinator at n2", "peer certificate"} {
			ok = ok && checkOf(t, doc, name).OK
		}
		return ok
	})
	t.Log(rep.try("", "doctor").stdout) // the machine's own clock may be a fault
	for _, c := range []struct {
		name, layer string
		arrange     func()
	}{
		{"stopped", "tls", func() { _ = syscall.Kill(-m.proc.cmd.Process.Pid, syscall.SIGSTOP) }},
		{"killed", "tcp", m.kill9},
	} {
		c.arrange()
		await(t, c.name, func() bool { var st admin.Status; rep.answer(&st, "status"); return st.Degraded })
		doc = rep.doctor()
		way, master := checkOf(t, doc, "server n1"), checkOf(t, doc, "master")
		if way.OK || way.Layer != c.layer || way.NextStep == "" {
			t.Errorf("%s: the way to the master: %+v", c.name, way)
		}
		if master.OK || master.Target != "n1" || !strings.Contains(master.Detail, "the coordinator's last answer") || !strings.Contains(master.NextStep, "bring n1 at ") {
			t.Errorf("%s: the master: %+v", c.name, master)
		}
		if !doc.SignIns.OK || doc.Changes.OK || doc.OK {
			t.Errorf("%s: sign-ins %+v, changes %+v", c.name, doc.SignIns, doc.Changes)
		}
	}
	r := rep.try("", "doctor")
	if r.code != 1 {
		t.Errorf("doctor with faults: exit %d", r.code)
	}
	t.Log(r.stdout)
}

// The peer ports of a pair do not reach each other, but the coordinator's port of the master
// does: it is not gone, and nobody is told to begin a new epoch.
func TestDoctorSeesThatTheMasterLives(t *testing.T) {
	t.Parallel()
	all := []*server{newMember(t, "n1"), newMember(t, "n2")}
	var lines []*line
	for _, s := range all {
		port, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		to := regexp.MustCompile(`(?m)^  peer: (.*)$`).FindStringSubmatch(readText(t, s.config))[1]
		s.write(s.config, readText(t, s.config)+fmt.Sprintf("advertise: {peer: %q}\n", port.Addr()))
		l := &line{to: to, port: port, dial: func() (net.Conn, error) { return net.Dial("tcp", to) }}
		l.wg.Go(l.serve)
		t.Cleanup(l.close)
		lines = append(lines, l)
	}
	m, rep := all[0], all[1]
	m.found()
	m.start()
	rep.activate(m.code())
	rep.start()
	m.settled(2)
	for _, l := range lines {
		l.close()
	}
	await(t, "the replica is alone", func() bool { var st admin.Status; rep.answer(&st, "status"); return st.Degraded })
	doc := rep.doctor()
	way, coordinator, master := checkOf(t, doc, "server n1"), checkOf(t, doc, "coordinator at n1"), checkOf(t, doc, "master")
	if way.OK || way.Layer != "tcp" || !coordinator.OK {
		t.Errorf("the way to the master: %+v, to its coordinator's port: %+v", way, coordinator)
	}
	if master.OK || !strings.Contains(master.NextStep, "something answers there, so it is not gone") || strings.Contains(master.NextStep, "--disaster") {
		t.Errorf("the master: %+v", master)
	}
	t.Log(rep.try("", "doctor").stdout)
	m.kill9()
	if master = checkOf(t, rep.doctor(), "master"); !strings.Contains(master.NextStep, "--disaster") {
		t.Errorf("the master, killed: %+v", master)
	}
}
