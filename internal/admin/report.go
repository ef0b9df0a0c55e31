package admin

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// The reports.
const (
	ReportSignIns        = "sign-ins"
	ReportNoSecondFactor = "no-second-factor"
	ReportBypassed       = "bypassed"
	ReportBlocked        = "blocked"
	ReportLocked         = "locked"
	ReportFrauds         = "fraud"
	ReportEnrolment      = "enrolment"
	ReportBlastRADIUS    = "blastradius"
)

// Reports returns the names of all.
func Reports() []string {
	return []string{ReportSignIns, ReportNoSecondFactor, ReportBypassed, ReportBlocked, ReportLocked, ReportFrauds, ReportEnrolment, ReportBlastRADIUS}
}

// Figures are a report: they answer one question about the group. What is about attempts counts those that all
// servers decided from Since up to Until, without that.
type Figures struct {
	Name     string     `json:"report"`
	Since    *time.Time `json:"since,omitempty"`
	Until    *time.Time `json:"until,omitempty"`
	Zone     string     `json:"zone,omitempty" doc:"time zone in which days begin"`
	Accepted int64      `json:"accepted"`
	Refused  int64      `json:"refused"`

	OverTime []ReportSpan   `json:"over_time,omitempty"`
	Parts    []ReportPart   `json:"parts,omitempty"`
	People   []Concerned    `json:"people,omitempty" doc:"whose attempts these were, most often first; at most 500"`
	Partly   bool           `json:"people_partly,omitempty" doc:"there were more people, or more attempts than are looked at for them"`
	Now      []ReportUser   `json:"now,omitempty" doc:"users who are blocked, or locked, at this moment; at most 1000"`
	Total    int            `json:"now_total,omitempty" doc:"how many these are in all"`
	Coverage *Coverage      `json:"coverage,omitempty"`
	Frauds   []mfa.Fraud    `json:"frauds,omitempty" doc:"sign-ins of which their users said that they were not theirs, newest first; at most 1000"`
	Clients  []BlastClient  `json:"clients,omitempty"`
	Silent   []SilentServer `json:"silent_servers" doc:"servers that did not answer for their trail: what they decided is missing"`
}

// ReportSpan is what happened from Start up to the next one's.
type ReportSpan struct {
	Start          time.Time `json:"start"`
	Accepted       int64     `json:"accepted" doc:"without a second factor included"`
	Refused        int64     `json:"refused"`
	NoSecondFactor int64     `json:"no_second_factor"`
}

// ReportPart counts the attempts by one thing: application, method, reason, server.
type ReportPart struct {
	By     string        `json:"by" enum:"application,method,reason,server"`
	Counts []ReportCount `json:"counts" doc:"most often first"`
}

// ReportCount is one of them.
type ReportCount struct {
	Name     string `json:"name"`
	Accepted int64  `json:"accepted"`
	Refused  int64  `json:"refused"`
}

