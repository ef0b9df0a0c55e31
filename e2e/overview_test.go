package e2e_test

import (
	"slices"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/group"
)

// overview is what the coordinator says, asked on this server.
func (s *server) overview() (o group.Overview) {
	s.t.Helper()
	s.json(&o, "coordinator", "status")
	return o
}

func rules(o group.Overview) (all []group.Rule) {
	for _, v := range o.Violations {
		all = append(all, v.Rule)
	}
	return all
}

// The inside coordinator tells the same on every server; without a master each tells what it
// sees itself.
func TestCoordinatorStatus(t *testing.T) {
	all := newGroup(t, 2)
	m, rep := all[0], all[1]
	m.user("alice", "")
	for _, s := range all {
		await(t, "both heard", func() bool {
			o := s.overview()
			return o.By == "n1" && len(o.Groups) == 1 && o.Groups[0].Master == "n1" && o.Groups[0].Alive == 2 && len(o.Servers) == 2 &&
				len(o.Violations) == 0 && o.Servers[1].Role == "replica" && o.Servers[1].Users == 1 && !o.Servers[1].Expires.IsZero() && len(o.Servers[1].Listeners) > 2
		})
	}
	m.kill9()
	await(t, "the rules that a dead master breaks", func() bool {
		o := rep.overview()
		r := rules(o)
		return o.By == "n2" && slices.Contains(r, group.RuleNoMaster) && slices.Contains(r, group.RuleStaleServer)
	})
	t.Log(rep.cli("coordinator", "status"))

	// The same as alarms, and the coordinator's last answer, also after a start with nobody there.
	for _, when := range []string{"master gone", "started without it"} {
		var st admin.Status
		await(t, when+": alarms", func() bool {
			rep.answer(&st, "status")
			var names []string
			for _, a := range st.Alarms {
				names = append(names, a.Name+" "+a.Server)
			}
			return slices.Contains(names, "no_master n2") && slices.Contains(names, "unreachable n1")
		})
		if !st.Degraded || st.Master != "" || st.Coordinator == nil || st.Coordinator.Master != "n1" || st.Coordinator.By != "n1" || st.Coordinator.At.IsZero() {
			t.Errorf("%s: status %+v, coordinator's answer %+v", when, st, st.Coordinator)
		}
		if st.Since.Before(st.Started) && when != "master gone" || st.Since.After(time.Now()) {
			t.Errorf("%s: degraded since %s, started %s", when, st.Since, st.Started)
		}
		rep.kill9()
		rep.start()
	}
	m.start()
	await(t, "no alarms", func() bool {
		var st admin.Status
		rep.answer(&st, "status")
		return len(st.Alarms) == 0 && !st.Degraded && st.Since.After(st.Started)
	})
}
