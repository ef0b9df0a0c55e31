package e2e_test

import (
	"slices"
	"testing"

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
}
