package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// PolicyRule is one line of the ordered policy as the API shows it: users by login, applications
// by name.
type PolicyRule struct {
	Position         int      `json:"position" doc:"1 is looked at first"`
	Name             string   `json:"name"`
	Disabled         bool     `json:"disabled"`
	Applications     []string `json:"applications"`
	Users            []string `json:"users"`
	Tags             []string `json:"tags"`
	Groups           []string `json:"groups" doc:"of the directory that checked the password"`
	Networks         []string `json:"networks" doc:"the source is in one of them"`
	Outside          []string `json:"outside" doc:"it is in none of them; so is a source that was not told"`
	Countries        []string `json:"countries" doc:"of the source (ISO 3166)"`
	OutsideCountries []string `json:"outside_countries" doc:"it is none of them; so is an unknown one"`
	Hours            string   `json:"hours"`
	Zone             string   `json:"zone" doc:"time zone of hours"`
	Access           string   `json:"access" doc:"deny, first-factor, both; empty: says nothing"`
	Methods          []string `json:"methods" doc:"allowed, in this order; empty: says nothing"`
	OwnOrder         string   `json:"own_order" doc:"yes, no; empty: says nothing"`
	Fallback         string   `json:"fallback" doc:"yes, no; empty: says nothing"`
	RememberSeconds  *int     `json:"remember_seconds" doc:"null: says nothing"`
	Prompts          *int     `json:"prompts" doc:"null: says nothing"`
	PIN              string   `json:"pin" doc:"yes, no; empty: says nothing"`
}

// PolicyRuleList is the whole ordered policy.
type PolicyRuleList struct {
	Rules []PolicyRule `json:"rules"`
	Next  string       `json:"next,omitempty"`
}

// PolicyRuleChange makes a rule or changes one: what is absent stays as it is, what is empty is
// taken away.
type PolicyRuleChange struct {
	Name             *string   `json:"name,omitempty" maxLength:"64"`
	Position         *int      `json:"position,omitempty" minimum:"1" maximum:"200" doc:"of a new rule; absent: behind all others"`
	Disabled         *bool     `json:"disabled,omitempty"`
	Applications     *[]string `json:"applications,omitempty" maxItems:"1000"`
	Users            *[]string `json:"users,omitempty" maxItems:"1000"`
	Tags             *[]string `json:"tags,omitempty" maxItems:"1000"`
	Groups           *[]string `json:"groups,omitempty" maxItems:"8"`
	Networks         *[]string `json:"networks,omitempty" maxItems:"1000"`
	Outside          *[]string `json:"outside,omitempty" maxItems:"1000"`
	Countries        *[]string `json:"countries,omitempty" maxItems:"300"`
	OutsideCountries *[]string `json:"outside_countries,omitempty" maxItems:"300"`
	Hours            *string   `json:"hours,omitempty" maxLength:"64" doc:"mon-fri 08:00-18:00; a span that ends before it begins ends on the next day"`
	Zone             *string   `json:"zone,omitempty" maxLength:"64" doc:"of hours: Europe/Berlin"`
	Access           *string   `json:"access,omitempty" enum:",deny,first-factor,both"`
	Methods          *[]string `json:"methods,omitempty" maxItems:"16"`
	OwnOrder         *string   `json:"own_order,omitempty" enum:",yes,no" doc:"the method that users prefer comes first"`
	Fallback         *string   `json:"fallback,omitempty" enum:",yes,no" doc:"another way if one cannot be asked for, or the user wants one"`
	RememberSeconds  *int      `json:"remember_seconds,omitempty" minimum:"-1" maximum:"600" doc:"how long both factors are not asked for again from the same address; 0: never; -1: say nothing"`
	Prompts          *int      `json:"prompts,omitempty" minimum:"-1" maximum:"1000" doc:"messages, pushes and calls to one user in an hour; -1: say nothing"`
	PIN              *string   `json:"pin,omitempty" enum:",yes,no" doc:"a PIN with each code; no: not even from those who have one"`
	IfMatch          string    `json:"-"`
}

