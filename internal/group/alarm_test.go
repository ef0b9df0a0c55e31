package group

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// calm is n2, a replica of a healthy group of three.
func calm() Situation {
	all := watch(func(s []Seen) []Seen { return s })
	for i := range all {
		all[i].Moved, all[i].Report.Expires = noon.Add(-time.Second), noon.AddDate(0, 2, 0)
	}
	return Situation{Now: noon, Clock: noon, Self: all[1], Grouped: true, Contact: true, LastContact: noon, Before: 99_900, Others: []Seen{all[0], all[2]},
		Answered: map[string]time.Time{"n1": noon.Add(-time.Second), "n3": noon.Add(-time.Second)}, Coordinator: noon.Add(-10 * time.Second), HTTPS: noon.AddDate(0, 2, 0)}
}

func TestAlarms(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(s *Situation)
		want   []string // alarm and server
		says   string
	}{
		{"all is well", func(*Situation) {}, nil, ""},
		{"no master", func(s *Situation) { s.Contact, s.LastContact = false, noon.Add(-time.Minute) }, []string{"no_master n2"}, "since 2026-01-02T11:59:00Z"},
		{"no master since the start", func(s *Situation) { s.Contact, s.LastContact = false, time.Time{} }, []string{"no_master n2"}, "since the start"},
		{"no master, at a witness", func(s *Situation) { s.Contact, s.Idle = false, "this witness votes and signs nobody in" }, []string{"no_master n2"}, ": this witness votes and signs nobody in; changes are refused"},
		{"a server alone", func(s *Situation) {
			*s = Situation{Now: noon, Clock: noon, Self: s.Self, Coordinator: noon.Add(-time.Hour)}
		}, nil, ""},
		{"a server is away", func(s *Situation) { s.Answered["n3"] = noon.Add(-6 * time.Second) }, []string{"unreachable n3"}, "does not answer since 2026-01-02T11:59:54Z"},
		{"a server has never answered", func(s *Situation) { s.Answered["n4"] = time.Time{} }, []string{"unreachable n4"}, "since this server was started"},
		{"a server that was activated just now", func(s *Situation) {
			s.Answered["n4"], s.Joined = time.Time{}, map[string]time.Time{"n4": noon.Add(-4 * time.Second)}
		}, nil, ""},
		{"a server that was activated and not started", func(s *Situation) {
			s.Answered["n4"], s.Joined = time.Time{}, map[string]time.Time{"n4": noon.Add(-6 * time.Second)}
		}, []string{"unreachable n4"}, "since it was activated, at 2026-01-02T11:59:54Z: it may not have been started"},
		{"a server whose clock was ahead when it was activated", func(s *Situation) {
			s.Answered["n4"], s.Joined = time.Time{}, map[string]time.Time{"n4": noon.Add(time.Hour)}
		}, []string{"unreachable n4"}, "since this server was started"},
		{"not yet, since this one was just started", func(s *Situation) { s.Answered["n4"], s.Self.First = time.Time{}, noon.Add(-time.Second) }, nil, ""},
		{"a copy that is behind", func(s *Situation) { s.Self.Report.Revision = 98_999 }, []string{"lag n2"}, "1001 revisions behind that of the master n1"},
		{"a little behind", func(s *Situation) { s.Self.Report.Revision = 99_000 }, nil, ""},
		{"a copy that stands still", func(s *Situation) { s.Others[1].Report.Revision, s.Others[1].Moved = 99_899, noon.Add(-11*time.Second) },
			[]string{"not_replicating n3"}, "stands at revision 99899 for 11s"},
		{"one that stands still because nothing is written", func(s *Situation) { s.Others[1].Moved, s.Before = noon.Add(-time.Hour), 100_000 }, nil, ""},
		{"one that is behind and goes on", func(s *Situation) { s.Others[1].Report.Revision = 50_000 }, nil, ""},
		{"one that is joining", func(s *Situation) {
			s.Others[1].Report.Revision, s.Others[1].Report.Role, s.Others[1].Moved = 0, "joining", noon.Add(-11*time.Second)
		}, nil, ""},
		{"no coordinator", func(s *Situation) { s.Coordinator = noon.Add(-6 * time.Minute) }, []string{"no_coordinator n2"}, "for 6m0s"},
		{"own certificate", func(s *Situation) { s.Self.Report.Expires = noon.AddDate(0, 0, 13) }, []string{"certificate_expiring n2"}, "expires on"},
		{"https certificate", func(s *Situation) { s.HTTPS = noon.Add(-time.Second) }, []string{"certificate_expiring n2"}, "https of this server has expired"},
		{"another's certificate", func(s *Situation) { s.Others[0].Report.Expires = noon.AddDate(0, 0, 1) }, []string{"certificate_expiring n1"}, "the peer port of n1"},
		{"a clock", func(s *Situation) { s.Others[0].Offset = -12 * time.Second }, []string{"clock_skew n1"}, "12s behind ours"},
		{"versions", func(s *Situation) { s.Others[0].Report.Version = "2" }, []string{"version_skew "}, "1.0: n2, n3; 2: n1"},
		{"an epoch that has ended", func(s *Situation) { s.Self.Report.Epoch = 3; s.Self.Report.ClusterID = "c3" }, []string{"lower_epoch n2"}, "n2 serves epoch 3"},
		{"two masters", func(s *Situation) { s.Others[1].Report.Role = "master" }, []string{"two_masters "}, "n1, n3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := calm()
			c.change(&s)
			var got, details []string
			for _, a := range Alarms(s) {
				got, details = append(got, a.Name+" "+a.Server), append(details, a.Detail)
				if a.NextStep == "" || !slices.Contains(AlarmNames, a.Name) {
					t.Errorf("not all is said: %+v", a)
				}
			}
			if !slices.Equal(got, c.want) || !strings.Contains(strings.Join(details, "\n"), c.says) {
				t.Errorf("got %v, want %v\n%s", got, c.want, strings.Join(details, "\n"))
			}
		})
	}
}
