package admin_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

func order(t *testing.T, r *rig) (names []string) {
	t.Helper()
	all, err := r.ListRules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, one := range all.Rules {
		if one.Position != i+1 {
			t.Errorf("rule %s is at %d and says %d", one.Name, i+1, one.Position)
		}
		names = append(names, one.Name)
	}
	return names
}

func TestPolicyRules(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.add(t, "alice")
	if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("api")}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c"} {
		if _, err := r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: &name, Access: ptr("deny"), Users: ptr([]string{"ALICE"}), Applications: ptr([]string{"VPN"})}); err != nil {
			t.Fatal(err)
		}
	}
	first, err := r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("first"), Position: ptr(1), Hours: ptr("mon-fri 08:00-18:00"), Zone: ptr("Europe/Berlin"), RememberSeconds: ptr(300)})
	if err != nil || first.Position != 1 || first.Users == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if got := order(t, r); !slices.Equal(got, []string{"first", "a", "b", "c"}) {
		t.Errorf("order %v", got)
	}
	if b, err := r.Rule(ctx, "B"); err != nil || b.Users[0] != "alice" || b.Applications[0] != "vpn" {
		t.Errorf("shown %+v, %v", b, err)
	}
	for _, m := range []struct {
		name string
		to   admin.PolicyRuleMove
		want string
	}{
		{"c", admin.PolicyRuleMove{Before: "a"}, "first c a b"}, {"first", admin.PolicyRuleMove{After: "B"}, "c a b first"},
		{"a", admin.PolicyRuleMove{Position: 1}, "a c b first"}, {"a", admin.PolicyRuleMove{Position: 99}, "c b first a"},
	} {
		if _, err := r.MoveRule(ctx, "root", m.name, m.to); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(order(t, r), " "); got != m.want {
			t.Errorf("%s to %+v: %s, want %s", m.name, m.to, got, m.want)
		}
	}
	for what, err := range map[string]error{
		"nowhere":         second(r.MoveRule(ctx, "root", "a", admin.PolicyRuleMove{})),
		"twice":           second(r.MoveRule(ctx, "root", "a", admin.PolicyRuleMove{Position: 1, Before: "b"})),
		"beside itself":   second(r.MoveRule(ctx, "root", "a", admin.PolicyRuleMove{Before: "a"})),
		"no such rule":    second(r.MoveRule(ctx, "root", "z", admin.PolicyRuleMove{Position: 1})),
		"name taken":      second(r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("A"), Access: ptr("deny")})),
		"says nothing":    second(r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("n"), Tags: ptr([]string{"x"})})),
		"unknown user":    second(r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("n"), Access: ptr("deny"), Users: ptr([]string{"eve"})})),
		"unknown app":     second(r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("n"), Access: ptr("deny"), Applications: ptr([]string{"nope"})})),
		"everybody":       second(r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("n"), Access: ptr("first-factor")})),
		"too long":        second(r.SetRule(ctx, "root", "a", admin.PolicyRuleChange{RememberSeconds: ptr(601)})),
		"emptied":         second(r.SetRule(ctx, "root", "a", admin.PolicyRuleChange{Access: ptr("")})),
		"seen otherwise":  second(r.SetRule(ctx, "root", "a", admin.PolicyRuleChange{Access: ptr("both"), IfMatch: "another"})),
		"moved by change": second(r.SetRule(ctx, "root", "a", admin.PolicyRuleChange{Position: ptr(1)})),
	} {
		if err == nil {
			t.Errorf("%s: taken", what)
		}
	}
	if got := strings.Join(order(t, r), " "); got != "c b first a" {
		t.Errorf("a refused change moved something: %s", got)
	}
	set, err := r.SetRule(ctx, "root", "first", admin.PolicyRuleChange{RememberSeconds: ptr(-1), Hours: ptr(""), Zone: ptr(""), Prompts: ptr(3)})
	if err != nil || set.RememberSeconds != nil || set.Hours != "" || *set.Prompts != 3 {
		t.Errorf("%+v, %v", set, err)
	}
	if err := r.RemoveRule(ctx, "root", "first"); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveRule(ctx, "root", "first"); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	told := map[string]bool{}
	for _, a := range r.trail.Recorded() {
		told[a.Verb] = true
		if strings.HasPrefix(a.Verb, "policy ") && (a.By != "root" || strings.Contains(a.Detail, "alice")) {
			t.Errorf("recorded %+v", a)
		}
	}
	for _, verb := range []string{"policy add", "policy set", "policy move", "policy remove"} {
		if !told[verb] {
			t.Errorf("no act %q", verb)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A rule that names what is gone applies to nobody, and not to everybody.
func TestRulesOfWhatIsGone(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.add(t, "alice")
	r.add(t, "bob")
	if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("api"), FirstFactor: ptr("local")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddRule(ctx, "root", admin.PolicyRuleChange{Name: ptr("d"), Access: ptr("deny"), Users: ptr([]string{"alice"})}); err != nil {
		t.Fatal(err)
	}
	outcome := func(login string) string {
		x, err := r.Explain(ctx, login, admin.ExplainQuery{Application: "vpn"})
		if err != nil {
			t.Fatal(err)
		}
		return x.Outcome + " " + x.Reason
	}
	if got := outcome("alice"); got != "refuse policy_denied" {
		t.Errorf("alice: %s", got)
	}
	if err := r.RemoveUser(ctx, "root", "alice"); err != nil {
		t.Fatal(err)
	}
	if got := outcome("bob"); got != "refuse no_credential" {
		t.Errorf("bob: %s", got)
	}
}

// Explain at another time, from another place, in a group that is supposed.
func TestExplainSupposes(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.add(t, "alice")
	if _, err := r.AddDirectory(ctx, "test", admin.DirectoryChange{Name: ptr("corp"), URLs: ptr([]string{"ldaps://dc"}), BaseDN: ptr("dc=corp"), UserFilter: ptr("(uid={login})")}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.AddApplication(ctx, "test", admin.ApplicationChange{Name: ptr("vpn"), Kind: ptr("api"), FirstFactor: ptr("corp")}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []admin.PolicyRuleChange{
		{Name: ptr("night"), Access: ptr("deny"), Hours: ptr("22:00-06:00"), Zone: ptr("UTC")},
		{Name: ptr("office"), Access: ptr("first-factor"), Networks: ptr([]string{"10.0.0.0/8"})},
		{Name: ptr("members"), Access: ptr("deny"), Groups: ptr([]string{"Guests"})},
	} {
		if _, err := r.AddRule(ctx, "root", c); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		q    admin.ExplainQuery
		want string
	}{
		{admin.ExplainQuery{}, "refuse no_credential"}, // now is noon
		{admin.ExplainQuery{At: noon.AddDate(0, 0, 1).Add(11 * 3600 * 1e9)}, "refuse policy_denied"},
		{admin.ExplainQuery{Source: "10.1.2.3"}, "pass exempt_policy"},
		{admin.ExplainQuery{Groups: []string{"guests"}}, "refuse policy_denied"},
		{admin.ExplainQuery{Groups: []string{}}, "refuse no_credential"},
	} {
		tt.q.Application = "vpn"
		x, err := r.Explain(ctx, "alice", tt.q)
		if err != nil || x.Outcome+" "+x.Reason != tt.want {
			t.Errorf("%+v: %s %s, %v; want %s", tt.q, x.Outcome, x.Reason, err, tt.want)
		}
		if tt.q.Groups == nil && tt.q.Source == "" && tt.q.At.IsZero() && !strings.Contains(fmt.Sprint(x.Rules), "once the password is checked") {
			t.Errorf("that a group is open is not told: %v", x.Rules)
		}
	}
}