// PolicyRuleMove puts a rule elsewhere. One field must be set.
type PolicyRuleMove struct {
	Before   string `json:"before,omitempty" maxLength:"64" doc:"rule that comes next"`
	After    string `json:"after,omitempty" maxLength:"64" doc:"rule that comes before it"`
	Position int    `json:"position,omitempty" minimum:"0" maximum:"200" doc:"1 is looked at first"`
}

// ETag names the state of a rule, its place apart.
func (r PolicyRule) ETag() string {
	r.Position = 0
	return etag(r)
}

// Page returns one part of the list.
func (l PolicyRuleList) Page(p Page) PolicyRuleList {
	l.Rules, l.Next = cut(l.Rules, p, func(r PolicyRule) string { return fmt.Sprintf("%03d", r.Position) })
	l.Rules = list(l.Rules)
	return l
}

// ListRules returns the policy in its order.
func (s *Service) ListRules(ctx context.Context) (PolicyRuleList, error) {
	rules := s.Settings.Settings().Rules
	if err := rules.Err(); err != nil {
		return PolicyRuleList{}, err
	}
	out := PolicyRuleList{Rules: []PolicyRule{}}
	for i, r := range rules.List() {
		out.Rules = append(out.Rules, s.policyRule(ctx, i, r))
	}
	return out, nil
}

// Rule returns one rule.
func (s *Service) Rule(ctx context.Context, name string) (PolicyRule, error) {
	all := s.Settings.Settings().Rules.List()
	i, err := ruleAt(all, name)
	if err != nil {
		return PolicyRule{}, err
	}
	return s.policyRule(ctx, i, all[i]), nil
}

// ruleAt finds a rule, whatever the case of its name.
func ruleAt(all []policy.Rule, name string) (int, error) {
	i := slices.IndexFunc(all, func(r policy.Rule) bool { return strings.EqualFold(r.Name, name) })
	if i < 0 {
		return 0, fmt.Errorf("policy rule %q: %w", clip(name), mfa.ErrNotFound)
	}
	return i, nil
}

// policyRule converts for the API. Who or what is gone is shown by its id.
func (s *Service) policyRule(ctx context.Context, i int, r policy.Rule) PolicyRule {
	v := PolicyRule{Position: i + 1, Name: r.Name, Disabled: r.Disabled, Applications: []string{}, Users: []string{}, Tags: list(r.Tags), Groups: list(r.Groups),
		Networks: prefixes(r.Networks), Outside: prefixes(r.Outside), Countries: list(r.Countries), OutsideCountries: list(r.OutsideCountries), Hours: r.Hours, Zone: r.Zone,
		Access: string(r.Access), Methods: texts(r.Methods), OwnOrder: string(r.OwnOrder), Fallback: string(r.Fallback), Prompts: r.Prompts, PIN: string(r.PIN)}
	if r.Remember != nil {
		n := int(*r.Remember)
		v.RememberSeconds = &n
	}
	for _, id := range r.Applications {
		name := string(id)
		for _, a := range s.Applications.Applications() {
			if a.ID == id {
				name = a.Name
			}
		}
		v.Applications = append(v.Applications, name)
	}
	for _, id := range r.Users {
		login := string(id)
		if a, err := s.Users.Account(ctx, id, false); err == nil {
			login = a.User.Login
		}
		v.Users = append(v.Users, login)
	}
	return v
}

func prefixes(list []netip.Prefix) []string {
	out := make([]string, len(list))
	for i, p := range list {
		out[i] = p.String()
	}
	return out
}

// AddRule makes a rule, behind all others unless a position is given.
func (s *Service) AddRule(ctx context.Context, by string, c PolicyRuleChange) (PolicyRule, error) {
	if c.Name == nil {
		return PolicyRule{}, invalid("name is missing")
	}
	var r policy.Rule
	if err := s.applyRule(ctx, &r, c); err != nil {
		return PolicyRule{}, err
	}
	var at int
	err := s.editRules(ctx, func(all []policy.Rule) ([]policy.Rule, error) {
		if _, err := ruleAt(all, r.Name); err == nil {
			return nil, fmt.Errorf("policy rule %q: %w", r.Name, mfa.ErrExists)
		}
		at = len(all)
		if c.Position != nil {
			at = min(*c.Position-1, len(all))
		}
		return slices.Insert(slices.Clone(all), at, r), nil
	})
	if err != nil {
		return PolicyRule{}, err
	}
	v := s.policyRule(ctx, at, r)
	return v, s.record(ctx, by, "policy add", r.Name, fields(contents(ruleTold(v))))
}

