package group

import "time"

// Overview is what a coordinator shows of the groups that it watches.
type Overview struct {
	By         string       `json:"by"` // the server or coordinator that tells this
	Time       time.Time    `json:"time"`
	Groups     []GroupView  `json:"groups"`
	Servers    []ServerView `json:"servers"`
	Violations []Violation  `json:"violations"`
	// Coordinators are the independent coordinators, as the one that was asked sees them.
	Coordinators []ColleagueView `json:"coordinators,omitempty"`
}

// ColleagueView is one independent coordinator.
type ColleagueView struct {
	Name      string    `json:"name"`
	Leads     bool      `json:"leads" doc:"the others pass on to it"`
	Voter     bool      `json:"voter"`
	Reachable bool      `json:"reachable"`
	Address   string    `json:"address" doc:"that servers call"`
	Peer      string    `json:"peer,omitempty" doc:"that the others call"`
	Revision  int64     `json:"revision"`
	Version   string    `json:"version"`
	Expires   time.Time `json:"certificate_expires,omitzero"`
}

// GroupView is one group.
type GroupView struct {
	Name    string `json:"name"`
	Epoch   uint64 `json:"epoch" doc:"the highest that one of its servers serves"`
	Master  string `json:"master" doc:"empty: none"`
	Servers int    `json:"servers"`
	Alive   int    `json:"alive" doc:"servers heard lately"`
	Users   int    `json:"users" doc:"as its master says; without one, the most that a server says which is heard"`
}

// ServerView is one server by its last heartbeat.
type ServerView struct {
	Name        string     `json:"name"`
	Group       string     `json:"group"`
	Role        string     `json:"role" doc:"master, replica, joining, removed; empty: never heard"`
	Alive       bool       `json:"alive" doc:"heard lately"`
	Heard       time.Time  `json:"heard,omitzero" doc:"its last heartbeat"`
	Epoch       uint64     `json:"epoch"`
	Revision    int64      `json:"revision"`
	Lag         int64      `json:"lag" doc:"revisions behind the group's master; 0 in another epoch than the group's"`
	Version     string     `json:"version"`
	Address     string     `json:"address"`
	Known       []string   `json:"known_addresses,omitempty" doc:"host:port under which others call it, as an independent coordinator has them on record"`
	ClockOffset float64    `json:"clock_offset" doc:"seconds that its clock is ahead"`
	Expires     time.Time  `json:"certificate_expires,omitzero"`
	Listeners   []Listener `json:"listeners"`
	Users       int        `json:"users"`
	SignIns     uint64     `json:"sign_ins" doc:"verdicts since it runs"`
	Unmerged    int        `json:"unmerged" doc:"settled without a master and not merged yet"`
	Since       time.Time  `json:"since,omitzero" doc:"it runs"`
	Sights      []Sight    `json:"sights,omitempty" doc:"what clients have sent within ten minutes and led to no verdict, the latest first"`
}

// Called is the address under which others call the server, as far as that is known: a
// heartbeat tells only where it calls from.
func (v ServerView) Called() string {
	if len(v.Known) > 0 {
		return v.Known[0]
	}
	return v.Address
}

// NewOverview judges and lists what was seen. It is pure.
func NewOverview(by string, now time.Time, seen []Seen, l Limits) Overview {
	o := Overview{By: by, Time: now.UTC(), Groups: []GroupView{}, Servers: []ServerView{}, Violations: Violations(now, seen, l)}
	if o.Violations == nil {
		o.Violations = []Violation{}
	}
	groups := map[string][]Seen{}
	for _, s := range seen {
		groups[s.Group] = append(groups[s.Group], s)
	}
	for _, name := range sortedKeys(groups) {
		servers := newest(byName(groups[name]))
		g := GroupView{Name: name, Servers: len(servers)}
		var top int64
		for _, s := range servers {
			if !s.alive(now, l) {
				continue
			}
			g.Alive++
			g.Epoch = max(g.Epoch, s.Report.Epoch)
		}
		for _, s := range servers {
			if s.alive(now, l) && s.Report.Leads() && s.Report.Epoch == g.Epoch {
				g.Master, g.Users, top = s.Name, s.Report.Users, max(top, s.Report.Revision)
			}
		}
		for _, s := range servers {
			if s.alive(now, l) && s.Report.Epoch == g.Epoch && g.Master == "" {
				g.Users = max(g.Users, s.Report.Users)
			}
			if s.Report.Epoch == g.Epoch {
				o.Servers = append(o.Servers, s.view(now, l, top))
			} else { // the revisions of two epochs cannot be compared
				o.Servers = append(o.Servers, s.view(now, l, 0))
			}
		}
		o.Groups = append(o.Groups, g)
	}
	return o
}

func (s *Seen) view(now time.Time, l Limits, top int64) ServerView {
	r := s.Report
	v := ServerView{Name: s.Name, Group: s.Group, Role: r.Role, Alive: s.alive(now, l), Heard: s.Last, Epoch: r.Epoch, Revision: r.Revision,
		Version: r.Version, Address: s.Address, ClockOffset: s.Offset.Seconds(), Expires: r.Expires, Listeners: r.Listeners,
		Users: r.Users, SignIns: r.SignIns, Unmerged: r.Unmerged, Since: r.Since, Sights: r.Sights}
	if !s.Last.IsZero() {
		v.Lag = max(top-r.Revision, 0)
	}
	if v.Listeners == nil {
		v.Listeners = []Listener{}
	}
	return v
}