// ReportUser is one user to whom something applies now.
type ReportUser struct {
	User   mfa.UserID `json:"user"`
	Login  string     `json:"login"`
	State  string     `json:"state" enum:"blocked,locked,passwords_locked"`
	Until  *time.Time `json:"until,omitempty" doc:"absent: until it is lifted"`
	Since  *time.Time `json:"since,omitempty"`
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

// ReportQuery asks for a report. Since and Until are rounded to quarter-hours; the default is
// the last seven days.
type ReportQuery struct {
	Since, Until time.Time
	Zone         string // name in the time zone database; "": UTC
	Application  string
}

// about selects the attempts that a report counts; nil: all.
type about struct {
	reasons []mfa.Reason
	method  string // or OK by this one
}

var reportAbout = map[string]*about{
	ReportSignIns:        nil,
	ReportNoSecondFactor: {reasons: withoutSecond},
	ReportBypassed:       {reasons: []mfa.Reason{mfa.ExemptNetwork}, method: string(mfa.MethodTAP)},
	ReportBlocked:        {reasons: []mfa.Reason{mfa.Blocked, mfa.Denied}},
	ReportLocked:         {reasons: []mfa.Reason{mfa.Locked, mfa.FirstFactorLocked, mfa.AccountLockedInDirectory, mfa.SourceThrottled, mfa.TooManyAttempts}},
	ReportFrauds:         {reasons: []mfa.Reason{mfa.FraudReported}},
}

func (a *about) includes(c TallyCount) bool {
	return a == nil || slices.Contains(a.reasons, mfa.Reason(c.Reason)) || a.method != "" && c.Method == a.method && mfa.Reason(c.Reason) == mfa.OK
}

// Report makes one. reach limits users who are listed or counted.
func (s *Service) Report(ctx context.Context, name string, q ReportQuery, reach mfa.Reach) (Figures, error) {
	out := Figures{Name: name, Silent: []SilentServer{}}
	switch name {
	case ReportEnrolment:
		c, err := s.coverage(ctx, reach)
		out.Coverage = &c
		return out, err
	case ReportBlastRADIUS:
		b, err := s.BlastRADIUS(ctx)
		out.Clients = b.Clients
		return out, err
	}
	a, known := reportAbout[name]
	if !known {
		return out, fmt.Errorf("report %q: %w; there are %v", clip(name), mfa.ErrNotFound, Reports())
	}
	edges, zone, err := s.edges(q)
	if err != nil {
		return out, err
	}
	out.Since, out.Until, out.Zone = &edges[0], &edges[len(edges)-1], zone
	all, err := s.everyone(ctx, TrailQuestion{Tally: &TallyQuery{Edges: edges, Application: q.Application}})
	if err != nil {
		return out, err
	}
	out.count(all, a, edges)
	out.Silent = silent(all)
	if a == nil {
		return out, nil
	}
	if err := s.concerned(ctx, &out, PeopleQuery{Reasons: a.reasons, Method: a.method, Application: q.Application, Since: edges[0], Until: edges[len(edges)-1]}); err != nil {
		return out, err
	}
	if name == ReportFrauds {
		return out, s.frauds(ctx, &out, q.Application)
	}
	return out, s.affected(ctx, &out, reach)
}

// count sums up what the servers have counted.
func (r *Figures) count(all []TrailAnswer, a *about, edges []time.Time) {
	r.OverTime = make([]ReportSpan, len(edges)-1)
	for i := range r.OverTime {
		r.OverTime[i].Start = edges[i]
	}
	by := map[string]map[string]*ReportCount{"application": {}, "method": {}, "reason": {}, "server": {}}
	for _, answer := range all {
		for _, c := range answer.Tally {
			switch {
			case !a.includes(c) || c.Span >= len(r.OverTime):
			case c.Span >= 0:
				r.OverTime[c.Span].add(c)
			default:
				r.add(c, by, answer.Server)
			}
		}
	}
	for _, name := range []string{"application", "method", "reason", "server"} {
		p := ReportPart{By: name, Counts: []ReportCount{}}
		for _, c := range by[name] {
			p.Counts = append(p.Counts, *c)
		}
		slices.SortFunc(p.Counts, func(a, b ReportCount) int {
			return cmp.Or(cmp.Compare(b.Accepted+b.Refused, a.Accepted+a.Refused), cmp.Compare(a.Name, b.Name))
		})
		r.Parts = append(r.Parts, p)
	}
}

func (s *ReportSpan) add(c TallyCount) {
	if c.Verdict != mfa.Accept {
		s.Refused += c.N
		return
	}
	s.Accepted += c.N
	if slices.Contains(withoutSecond, mfa.Reason(c.Reason)) {
		s.NoSecondFactor += c.N
	}
}

func (r *Figures) add(c TallyCount, by map[string]map[string]*ReportCount, server string) {
	method := c.Method
	if method == "" {
		method = "none"
	}
	for what, name := range map[string]string{"application": c.Application, "method": method, "reason": mfa.Reason(c.Reason).String(), "server": server} {
		one := by[what][name]
		if one == nil {
			one = &ReportCount{Name: name}
			by[what][name] = one
		}
		if c.Verdict == mfa.Accept {
			one.Accepted += c.N
		} else {
			one.Refused += c.N
		}
	}
	if c.Verdict == mfa.Accept {
		r.Accepted += c.N
	} else {
		r.Refused += c.N
	}
}

// concerned adds whose attempts these were, on all servers together.
func (s *Service) concerned(ctx context.Context, r *Figures, q PeopleQuery) error {
	all, err := s.everyone(ctx, TrailQuestion{People: &q})
	if err != nil {
		return err
	}
	sums := map[Concerned]*Concerned{}
	for _, a := range all {
		r.Partly = r.Partly || a.Partly
		for _, p := range a.People {
			key := p
			key.Count, key.Last = 0, time.Time{}
			if sums[key] == nil {
				sums[key] = &Concerned{User: p.User, Login: p.Login, Application: p.Application, Method: p.Method, Reason: p.Reason}
			}
			sums[key].Count += p.Count
			if p.Last.After(sums[key].Last) {
				sums[key].Last = p.Last
			}
		}
	}
	r.People = make([]Concerned, 0, len(sums))
	for _, p := range sums {
		r.People = append(r.People, *p)
	}
	slices.SortFunc(r.People, func(a, b Concerned) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), b.Last.Compare(a.Last), cmp.Compare(a.Login, b.Login), cmp.Compare(a.Application, b.Application), cmp.Compare(a.Reason, b.Reason))
	})
	if len(r.People) > maxPeople {
		r.People, r.Partly = r.People[:maxPeople], true
	}
	return nil
}

const maxPeople = 500

// affected adds the users who are blocked, or locked, now.
func (s *Service) affected(ctx context.Context, r *Figures, reach mfa.Reach) error {
	now := s.Now()
	var applies func(a settlement.Account) []ReportUser
	switch r.Name {
	case ReportBlocked:
		applies = func(a settlement.Account) (all []ReportUser) {
			if b := a.User.Block; a.User.BlockedAt(now) {
				all = append(all, ReportUser{State: "blocked", Until: moment(b.Until), Since: moment(b.Since), By: b.By})
			}
			return all
		}
	case ReportLocked:
		applies = func(a settlement.Account) (all []ReportUser) {
			for state, c := range map[string]settlement.Count{"locked": a.Record.Fails, "passwords_locked": a.Record.First} {
				if c.LockedAt(now) {
					all = append(all, ReportUser{State: state, Until: moment(c.Until), Since: moment(c.Last)})
				}
			}
			return all
		}
	default:
		return nil
	}
	r.Now = []ReportUser{}
	if err := s.Users.Restricted(ctx, now, func(a settlement.Account) bool {
		if !reach.Includes(a.User) {
			return true
		}
		for _, u := range applies(a) {
			if r.Total++; len(r.Now) < MaxPage {
				u.User = a.User.ID
				r.Now = append(r.Now, u)
			}
		}
		return true
	}); err != nil {
		return err
	}
	for i := range r.Now {
		if a, err := s.Users.Account(ctx, r.Now[i].User, false); err == nil { // names are sealed: only theirs are opened
			r.Now[i].Login = a.User.Login
			if a.User.Block != nil {
				r.Now[i].Reason = a.User.Block.Reason
			}
		}
	}
	slices.SortFunc(r.Now, func(a, b ReportUser) int { return cmp.Or(cmp.Compare(a.Login, b.Login), cmp.Compare(a.State, b.State)) })
	return nil
}
