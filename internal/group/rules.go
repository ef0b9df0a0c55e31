package group

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Rule names what is wrong in a group; scripts read it.
type Rule string

// The rules that a coordinator watches.
const (
	RuleTwoMasters  Rule = "two_masters"  // more than one server says that it is the master
	RuleNoMaster    Rule = "no_master"    // none does
	RuleStaleServer Rule = "stale_server" // it is silent, or far behind the master
	RuleOtherGroup  Rule = "other_group"  // it says that it is of another group than it was admitted to
	RuleSameName    Rule = "same_name"    // two servers run under one name
	RuleSplitEpoch  Rule = "split_epoch"  // equal epochs with different cluster ids: two databases that both count
	RuleLowerEpoch  Rule = "lower_epoch"  // it serves an epoch that has ended
	RuleVersionSkew Rule = "version_skew" // the servers run different versions
	RuleClockSkew   Rule = "clock_skew"   // its clock is wrong
	RuleNoMajority  Rule = "no_majority"  // of the independent coordinators: none of them leads
)

// Limits are the bounds of the rules that have one.
type Limits struct {
	Silent time.Duration // a server that was not heard for so long is stale
	Behind int64         // revisions behind the master from which one is
	Skew   time.Duration // a clock may be off by so much
}

// DefaultLimits are those that servers and coordinators use.
var DefaultLimits = Limits{Silent: 15 * time.Second, Behind: 5000, Skew: 10 * time.Second}

// Violation is one rule that a group breaks.
type Violation struct {
	Rule     Rule     `json:"rule"`
	Group    string   `json:"group"`
	Servers  []string `json:"servers"` // those concerned, by name
	Detail   string   `json:"detail"`
	NextStep string   `json:"next_step"`
}

// Violations judges what a coordinator has heard: all servers of all groups on its record,
// each with its newest heartbeat, and servers that run under the name of another besides. It
// is pure; the order of the answer depends on the groups' and servers' names alone.
func Violations(now time.Time, seen []Seen, l Limits) []Violation {
	groups := map[string][]Seen{}
	for _, s := range seen {
		groups[s.Group] = append(groups[s.Group], s)
	}
	var all []Violation
	for name, servers := range groups {
		g := watched{name: name, now: now, limits: l, runs: byName(servers), all: newest(byName(servers))}
		for _, s := range g.all {
			if s.alive(now, l) && s.Report.Group == name {
				g.alive = append(g.alive, s)
				g.epoch = max(g.epoch, s.Report.Epoch)
			}
		}
		for _, rule := range []func() []Violation{g.masters, g.split, g.lower, g.stale, g.others, g.names, g.versions, g.clocks} {
			all = append(all, rule()...)
		}
	}
	slices.SortStableFunc(all, func(a, b Violation) int { return cmp.Compare(a.Group, b.Group) })
	return all
}

// watched is one group under the rules.
type watched struct {
	name   string
	now    time.Time
	limits Limits
	runs   []Seen // all that were heard of the group, by name
	all    []Seen // of each server the newest
	alive  []Seen // those that were heard lately and say that they are of it
	epoch  uint64 // the highest that one of them serves
}

func (g *watched) violation(r Rule, servers []Seen, next, format string, args ...any) Violation {
	v := Violation{Rule: r, Group: g.name, Servers: []string{}, Detail: fmt.Sprintf(format, args...), NextStep: next}
	for _, s := range servers {
		if !slices.Contains(v.Servers, s.Name) {
			v.Servers = append(v.Servers, s.Name)
		}
	}
	return v
}

