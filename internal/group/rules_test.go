package group

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// watch is a healthy group of three, heard a second ago.
func watch(change func(s []Seen) []Seen) []Seen {
	var all []Seen
	for _, name := range []string{"n1", "n2", "n3"} {
		all = append(all, Seen{Name: name, Group: "corp", Address: name + ":7443", First: noon.Add(-time.Hour), Last: noon.Add(-time.Second),
			Report: Report{Name: name, Group: "corp", Instance: "run of " + name, Version: "1.0", Role: "replica", Master: "n1", Epoch: 4,
				ClusterID: "c4", Revision: 100_000, Quorum: true, Since: noon.Add(-time.Hour)}})
	}
	all[0].Report.Role = "master"
	return change(all)
}

func TestRules(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s []Seen) []Seen
		want   map[Rule][]string // servers by rule
		says   string            // in a detail
	}{
		{"all is well", func(s []Seen) []Seen { return s }, nil, ""},
		{"a moment's lag is none", func(s []Seen) []Seen { s[1].Report.Revision -= 5000; return s }, nil, ""},
		{"two masters in an epoch", func(s []Seen) []Seen { s[2].Report.Role = "master"; return s },
			map[Rule][]string{RuleTwoMasters: {"n1", "n3"}}, "n1, n3 say both that they are the master of epoch 4"},
		{"the master has just moved", func(s []Seen) []Seen {
			s[2].Report.Role, s[2].Led = "master", s[0].Last.Add(time.Millisecond)
			return s
		}, nil, ""},
		{"two that go on saying so", func(s []Seen) []Seen {
			s[2].Report.Role, s[2].Led = "master", s[0].Last.Add(-time.Millisecond)
			return s
		}, map[Rule][]string{RuleTwoMasters: {"n1", "n3"}}, ""},
		{"an old master that has lost its majority is none", func(s []Seen) []Seen { s[2].Report.Role = "master"; s[2].Report.Quorum = false; return s }, nil, ""},
		{"masters of two epochs", func(s []Seen) []Seen {
			s[2].Report.Role, s[2].Report.Epoch, s[2].Report.ClusterID = "master", 5, "c5"
			return s
		}, map[Rule][]string{RuleTwoMasters: {"n1", "n3"}, RuleLowerEpoch: {"n1", "n2"}}, "n1: 4, n3: 5"},
		{"no master", func(s []Seen) []Seen { s[0].Report.Role = "replica"; return s }, map[Rule][]string{RuleNoMaster: {"n1", "n2", "n3"}}, "heard from: n1, n2, n3"},
		{"a silent master", func(s []Seen) []Seen { s[0].Last = noon.Add(-16 * time.Second); return s },
			map[Rule][]string{RuleNoMaster: {"n1", "n2", "n3"}, RuleStaleServer: {"n1"}}, "n1 is silent for 16s"},
		{"nobody is heard", func(s []Seen) []Seen {
			for i := range s {
				s[i] = Seen{Name: s[i].Name, Group: "corp"}
			}
			return s
		}, map[Rule][]string{RuleNoMaster: {"n1", "n2", "n3"}, RuleStaleServer: {"n1", "n2", "n3"}}, "n2 was never heard"},
		{"far behind", func(s []Seen) []Seen { s[1].Report.Revision = 90_000; return s }, map[Rule][]string{RuleStaleServer: {"n2"}}, "10000 revisions behind"},
		{"another group", func(s []Seen) []Seen { s[1].Report.Group, s[1].Report.Role = "lab", "master"; return s },
			map[Rule][]string{RuleOtherGroup: {"n2"}}, "admitted to group corp, but says that it is of group lab"},
		{"two under one name", func(s []Seen) []Seen {
			twin := s[1]
			twin.Report.Instance, twin.First, twin.Address = "another run", noon.Add(-10*time.Second), "10.0.0.9:7443"
			return append(s, twin)
		}, map[Rule][]string{RuleSameName: {"n2"}}, "at n2:7443 and 10.0.0.9:7443"},
		{"started again a moment ago", func(s []Seen) []Seen {
			old := s[1]
			s[1].Report.Instance, s[1].First = "the next run", noon.Add(-2*time.Second)
			old.Last = noon.Add(-5 * time.Second)
			return append(s, old)
		}, nil, ""},
		{"started again a while ago", func(s []Seen) []Seen {
			old := s[1]
			s[1].Report.Instance, s[1].First = "the next run", noon.Add(-20*time.Second)
			old.Last = noon.Add(-25 * time.Second)
			return append(s, old)
		}, nil, ""},
		{"one epoch twice", func(s []Seen) []Seen { s[2].Report.ClusterID, s[2].Report.Role = "c4 too", "master"; return s },
			map[Rule][]string{RuleTwoMasters: {"n1", "n3"}, RuleSplitEpoch: {"n1", "n2", "n3"}}, "c4: n1, n2; c4 too: n3"},
		{"an epoch that has ended", func(s []Seen) []Seen { s[1].Report.Epoch, s[1].Report.ClusterID = 3, "c3"; return s },
			map[Rule][]string{RuleLowerEpoch: {"n2"}}, "n2 serves epoch 3, the group is at epoch 4"},
		{"versions", func(s []Seen) []Seen { s[2].Report.Version = "1.1"; return s },
			map[Rule][]string{RuleVersionSkew: {"n1", "n2", "n3"}}, "1.0: n1, n2; 1.1: n3"},
		{"a clock behind", func(s []Seen) []Seen { s[1].Offset = -11 * time.Second; return s }, map[Rule][]string{RuleClockSkew: {"n2"}}, "the clock of n2 is 11s behind ours"},
		{"a clock ahead", func(s []Seen) []Seen { s[1].Offset = time.Minute; return s }, map[Rule][]string{RuleClockSkew: {"n2"}}, "1m0s ahead of ours"},
		{"a clock as good as any", func(s []Seen) []Seen { s[1].Offset = 10 * time.Second; return s }, nil, ""},
		{"nobody on record", func([]Seen) []Seen { return nil }, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := Violations(noon, watch(c.change), DefaultLimits)
			got := map[Rule][]string{}
			var details []string
			for _, v := range all {
				got[v.Rule] = append(got[v.Rule], v.Servers...)
				slices.Sort(got[v.Rule])
				details = append(details, v.Detail)
				if v.Group != "corp" || v.NextStep == "" {
					t.Errorf("not all is said: %+v", v)
				}
			}
			if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v\n%s", got, c.want, strings.Join(details, "\n"))
			}
			if !strings.Contains(strings.Join(details, "\n"), c.says) {
				t.Errorf("%q is not in\n%s", c.says, strings.Join(details, "\n"))
			}
		})
	}
}

