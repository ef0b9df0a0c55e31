package e2e_test

import (
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
