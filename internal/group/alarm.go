package group

import (
	"fmt"
	"time"
)

// Alarm is something that somebody must look after. Name is one of AlarmNames.
type Alarm struct {
	Name     string    `json:"name"`
	Server   string    `json:"server"` // whom it is about
	Detail   string    `json:"detail"`
	NextStep string    `json:"next_step"`
	Since    time.Time `json:"since"`
}

// The alarms beside those that have the name of a rule.
const (
	AlarmNoMaster       = "no_master"
	AlarmUnreachable    = "unreachable"          // another server does not answer
	AlarmLag            = "lag"                  // this server's copy is behind the master's
	AlarmNotReplicating = "not_replicating"      // another one answers, but its copy stands still
	AlarmNoCoordinator  = "no_coordinator"       //
	AlarmCertificate    = "certificate_expiring" // this server's or another's
)

// alarming are the rules that are alarms too; the others have alarms that tell more.
var alarming = map[Rule]bool{RuleTwoMasters: true, RuleSplitEpoch: true, RuleLowerEpoch: true, RuleOtherGroup: true,
	RuleSameName: true, RuleVersionSkew: true, RuleClockSkew: true}

// AlarmNames are all alarms that there are, in the order of their weight.
var AlarmNames = []string{string(RuleSplitEpoch), string(RuleTwoMasters), AlarmNoMaster, string(RuleLowerEpoch), string(RuleOtherGroup), string(RuleSameName),
	AlarmLag, AlarmUnreachable, AlarmNotReplicating, AlarmNoCoordinator, AlarmCertificate, string(RuleClockSkew), string(RuleVersionSkew)}

// Bounds of the alarms.
const (
	stillFor         = 10 * time.Second    // a copy that does not change for so long while another does stands still
	lagMax           = 1000                // revisions
	coordinatorAway  = 5 * time.Minute     //
	expiresSoon      = 14 * 24 * time.Hour // certificates are renewed a month before they expire
	unreachableAfter = 5 * time.Second     // others are asked each second
)

// Steady is for how long what an alarm tells must last before it is raised: what passes
// within that is the way of a change of masters, or of a start.
func Steady(name string) time.Duration {
	switch name {
	case AlarmNoMaster:
		return 3 * time.Second
	case AlarmLag, string(RuleTwoMasters), string(RuleLowerEpoch), string(RuleVersionSkew):
		return 10 * time.Second
	case string(RuleClockSkew):
		return 3 * time.Second // one slow answer is no skew
	}
	return 0
}

// Situation is what one server knows of itself and the others.
type Situation struct {
	Now         time.Time // for what was heard when
	Clock       time.Time // for certificates
	Self        Seen
	Grouped     bool                 // it may have others beside it
	Contact     bool                 // a master answers
	LastContact time.Time            // zero: not since the start
	Before      int64                // revision of its copy a while (stillFor) ago
	Others      []Seen               // newest and earlier runs of the other servers
	Answered    map[string]time.Time // of each other server on record: its last answer; zero: none since the start
	Joined      map[string]time.Time // since when each of them is on record, as far as that is known
	Idle        string               // why nobody signs in here even from the local copy; "": they do
	Coordinator time.Time            // its last answer, or the start
	HTTPS       time.Time            // when that certificate expires; zero: off
}

// Alarms judges a situation. It is pure; Since is not set.
func Alarms(s Situation) []Alarm {
	all := append(s.master(), s.answers()...)
	all = append(all, s.copies()...)
	all = append(all, s.certificates()...)
	if !s.Grouped {
		return all
	}
	if away := s.Now.Sub(s.Coordinator); away > coordinatorAway {
		all = append(all, Alarm{Name: AlarmNoCoordinator, Server: s.Self.Name, NextStep: "run `countersign doctor` here: it tries each of the coordinator's addresses; until it is back no server is admitted, all else goes on",
			Detail: fmt.Sprintf("no coordinator has answered for %s", away.Round(time.Minute))})
	}
	for _, v := range Violations(s.Now, append([]Seen{s.Self}, s.Others...), DefaultLimits) {
		if !alarming[v.Rule] {
			continue
		}
		a := Alarm{Name: string(v.Rule), Detail: v.Detail, NextStep: v.NextStep}
		if len(v.Servers) == 1 {
			a.Server = v.Servers[0]
		}
		all = append(all, a)
	}
	return all
}