// One group's trouble is not another's, and the answer does not depend on the order.
func TestRulesOfTwoGroups(t *testing.T) {
	lab := watch(func(s []Seen) []Seen {
		for i := range s {
			s[i].Group, s[i].Report.Group, s[i].Report.ClusterID = "lab", "lab", "l4"
		}
		s[0].Report.Role = "replica"
		return s
	})
	all := append(watch(func(s []Seen) []Seen { s[1].Offset = time.Hour; return s }), lab...)
	want := Violations(noon, all, DefaultLimits)
	if len(want) != 2 || want[0].Group != "corp" || want[0].Rule != RuleClockSkew || want[1].Group != "lab" || want[1].Rule != RuleNoMaster {
		t.Fatalf("got %+v", want)
	}
	slices.Reverse(all)
	if got := Violations(noon, all, DefaultLimits); !reflect.DeepEqual(got, want) {
		t.Errorf("in another order: %+v\nwant %+v", got, want)
	}
}

func TestHeartbeats(t *testing.T) {
	var h Heartbeats
	if _, ok := h.Last("n1"); ok || len(h.All()) != 0 {
		t.Error("somebody was heard")
	}
	beat := func(instance string, rev int64, after time.Duration) {
		h.Beat("n1", "corp", "a:1", Report{Name: "n1", Instance: instance, Revision: rev}, time.Second, noon.Add(after))
	}
	beat("one", 1, 0)
	beat("one", 1, time.Second)
	beat("one", 2, 2*time.Second)
	beat("one", 2, 3*time.Second)
	s, _ := h.Last("n1")
	if !s.First.Equal(noon) || !s.Last.Equal(noon.Add(3*time.Second)) || !s.Moved.Equal(noon.Add(2*time.Second)) || s.Offset != time.Second || s.Group != "corp" {
		t.Errorf("got %+v", s)
	}
	beat("two", 2, 10*time.Second)
	if all := h.All(); len(all) != 2 || all[0].Report.Instance != "one" {
		t.Errorf("after a restart: %+v", all)
	}
	if s, _ := h.Last("n1"); s.Report.Instance != "two" {
		t.Errorf("the last is %+v", s)
	}
	beat("two", 2, 2*time.Minute)
	if all := h.All(); len(all) != 1 || all[0].Report.Instance != "two" {
		t.Errorf("the run before is still remembered: %+v", all)
	}
	h.Forget(func(name string) bool { return name != "n1" })
	if len(h.All()) != 0 {
		t.Error("a server that was taken out is remembered")
	}
}

func TestOverview(t *testing.T) {
	seen := watch(func(s []Seen) []Seen {
		s[0].Report.Users = 7
		s[1].Report.Revision -= 3
		s[2].Last = noon.Add(-time.Minute)
		return append(s, Seen{Name: "n4", Group: "corp", Address: "n4:7443"})
	})
	o := NewOverview("n1", noon, seen, DefaultLimits)
	if want := (GroupView{Name: "corp", Epoch: 4, Master: "n1", Servers: 4, Alive: 2, Users: 7}); len(o.Groups) != 1 || o.Groups[0] != want {
		t.Errorf("groups %+v", o.Groups)
	}
	if len(o.Servers) != 4 || o.Servers[1].Lag != 3 || !o.Servers[1].Alive || o.Servers[2].Alive || o.Servers[3].Role != "" || o.Servers[3].Lag != 0 {
		t.Errorf("servers %+v", o.Servers)
	}
	if len(o.Violations) != 2 || o.Violations[0].Servers[0] != "n3" || o.Violations[1].Servers[0] != "n4" {
		t.Errorf("violations %+v", o.Violations)
	}
	// Without a master the others tell how many users there are, and revisions of another epoch
	// are compared with nothing.
	for i := range seen {
		seen[i].Report.Users = 5 + i
	}
	seen[0].Last = noon.Add(-time.Minute)
	if o := NewOverview("n2", noon, seen, DefaultLimits); o.Groups[0].Master != "" || o.Groups[0].Users != 6 {
		t.Errorf("without a master: %+v", o.Groups)
	}
	seen[0].Last, seen[0].Report.Epoch, seen[0].Report.Revision = noon, 5, 1_000_000_000
	if o := NewOverview("n1", noon, seen, DefaultLimits); o.Groups[0].Epoch != 5 || o.Servers[0].Lag != 0 || o.Servers[1].Lag != 0 {
		t.Errorf("two epochs: %+v", o.Servers)
	}
	if o := NewOverview("n1", noon, nil, DefaultLimits); o.Groups == nil || o.Servers == nil || o.Violations == nil {
		t.Error("null in JSON")
	}
}