// masters: there is exactly one that leads and has its majority.
func (g *watched) masters() []Violation {
	var lead []Seen
	for _, s := range g.alive {
		if s.Report.Leads() {
			lead = append(lead, s)
		}
	}
	// What a server last said is a moment old: one that another has taken over from since is none.
	lead = slices.DeleteFunc(slices.Clone(lead), func(s Seen) bool {
		return slices.ContainsFunc(lead, func(o Seen) bool { return o.Name != s.Name && o.Led.After(s.Last) })
	})
	switch {
	case len(lead) > 1 && sameEpoch(lead):
		return []Violation{g.violation(RuleTwoMasters, lead, "run `countersign doctor` on both; the one that has lost its majority stops by itself within seconds; if they stay two, stop one of them",
			"%s say both that they are the master of epoch %d", names(lead), lead[0].Report.Epoch)}
	case len(lead) > 1:
		return []Violation{g.violation(RuleTwoMasters, lead, "let the servers of the lower epoch reach one of the higher: they give way by themselves at the first contact",
			"%s are masters of different epochs (%s)", names(lead), epochs(lead))}
	case len(lead) == 0 && len(g.all) > 0:
		return []Violation{g.violation(RuleNoMaster, g.all, "start the servers that are silent, or mend the links between them; `countersign doctor` on one that runs says what fails",
			"none of %d servers says that it is the master; heard from: %s", len(g.all), or(names(g.alive), "none"))}
	}
	return nil
}

// split: one epoch is one database.
func (g *watched) split() []Violation {
	byEpoch := map[uint64]map[string][]Seen{}
	for _, s := range g.alive {
		if s.Report.ClusterID == "" {
			continue
		}
		if byEpoch[s.Report.Epoch] == nil {
			byEpoch[s.Report.Epoch] = map[string][]Seen{}
		}
		byEpoch[s.Report.Epoch][s.Report.ClusterID] = append(byEpoch[s.Report.Epoch][s.Report.ClusterID], s)
	}
	var all []Violation
	for _, epoch := range sortedKeys(byEpoch) {
		ids := byEpoch[epoch]
		if len(ids) < 2 {
			continue
		}
		var servers []Seen
		var sides []string
		for _, id := range sortedKeys(ids) {
			servers = append(servers, ids[id]...)
			sides = append(sides, fmt.Sprintf("%s: %s", id, names(ids[id])))
		}
		all = append(all, g.violation(RuleSplitEpoch, servers, "choose the side whose changes count, and make a server of it the master of a new epoch by a disaster promotion there",
			"epoch %d was started twice, so that there are two databases (%s)", epoch, strings.Join(sides, "; ")))
	}
	return all
}

// lower: a server of an epoch that has ended has not heard of the new one, or cannot follow.
func (g *watched) lower() []Violation {
	var all []Violation
	for _, s := range g.alive {
		if e := s.Report.Epoch; e > 0 && e < g.epoch {
			all = append(all, g.violation(RuleLowerEpoch, []Seen{s}, "let it reach a server of the new epoch on its peer port: it follows by itself; its log says why if it does not",
				"%s serves epoch %d, the group is at epoch %d", s.Name, e, g.epoch))
		}
	}
	return all
}

// stale: each server is heard, and its copy goes on.
func (g *watched) stale() []Violation {
	var all []Violation
	var top int64
	for _, s := range g.alive {
		if s.Report.Leads() && s.Report.Epoch == g.epoch {
			top = max(top, s.Report.Revision)
		}
	}
	for _, s := range g.all {
		behind := top - s.Report.Revision
		switch {
		case s.Last.IsZero():
			all = append(all, g.violation(RuleStaleServer, []Seen{s}, "start it, and let it reach the others; if it is gone for good: `countersign group forget "+s.Name+"`",
				"%s was never heard", s.Name))
		case !s.alive(g.now, g.limits):
			all = append(all, g.violation(RuleStaleServer, []Seen{s}, "start it, or mend the link to it; `countersign doctor` on it says what fails; if it is gone for good: `countersign group forget "+s.Name+"`",
				"%s is silent for %s", s.Name, g.now.Sub(s.Last).Round(time.Second)))
		case s.Report.Epoch == g.epoch && top > 0 && behind > g.limits.Behind:
			all = append(all, g.violation(RuleStaleServer, []Seen{s}, "look at the link between it and the master, and at its disk: it catches up by itself when both are well",
				"the copy of %s is %d revisions behind the master's", s.Name, behind))
		}
	}
	return all
}

