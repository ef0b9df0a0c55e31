package cli

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
)

type policyList struct{}

func (policyList) Run(ctx context.Context, e *env) error {
	doc := admin.PolicyRuleList{Rules: []admin.PolicyRule{}}
	if err := whole(ctx, e, "/policy/rules", func(p admin.PolicyRuleList) string {
		doc.Rules = append(doc.Rules, p.Rules...)
		return p.Next
	}); err != nil {
		return err
	}
	type row struct {
		Position int    `json:"position"`
		Name     string `json:"name"`
		Applies  string `json:"applies"`
		Says     string `json:"says"`
	}
	rows := []row{}
	for _, r := range doc.Rules {
		applies := r.Conditions()
		if r.Disabled {
			applies = "never: it is switched off"
		}
		rows = append(rows, row{r.Position, r.Name, applies, r.Answers()})
	}
	return e.table(doc, rows, "position", "name", "applies", "says")
}

// ruleFlags are what can be set on a policy rule.
type ruleFlags struct {
	Application    []string `help:"It applies at this application." placeholder:"NAME"`
	User           []string `help:"To this user." placeholder:"LOGIN"`
	Tag            []string `help:"To users with this tag." placeholder:"TAG"`
	Group          []string `help:"To users in this group of their directory." placeholder:"GROUP" sep:"none"`
	Network        []string `help:"To sources in this network." placeholder:"CIDR"`
	Outside        []string `help:"To sources outside this network; to those that the client does not tell too." placeholder:"CIDR"`
	Country        []string `help:"To sources in this country (ISO 3166: DE)." placeholder:"CODE"`
	OutsideCountry []string `help:"To sources outside this country; to those whose country is not known too." placeholder:"CODE"`
	Hours          *string  `help:"At these times: mon-fri 08:00-18:00." placeholder:"TIMES"`
	Zone           *string  `help:"Time zone of the hours: Europe/Berlin." placeholder:"ZONE"`
	Access         *string  `help:"It says: deny, first-factor (enough) or both; empty: nothing." placeholder:"WORD" values:"deny,first-factor,both"`
	Methods        []string `help:"Methods allowed, in order of preference; empty: it says nothing." placeholder:"a,b"`
	OwnOrder       *string  `help:"The method that users prefer comes first: yes or no." placeholder:"WORD" values:"yes,no"`
	Fallback       *string  `help:"Another way if one cannot be asked for, or the user wants one: yes or no." placeholder:"WORD" values:"yes,no"`
	Remember       *string  `help:"How long both factors are not asked for again from the same address, at most 10m; 0: never; empty: it says nothing." placeholder:"DURATION"`
	Prompts        *int     `help:"Messages, pushes and calls to one user in an hour; -1: it says nothing." placeholder:"N"`
	PIN            *string  `name:"pin" help:"A PIN with each code: yes; no: not even from those who have one." placeholder:"WORD" values:"yes,no"`
	Disabled       *bool    `help:"Switch it off, or on again." negatable:""`
}

func (f *ruleFlags) change() (c admin.PolicyRuleChange, err error) {
	c = admin.PolicyRuleChange{Applications: many(f.Application), Users: many(f.User), Tags: many(f.Tag), Groups: many(f.Group), Networks: many(f.Network),
		Outside: many(f.Outside), Countries: many(f.Country), OutsideCountries: many(f.OutsideCountry), Hours: f.Hours, Zone: f.Zone, Access: f.Access,
		Methods: many(f.Methods), OwnOrder: f.OwnOrder, Fallback: f.Fallback, Prompts: f.Prompts, PIN: f.PIN, Disabled: f.Disabled}
	if f.Remember != nil {
		n := -1
		if *f.Remember != "" {
			d, err := time.ParseDuration(strings.TrimSpace(*f.Remember))
			if err != nil || d < 0 || d%time.Second != 0 {
				return c, usage("--remember %q: want a time in whole seconds, as in 5m", *f.Remember)
			}
			n = int(d / time.Second)
		}
		c.RememberSeconds = &n
	}
	return c, nil
}

type policyAdd struct {
	nameArg
	ruleFlags
	Position *int `help:"Its place; 1 is looked at first. Absent: behind all others." placeholder:"N"`
}

func (v *policyAdd) Run(ctx context.Context, e *env) error {
	c, err := v.change()
	if err != nil {
		return err
	}
	c.Name, c.Position = &v.Name, v.Position
	return change[admin.PolicyRule](ctx, e, http.MethodPost, "/policy/rules", c)
}

// setRule changes the rule that is named instead of settings.
func (v *policySet) setRule(ctx context.Context, e *env) error {
	c, err := v.change()
	if err != nil {
		return err
	}
	if c.Name = v.NewName; c == (admin.PolicyRuleChange{}) {
		return usage("nothing to change in rule %s: give at least one flag (see `countersign policy set --help`)", v.Setting[0])
	}
	return change[admin.PolicyRule](ctx, e, http.MethodPatch, path("policy", "rules", v.Setting[0]), c)
}

// ofRule reports whether a rule is named, and not settings.
func (v *policySet) ofRule() (bool, error) {
	c, err := v.change()
	flags := v.NewName != nil || c != (admin.PolicyRuleChange{})
	switch named := !slices.ContainsFunc(v.Setting, func(s string) bool { return strings.Contains(s, "=") }); {
	case err != nil:
		return false, err
	case named && len(v.Setting) == 1 && flags:
		return true, nil
	case flags:
		return false, usage("flags go with the name of one rule, and settings (NAME=VALUE) without flags")
	}
	return false, nil
}

type policyRemove struct{ nameArg }

func (v *policyRemove) Run(ctx context.Context, e *env) error {
	return remove(ctx, e, "policy rule", v.Name, path("policy", "rules", v.Name))
}

type policyMove struct {
	nameArg
	Before   string `help:"In front of this rule." placeholder:"NAME" xor:"to"`
	After    string `help:"Behind this rule." placeholder:"NAME" xor:"to"`
	Position int    `help:"To this place; 1 is looked at first." placeholder:"N" xor:"to"`
}

func (v *policyMove) Run(ctx context.Context, e *env) error {
	m := admin.PolicyRuleMove{Before: v.Before, After: v.After, Position: v.Position}
	return change[admin.PolicyRule](ctx, e, http.MethodPost, path("policy", "rules", v.Name, "move"), m)
}

type policyExplain struct {
	loginArg
	Application string   `required:"" help:"Name of the application."`
	Source      string   `help:"Address that the user comes from."`
	At          deadline `help:"Another time than now: 2026-12-24T22:00:00Z, or 3h from now." placeholder:"TIME"`
	Group       []string `help:"Suppose that the user is in this directory group." placeholder:"GROUP" sep:"none"`
}

func (v *policyExplain) Run(ctx context.Context, e *env) error {
	at, err := v.At.in(e.Now(), e.Location)
	if err != nil {
		return err
	}
	q := query("login", v.Login, "application", v.Application, "source", v.Source)
	if at != nil {
		q.Set("at", at.UTC().Format(time.RFC3339))
	}
	for _, g := range v.Group {
		q.Add("group", g)
	}
	var doc admin.Explanation
	if err := e.call(ctx, http.MethodGet, "/policy/explain", q, nil, &doc); err != nil {
		return err
	}
	return e.table(doc, doc.Rules, "rule", "result", "from")
}
