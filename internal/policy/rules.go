package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Rules are the group's rules in their order, ready to decide. The zero value has none.
type Rules struct {
	list []ready
	err  error
}

// ready is a rule whose texts are read.
type ready struct {
	Rule
	hours  Hours
	zone   *time.Location
	groups []uint64 // digests
}

func compile(r Rule) (c ready, err error) {
	c.Rule = r
	if r.Hours != "" {
		if c.hours, err = ParseHours(r.Hours); err != nil {
			return c, fmt.Errorf("rule %s: %w", r.Name, err)
		}
		if c.zone, err = time.LoadLocation(r.Zone); err != nil || r.Zone == "Local" {
			return c, fmt.Errorf("rule %s: time zone %q is not known: want a name as in Europe/Berlin, or UTC", r.Name, r.Zone)
		}
	}
	for _, g := range r.Groups {
		c.groups = append(c.groups, groupDigest(g))
	}
	return c, nil
}

// Compile makes rules ready.
func Compile(list []Rule) (Rules, error) {
	var rs Rules
	for _, r := range list {
		c, err := compile(r)
		rs.err = errors.Join(rs.err, err)
		rs.list = append(rs.list, c)
	}
	return rs, rs.err
}

// Unreadable stands for rules that there are and that cannot be read, because of err.
func Unreadable(err error) Rules { return Rules{err: err} }

// Err says why the rules cannot be read. Then nothing is to be decided: one of them may refuse.
func (rs Rules) Err() error { return rs.err }

// CheckAll reports what is wrong with a whole policy.
func CheckAll(list []Rule, known []mfa.MethodID) error {
	if len(list) > MaxRules {
		return fmt.Errorf("%d rules, at most %d", len(list), MaxRules)
	}
	var groups []string
	for i, r := range list {
		if err := r.Check(known); err != nil {
			return err
		}
		if slices.ContainsFunc(list[:i], func(o Rule) bool { return strings.EqualFold(o.Name, r.Name) }) {
			return fmt.Errorf("rule %s is there twice", r.Name)
		}
		groups = addFolded(groups, r.Groups)
	}
	if len(groups) > MaxRuleGroups {
		return fmt.Errorf("rules name %d different groups, at most %d: a challenge has to carry those of its user", len(groups), MaxRuleGroups)
	}
	return nil
}

// CheckGroups reports that the rules and the reply rules of an application name more groups
// together than a challenge carries.
func CheckGroups(list []Rule, a mfa.Application) error {
	var groups []string
	for _, r := range list {
		groups = addFolded(groups, r.Groups)
	}
	for _, r := range a.Reply {
		if r.Group != "" {
			groups = addFolded(groups, []string{r.Group})
		}
	}
	if len(groups) > MaxRuleGroups {
		return fmt.Errorf("policy rules and the reply rules of application %s name %d different groups together, at most %d: a challenge has to carry those of its user",
			a.Name, len(groups), MaxRuleGroups)
	}
	return nil
}

func addFolded(to, more []string) []string {
	for _, g := range more {
		if !slices.ContainsFunc(to, func(o string) bool { return strings.EqualFold(o, g) }) {
			to = append(to, g)
		}
	}
	return to
}

// List returns the rules. It is not to be changed.
func (rs Rules) List() []Rule {
	list := make([]Rule, len(rs.list))
	for i, r := range rs.list {
		list[i] = r.Rule
	}
	return list
}

// Plain returns the rules without what was made ready of them: to compare, not to decide by.
func (rs Rules) Plain() Rules {
	var out Rules
	for _, r := range rs.list {
		out.list = append(out.list, ready{Rule: r.Rule})
	}
	return out
}

// Len returns how many rules there are.
func (rs Rules) Len() int { return len(rs.list) }

// NeedGroups reports whether a rule asks for directory groups, NeedCountry for the country of a
// source.
func (rs Rules) NeedGroups() bool {
	return slices.ContainsFunc(rs.list, func(r ready) bool { return !r.Disabled && len(r.groups) > 0 })
}

// NeedCountry reports whether a rule asks for the country of a source.
func (rs Rules) NeedCountry() bool {
	return slices.ContainsFunc(rs.list, func(r ready) bool { return !r.Disabled && len(r.Countries)+len(r.OutsideCountries) > 0 })
}

// Digests adds to those of a user's groups that are carried already the ones that rules name.
func (rs Rules) Digests(carried []uint64, groups []string) []uint64 {
	for _, r := range rs.list {
		for i, name := range r.Groups {
			if slices.ContainsFunc(groups, func(g string) bool { return strings.EqualFold(g, name) }) && !slices.Contains(carried, r.groups[i]) {
				carried = append(carried, r.groups[i])
			}
		}
	}
	return carried
}

// Situation is what rules look at.
type Situation struct {
	Application mfa.Application
	User        mfa.User   // the zero User: somebody unknown
	Groups      []uint64   // as Digests gives them
	GroupsKnown bool       // false: the password was not checked yet
	Source      netip.Addr // the zero Addr: not told
	Country     string     // of the source; "": not known
	Now         time.Time
}

// SourceOf reads what a client told as the end user's station; the zero Addr if it is no address.
func SourceOf(told string) netip.Addr {
	a, err := netip.ParseAddr(told)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}

// condition is one of a rule's, by name.
type condition string

const (
	holds     condition = ""
	disabled  condition = "it is switched off"
	notApp    condition = "application"
	notUser   condition = "user"
	notTag    condition = "tag"
	notNet    condition = "network"
	inside    condition = "outside"
	notLand   condition = "country"
	homeLand  condition = "outside countries"
	notHours  condition = "hours"
	notGroup  condition = "group"
	groupOpen condition = "group, which is known once the password is checked"
)

// fails returns the first of r's conditions that does not hold. Groups come last: whatever
// else fails is known before the password is checked.
func (r *ready) fails(s *Situation) condition {
	in := func(list []netip.Prefix) bool {
		return s.Source.IsValid() && slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(s.Source) })
	}
	switch {
	case r.Disabled:
		return disabled
	case len(r.Applications) > 0 && !slices.Contains(r.Applications, s.Application.ID):
		return notApp
	case len(r.Users) > 0 && !slices.Contains(r.Users, s.User.ID):
		return notUser
	case len(r.Tags) > 0 && !slices.ContainsFunc(r.Tags, func(t string) bool { return slices.Contains(s.User.Tags, t) }):
		return notTag
	case len(r.Networks) > 0 && !in(r.Networks):
		return notNet
	case len(r.Outside) > 0 && in(r.Outside):
		return inside
	case len(r.Countries) > 0 && !slices.Contains(r.Countries, s.Country):
		return notLand
	case len(r.OutsideCountries) > 0 && slices.Contains(r.OutsideCountries, s.Country):
		return homeLand
	case r.Hours != "" && !r.hours.Include(s.Now.In(r.zone)):
		return notHours
	case len(r.groups) == 0:
	case s.Application.FirstFactor == mfa.FirstFactorNone: // nobody tells them there: what refuses one of them refuses all
		if r.Access != AccessDeny {
			return notGroup
		}
	case !s.GroupsKnown:
		return groupOpen
	case !slices.ContainsFunc(r.groups, func(g uint64) bool { return slices.Contains(s.Groups, g) }):
		return notGroup
	}
	return holds
}