// others: a server is of the group that it was admitted to.
func (g *watched) others() []Violation {
	var all []Violation
	for _, s := range g.all {
		if s.alive(g.now, g.limits) && s.Report.Group != "" && s.Report.Group != g.name {
			all = append(all, g.violation(RuleOtherGroup, []Seen{s}, "if it belongs here: `countersign group leave` on it, then activate it with a code of this group; if not: `countersign group forget "+s.Name+"` here",
				"%s was admitted to group %s, but says that it is of group %s", s.Name, g.name, s.Report.Group))
		}
	}
	return all
}

// names: two that speak in turn under one name are two machines with one identity, as a
// copied disk makes them. One that was started again has fallen silent before.
func (g *watched) names() []Violation {
	var all []Violation
	for i, a := range g.runs {
		for _, b := range g.runs[i+1:] {
			if a.Name != b.Name || a.Report.Instance == b.Report.Instance || !a.alive(g.now, g.limits) || !b.alive(g.now, g.limits) ||
				!a.Last.After(b.First) || !b.Last.After(a.First) {
				continue
			}
			all = append(all, g.violation(RuleSameName, []Seen{a}, "stop the one that is not to be "+a.Name+", empty its data folder, give it a name of its own in its node file, and activate it",
				"two servers run as %s: started %s and %s, at %s and %s", a.Name, stamp(a.Report.Since), stamp(b.Report.Since), or(a.Address, "?"), or(b.Address, "?")))
		}
	}
	return all
}

// versions: all run the same program, but for the time of an upgrade.
func (g *watched) versions() []Violation {
	by := map[string][]Seen{}
	for _, s := range g.alive {
		by[s.Report.Version] = append(by[s.Report.Version], s)
	}
	if len(by) < 2 {
		return nil
	}
	var text []string
	for _, v := range sortedKeys(by) {
		text = append(text, fmt.Sprintf("%s: %s", or(v, "?"), names(by[v])))
	}
	return []Violation{g.violation(RuleVersionSkew, g.alive, "upgrade the servers that are behind, one after the other", "the servers run different versions (%s)", strings.Join(text, "; "))}
}

// clocks: codes are good for one time only, and certificates too.
func (g *watched) clocks() []Violation {
	var all []Violation
	for _, s := range g.alive {
		if s.Offset.Abs() > g.limits.Skew {
			all = append(all, g.violation(RuleClockSkew, []Seen{s}, "set the clocks of both machines right with chrony or systemd-timesyncd; look with timedatectl",
				"the clock of %s is %s", s.Name, Offset(s.Offset)))
		}
	}
	return all
}

// Offset says by how much another clock differs from ours.
func Offset(d time.Duration) string {
	if d < 0 {
		return d.Abs().Round(100*time.Millisecond).String() + " behind ours"
	}
	return d.Round(100*time.Millisecond).String() + " ahead of ours"
}

func byName(all []Seen) []Seen {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b Seen) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// newest returns of each server the run that was heard last. runs is ordered by name.
func newest(runs []Seen) []Seen {
	var all []Seen
	for _, r := range runs {
		if last := len(all) - 1; last >= 0 && all[last].Name == r.Name {
			if r.Last.After(all[last].Last) {
				all[last] = r
			}
			continue
		}
		all = append(all, r)
	}
	return all
}

func sameEpoch(all []Seen) bool {
	return !slices.ContainsFunc(all, func(s Seen) bool { return s.Report.Epoch != all[0].Report.Epoch })
}

func names(all []Seen) string {
	var n []string
	for _, s := range all {
		n = append(n, s.Name)
	}
	return strings.Join(n, ", ")
}

func epochs(all []Seen) string {
	var n []string
	for _, s := range all {
		n = append(n, fmt.Sprintf("%s: %d", s.Name, s.Report.Epoch))
	}
	return strings.Join(n, ", ")
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func or(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
