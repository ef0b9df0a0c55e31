package console

import (
	"errors"
	"net/http"
	"strconv"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/mfa"
	"countersign/internal/web"
)

// clause is one condition or answer of a rule: the text rule.KEY, and what it says.
type clause struct{ Key, Value string }

// shownRule is one rule as the list shows it.
type shownRule struct {
	admin.PolicyRule
	Applies, Says []clause
	First, Last   bool
}

func shownRules(all []admin.PolicyRule) []shownRule {
	list := make([]shownRule, len(all))
	for i, r := range all {
		list[i] = shownRule{PolicyRule: r, First: i == 0, Last: i == len(all)-1}
		f := ruleFields(r)
		for _, c := range f.conditions() {
			if c.Value != "" {
				list[i].Applies = append(list[i].Applies, c)
			}
		}
		for _, c := range f.answers() {
			if c.Value != "" {
				list[i].Says = append(list[i].Says, c)
			}
		}
	}
	return list
}

// ruleForm is a rule as it is typed; of lists commas stand between.
type ruleForm struct {
	Name, Applications, Users, Tags, Groups, Networks, Outside, Countries, OutsideCountries, Hours, Zone string
	Access, Methods, OwnOrder, Fallback, Remember, Prompts, PIN                                          string
	Enabled                                                                                              bool
	Old                                                                                                  string // name of the rule that is changed; "": a new one
	Tag                                                                                                  string
}

func ruleFields(r admin.PolicyRule) ruleForm {
	join := func(list []string) string { return strings.Join(list, ", ") }
	number := func(n *int) string {
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	}
	return ruleForm{Name: r.Name, Applications: join(r.Applications), Users: join(r.Users), Tags: join(r.Tags), Groups: join(r.Groups), Networks: join(r.Networks),
		Outside: join(r.Outside), Countries: join(r.Countries), OutsideCountries: join(r.OutsideCountries), Hours: r.Hours, Zone: r.Zone, Access: r.Access, Methods: join(r.Methods),
		OwnOrder: r.OwnOrder, Fallback: r.Fallback, Remember: number(r.RememberSeconds), Prompts: number(r.Prompts), PIN: r.PIN, Enabled: !r.Disabled, Old: r.Name, Tag: r.ETag()}
}

func (f ruleForm) conditions() []clause {
	return []clause{{"applications", f.Applications}, {"users", f.Users}, {"tags", f.Tags}, {"groups", f.Groups}, {"networks", f.Networks}, {"outside", f.Outside},
		{"countries", f.Countries}, {"outside_countries", f.OutsideCountries}, {"hours", strings.TrimSpace(f.Hours + " " + f.Zone)}}
}

func (f ruleForm) answers() []clause {
	return []clause{{"access", f.Access}, {"methods", f.Methods}, {"own_order", f.OwnOrder}, {"fallback", f.Fallback}, {"remember", f.Remember}, {"prompts", f.Prompts}, {"pin", f.PIN}}
}

// readRule takes a form as it was typed, and the change that it asks for.
func (c *Console) readRule(r *http.Request) (ruleForm, admin.PolicyRuleChange, error) {
	get := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	f := ruleForm{Name: get("name"), Applications: get("applications"), Users: get("users"), Tags: get("tags"), Groups: get("groups"), Networks: get("networks"), Outside: get("outside"),
		Countries: get("countries"), OutsideCountries: get("outside_countries"), Hours: get("hours"), Zone: get("zone"), Access: get("access"), Methods: get("methods"),
		OwnOrder: get("own_order"), Fallback: get("fallback"), Remember: get("remember"), Prompts: get("prompts"), PIN: get("pin"), Enabled: get("enabled") != "", Old: r.PathValue("name"), Tag: get("etag")}
	off := !f.Enabled
	list := func(s string) *[]string { l := append([]string{}, words(s)...); return &l }
	groups := []string{} // a name may hold spaces
	for g := range strings.SplitSeq(f.Groups, ",") {
		if g = strings.TrimSpace(g); g != "" {
			groups = append(groups, g)
		}
	}
	change := admin.PolicyRuleChange{Name: &f.Name, Disabled: &off, Applications: list(f.Applications), Users: list(f.Users), Tags: list(f.Tags), Groups: &groups, Networks: list(f.Networks),
		Outside: list(f.Outside), Countries: list(f.Countries), OutsideCountries: list(f.OutsideCountries), Hours: &f.Hours, Zone: &f.Zone, Access: &f.Access, Methods: list(f.Methods),
		OwnOrder: &f.OwnOrder, Fallback: &f.Fallback, PIN: &f.PIN, IfMatch: f.Tag}
	var err error
	for _, n := range []struct {
		label, typed string
		to           **int
	}{{"rule.remember", f.Remember, &change.RememberSeconds}, {"rule.prompts", f.Prompts, &change.Prompts}} {
		value := -1
		if n.typed != "" {
			if value, err = strconv.Atoi(n.typed); err != nil || value < 0 {
				return f, change, c.noNumber(r, n.label, n.typed)
			}
		}
		*n.to = &value
	}
	return f, change, nil
}

func rulesPage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	all, err := c.desk(v).ListRules(r.Context())
	if err != nil {
		return err
	}
	c.show(w, r, http.StatusOK, "rules", view{Nav: "settings", Sub: "rules", Who: v, Data: shownRules(all.Rules)})
	return nil
}

func newRulePage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	c.showRule(w, r, v, http.StatusOK, ruleForm{Enabled: true}, "")
	return nil
}

func rulePage(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	one, err := c.desk(v).Rule(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	c.showRule(w, r, v, http.StatusOK, ruleFields(one), "")
	return nil
}

func (c *Console) showRule(w http.ResponseWriter, r *http.Request, v *visitor, status int, f ruleForm, said string) {
	c.show(w, r, status, "rule", view{Nav: "settings", Sub: "rules", Who: v, Data: f, Error: said})
}

// keepRule makes a rule of a form, or changes one.
func keepRule(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	f, change, err := c.readRule(r)
	switch {
	case err != nil:
	case f.Old == "":
		_, err = c.desk(v).AddRule(r.Context(), change)
	default:
		_, err = c.desk(v).SetRule(r.Context(), f.Old, change)
	}
	switch {
	case errors.Is(err, mfa.ErrChanged):
		c.showRule(w, r, v, http.StatusConflict, f, c.say(r, "changed"))
		return nil
	case mistake(err):
		c.showRule(w, r, v, web.StatusOf(err), f, err.Error())
		return nil
	case err != nil:
		return err
	}
	done(w, r, "/rules", "done.saved")
	return nil
}

// moveRule puts a rule one place up or down.
func moveRule(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	one, err := c.desk(v).Rule(r.Context(), r.PathValue("name"))
	if err != nil {
		return err
	}
	to := max(one.Position-1, 1)
	if r.PostFormValue("to") == "down" {
		to = one.Position + 1
	}
	if _, err := c.desk(v).MoveRule(r.Context(), one.Name, admin.PolicyRuleMove{Position: to}); err != nil {
		return err
	}
	done(w, r, "/rules", "done.saved")
	return nil
}

func removeRule(c *Console, w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := c.desk(v).RemoveRule(r.Context(), r.PathValue("name")); err != nil {
		return err
	}
	done(w, r, "/rules", "done.saved")
	return nil
}
