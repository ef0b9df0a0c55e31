package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Coverage tells how many users have which second factor.
type Coverage struct {
	All         CoverageRow   `json:"all"`
	ByDirectory []CoverageRow `json:"by_directory"`
	ByTag       []CoverageRow `json:"by_tag" doc:"a user with two tags is in both"`
	ByState     []CoverageRow `json:"by_state"`
}

// CoverageRow is about some of the users.
type CoverageRow struct {
	Name     string         `json:"name" doc:"empty: no directory of their own, no tag"`
	Users    int            `json:"users"`
	Enrolled int            `json:"enrolled" doc:"whom at least one second factor serves"`
	None     int            `json:"none"`
	Factors  map[string]int `json:"factors" doc:"by method, how many users such a second factor serves"`
}

// add counts n users whom these methods serve.
func (r *CoverageRow) add(methods []string, n int) {
	r.Users += n
	if len(methods) == 0 {
		r.None += n
		return
	}
	r.Enrolled += n
	if r.Factors == nil {
		r.Factors = map[string]int{}
	}
	for _, m := range methods {
		r.Factors[m] += n
	}
}

// coverage counts the users within reach.
func (s *Service) coverage(ctx context.Context, reach mfa.Reach) (Coverage, error) {
	var c Coverage
	directories, tags, states := map[string]*CoverageRow{}, map[string]*CoverageRow{}, map[string]*CoverageRow{}
	now := s.Now()
	count := func(a settlement.Account, n int) bool {
		if !reach.Includes(a.User) {
			return true
		}
		methods := factorsOf(a.Credentials, now)
		c.All.add(methods, n)
		row(directories, a.User.Directory).add(methods, n)
		row(states, a.User.State.String()).add(methods, n)
		for _, tag := range a.User.Tags {
			row(tags, tag).add(methods, n)
		}
		if len(a.User.Tags) == 0 {
			row(tags, "").add(methods, n)
		}
		return true
	}
	var err error
	if reach.All || len(reach.Groups) == 0 {
		err = s.Users.Kinds(ctx, count)
	} else { // who belongs to a group is not told by what they are alike in
		err = s.Users.Outlines(ctx, func(a settlement.Account) bool { return count(a, 1) })
	}
	c.ByDirectory, c.ByTag, c.ByState = rows(directories), rows(tags), rows(states)
	if c.All.Factors == nil {
		c.All.Factors = map[string]int{}
	}
	return c, err
}

func row(all map[string]*CoverageRow, name string) *CoverageRow {
	if all[name] == nil {
		all[name] = &CoverageRow{Name: name, Factors: map[string]int{}}
	}
	return all[name]
}

func rows(all map[string]*CoverageRow) []CoverageRow {
	out := make([]CoverageRow, 0, len(all))
	for _, r := range all {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b CoverageRow) int { return cmp.Or(cmp.Compare(b.Users, a.Users), cmp.Compare(a.Name, b.Name)) })
	return out
}

// factorsOf are the methods of the second factors that serve now, each once.
func factorsOf(all []mfa.Credential, now time.Time) (methods []string) {
	for _, c := range all {
		if m := string(c.Method); serves(c, now) && !slices.Contains(methods, m) {
			methods = append(methods, m)
		}
	}
	return methods
}