// NoMaster is the alarm of a server that no master has answered since last; zero: since it was started. idle says why
// nobody signs in there even from its copy.
func NoMaster(server string, last time.Time, idle string) Alarm {
	since := "the start"
	if !last.IsZero() {
		since = stamp(last)
	}
	detail := fmt.Sprintf("no master answers since %s: sign-ins go on from the local copy, changes are refused", since)
	if idle != "" {
		detail = fmt.Sprintf("no master answers since %s: %s; changes are refused", since, idle)
	}
	return Alarm{Name: AlarmNoMaster, Server: server, NextStep: "run `countersign doctor` here: it says which server fails at which layer", Detail: detail}
}

func (s *Situation) master() []Alarm {
	if s.Contact || !s.Grouped {
		return nil
	}
	return []Alarm{NoMaster(s.Self.Name, s.LastContact, s.Idle)}
}

func (s *Situation) answers() (all []Alarm) {
	for _, name := range sortedKeys(s.Answered) {
		at := s.Answered[name]
		var began string
		switch joined := s.Joined[name]; {
		case !at.IsZero():
			began = fmt.Sprintf("does not answer since %s", stamp(at))
		case joined.After(s.Self.First) && !joined.After(s.Now):
			at, began = joined, fmt.Sprintf("has not answered since it was activated, at %s: it may not have been started yet", stamp(joined))
		default:
			at, began = s.Self.First, "has not answered since this server was started"
		}
		if s.Now.Sub(at) > unreachableAfter {
			all = append(all, Alarm{Name: AlarmUnreachable, Server: name, Detail: fmt.Sprintf("server %s %s", name, began),
				NextStep: "run `countersign doctor` here: it says at which layer; if it is gone for good: `countersign group forget " + name + "`"})
		}
	}
	return all
}

// copies compares this server's copy of the database with those of others.
func (s *Situation) copies() (all []Alarm) {
	for _, o := range newest(byName(s.Others)) {
		r := o.Report
		if r.Epoch != s.Self.Report.Epoch || s.Now.Sub(s.Answered[o.Name]) > unreachableAfter || r.Role == "joining" {
			continue
		}
		if behind := r.Revision - s.Self.Report.Revision; r.Leads() && behind > lagMax {
			all = append(all, Alarm{Name: AlarmLag, Server: s.Self.Name, Detail: fmt.Sprintf("the copy here is %d revisions behind that of the master %s", behind, o.Name),
				NextStep: "look at the link to the master and at the disk here: it catches up by itself when both are well"})
		}
		if s.Now.Sub(o.Moved) > stillFor && s.Now.Sub(o.First) > stillFor && r.Revision < s.Before {
			all = append(all, Alarm{Name: AlarmNotReplicating, Server: o.Name, NextStep: "look at its disk and its log, then restart its server",
				Detail: fmt.Sprintf("server %s answers, but its copy stands at revision %d for %s while the one here goes on (%d)", o.Name, r.Revision, s.Now.Sub(o.Moved).Round(time.Second), s.Self.Report.Revision)})
		}
	}
	return all
}

func (s *Situation) certificates() (all []Alarm) {
	soon := func(server, what, next string, at time.Time) {
		if left := at.Sub(s.Clock); !at.IsZero() && left < expiresSoon {
			verb := "expires"
			if left <= 0 {
				verb = "has expired"
			}
			all = append(all, Alarm{Name: AlarmCertificate, Server: server, NextStep: next, Detail: fmt.Sprintf("the certificate of %s %s on %s", what, verb, stamp(at))})
		}
	}
	renew := "it renews itself while there is a master: look at that server's log for why it does not"
	soon(s.Self.Name, "the peer port of this server", renew, s.Self.Report.Expires)
	soon(s.Self.Name, "https of this server", "renew the file that tls.cert_file names; without one it renews itself", s.HTTPS)
	for _, o := range newest(byName(s.Others)) {
		soon(o.Name, "the peer port of "+o.Name, renew, o.Report.Expires)
	}
	return all
}