// SetRule changes a rule.
func (s *Service) SetRule(ctx context.Context, by, name string, c PolicyRuleChange) (PolicyRule, error) {
	if c.Position != nil {
		return PolicyRule{}, invalid("position: a rule is moved by policy move")
	}
	all := s.Settings.Settings().Rules.List()
	i, err := ruleAt(all, name)
	if err != nil {
		return PolicyRule{}, err
	}
	was := all[i]
	before := s.policyRule(ctx, i, was)
	if err := unchanged(c.IfMatch, before.ETag()); err != nil {
		return PolicyRule{}, err
	}
	r := was
	if err := s.applyRule(ctx, &r, c); err != nil {
		return PolicyRule{}, err
	}
	if err := s.editRules(ctx, func(all []policy.Rule) ([]policy.Rule, error) {
		if i, err = ruleAt(all, name); err != nil {
			return nil, err
		}
		if !all[i].Equal(was) {
			return nil, fmt.Errorf("%w: look at it again", mfa.ErrChanged)
		}
		all = slices.Clone(all)
		all[i] = r
		return all, nil
	}); err != nil {
		return PolicyRule{}, err
	}
	after := s.policyRule(ctx, i, r)
	return after, s.record(ctx, by, "policy set", before.Name, fields(difference(ruleTold(before), ruleTold(after))))
}

// RemoveRule takes a rule away.
func (s *Service) RemoveRule(ctx context.Context, by, name string) error {
	var gone policy.Rule
	err := s.editRules(ctx, func(all []policy.Rule) ([]policy.Rule, error) {
		i, err := ruleAt(all, name)
		if err != nil {
			return nil, err
		}
		gone = all[i]
		return slices.Delete(slices.Clone(all), i, i+1), nil
	})
	if err != nil {
		return err
	}
	return s.record(ctx, by, "policy remove", gone.Name, fields(contents(ruleTold(s.policyRule(ctx, 0, gone)))))
}

// MoveRule puts a rule elsewhere in the order.
func (s *Service) MoveRule(ctx context.Context, by, name string, m PolicyRuleMove) (PolicyRule, error) {
	if n := len(slices.DeleteFunc([]bool{m.Before != "", m.After != "", m.Position > 0}, func(b bool) bool { return !b })); n != 1 {
		return PolicyRule{}, invalid("say where to: one of before, after and position")
	}
	var from, to int
	var r policy.Rule
	err := s.editRules(ctx, func(all []policy.Rule) ([]policy.Rule, error) {
		var err error
		if from, err = ruleAt(all, name); err != nil {
			return nil, err
		}
		r = all[from]
		rest := slices.Delete(slices.Clone(all), from, from+1)
		to = min(m.Position-1, len(rest))
		if beside := m.Before + m.After; beside != "" {
			if to, err = ruleAt(rest, beside); err != nil {
				return nil, err
			}
			if m.After != "" {
				to++
			}
		}
		return slices.Insert(rest, to, r), nil
	})
	if err != nil {
		return PolicyRule{}, err
	}
	return s.policyRule(ctx, to, r), s.record(ctx, by, "policy move", r.Name, fmt.Sprintf("position %d -> %d", from+1, to+1))
}

// editRules changes the whole policy in one write.
func (s *Service) editRules(ctx context.Context, edit func([]policy.Rule) ([]policy.Rule, error)) error {
	apps := s.Applications.Applications()
	return s.Settings.UpdateSettings(ctx, func(p *policy.Settings) error {
		if err := p.Rules.Err(); err != nil {
			return err
		}
		all, err := edit(p.Rules.List())
		if err != nil {
			return err
		}
		if err := policy.CheckAll(all, methods); err != nil {
			return invalid("%v", err)
		}
		if err := admitsToConsole(apps, p.Rules.List(), all); err != nil {
			return err
		}
		for _, a := range apps {
			if err := policy.CheckGroups(all, a); err != nil {
				return invalid("%v", err)
			}
		}
		p.Rules, err = policy.Compile(all)
		return err
	})
}

// applyRule changes r as c says, or says what is bad about c.
func (s *Service) applyRule(ctx context.Context, r *policy.Rule, c PolicyRuleChange) error {
	var bad error
	set(&bad, "name", &r.Name, c.Name, objectName)
	set(&bad, "disabled", &r.Disabled, c.Disabled, same)
	set(&bad, "applications", &r.Applications, c.Applications, each(1000, s.parseApplication))
	set(&bad, "users", &r.Users, c.Users, each(1000, func(login string) (mfa.UserID, error) {
		u, err := s.Resolve(ctx, login)
		if errors.Is(err, mfa.ErrNotFound) {
			err = fmt.Errorf("user %q: there is none", login)
		}
		return u.ID, err
	}))
	set(&bad, "tags", &r.Tags, c.Tags, each(1000, objectName))
	set(&bad, "groups", &r.Groups, c.Groups, each(policy.MaxRuleGroups, line(256)))
	set(&bad, "networks", &r.Networks, c.Networks, each(1000, network))
	set(&bad, "outside", &r.Outside, c.Outside, each(1000, network))
	set(&bad, "countries", &r.Countries, c.Countries, each(300, parseCountry))
	set(&bad, "outside_countries", &r.OutsideCountries, c.OutsideCountries, each(300, parseCountry))
	set(&bad, "hours", &r.Hours, c.Hours, line(64))
	set(&bad, "zone", &r.Zone, c.Zone, line(64))
	set(&bad, "access", &r.Access, c.Access, oneOf("", policy.AccessDeny, policy.AccessFirst, policy.AccessBoth))
	set(&bad, "methods", &r.Methods, c.Methods, each(16, oneOf(methods...)))
	for name, f := range map[string]struct {
		to   *policy.Choice
		from *string
	}{"own_order": {&r.OwnOrder, c.OwnOrder}, "fallback": {&r.Fallback, c.Fallback}, "pin": {&r.PIN, c.PIN}} {
		set(&bad, name, f.to, f.from, oneOf("", policy.Yes, policy.No))
	}
	set(&bad, "remember_seconds", &r.Remember, c.RememberSeconds, func(n int) (*policy.Seconds, error) {
		p, err := unsaid(policy.MaxRemember)(n)
		if p == nil {
			return nil, err
		}
		s := policy.Seconds(*p)
		return &s, err
	})
	set(&bad, "prompts", &r.Prompts, c.Prompts, unsaid(1000))
	return bad
}

// unsaid returns a parser for a number of 0 to max; -1 is none.
func unsaid(max int) func(int) (*int, error) {
	return func(n int) (*int, error) {
		if n == -1 {
			return nil, nil
		}
		n, err := between(0, max)(n)
		return &n, err
	}
}

func (s *Service) parseApplication(name string) (mfa.ApplicationID, error) {
	a, err := s.Applications.ApplicationByName(name)
	if err != nil {
		return "", fmt.Errorf("application %q: there is none", name)
	}
	return a.ID, nil
}

func parseCountry(s string) (string, error) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 2 || s[0] < 'A' || s[0] > 'Z' || s[1] < 'A' || s[1] > 'Z' {
		return "", fmt.Errorf("%q is no country: want two letters (ISO 3166), as in DE", s)
	}
	return s, nil
}

// ruleTold is what the trail tells of a rule: of users how many it names.
func ruleTold(r PolicyRule) any {
	logins := r.Users
	r.Users = make([]string, 0, len(logins))
	for range logins {
		r.Users = append(r.Users, "(a user)")
	}
	return r
}
