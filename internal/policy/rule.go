package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
)

// Access is what a rule says about getting in. The zero value of a Ruling's refuses; that of a
// Rule's says nothing.
type Access string

// The answers.
const (
	AccessDeny  Access = "deny"         // refused
	AccessFirst Access = "first-factor" // the first factor is enough
	AccessBoth  Access = "both"         // both factors
)

// Choice is yes, no, or nothing said.
type Choice string

// The choices.
const (
	Yes Choice = "yes"
	No  Choice = "no"
)

// Rule is one line of the group's ordered policy. It applies where every condition that it has
// holds. To each question that it answers the first rule that applies and answers it counts;
// what no rule answers is as the application, then the group's settings, have it.
type Rule struct {
	Name     string `json:"name"`
	Disabled bool   `json:"disabled,omitempty"`

	// Conditions. Of each one value at least must fit; an empty one holds for everybody.
	Applications     []mfa.ApplicationID `json:"applications,omitempty"`
	Users            []mfa.UserID        `json:"users,omitempty"`
	Tags             []string            `json:"tags,omitempty"`
	Groups           []string            `json:"groups,omitempty"`            // of the directory that checked the password, whatever their case
	Networks         []netip.Prefix      `json:"networks,omitempty"`          // the source is in one of them
	Outside          []netip.Prefix      `json:"outside,omitempty"`           // it is in none of them; a source that was not told is in none
	Countries        []string            `json:"countries,omitempty"`         // of the source: ISO 3166, two letters
	OutsideCountries []string            `json:"outside_countries,omitempty"` // it is none of them; an unknown country is none
	Hours            string              `json:"hours,omitempty"`             // "mon-fri 08:00-18:00", see ParseHours
	Zone             string              `json:"zone,omitempty"`              // that hours are in: "Europe/Berlin"

	// Answers. What is empty, or nil, says nothing.
	Access   Access         `json:"access,omitempty"`
	Methods  []mfa.MethodID `json:"methods,omitempty"`   // allowed, in this order, as far as the application allows them
	OwnOrder Choice         `json:"own_order,omitempty"` // the method that users prefer comes first
	Fallback Choice         `json:"fallback,omitempty"`  // another way if one cannot be asked for, or the user wants one
	Remember *Seconds       `json:"remember,omitempty"`  // how long both factors need not be proven again from the same address
	Prompts  *int           `json:"prompts,omitempty"`   // messages, pushes and calls to one user in an hour
	PIN      Choice         `json:"pin,omitempty"`       // a PIN with each code; no: not even from those who have one
}

// Bounds of a policy.
const (
	MaxRules      = 200
	maxConditions = 1000 // values of one condition
	MaxRemember   = 600  // s
)

// Check reports what is wrong with one rule. known says which methods there are.
func (r Rule) Check(known []mfa.MethodID) error {
	switch {
	case r.Name == "" || len(r.Name) > 64 || strings.TrimSpace(r.Name) != r.Name || strings.ContainsAny(r.Name, "/=\x00\n"):
		return fmt.Errorf("rule name %q: want 1 to 64 characters without slash and equals sign", r.Name)
	case r.Access != "" && r.Access != AccessDeny && r.Access != AccessFirst && r.Access != AccessBoth:
		return fmt.Errorf("rule %s: access %q: want deny, first-factor or both", r.Name, r.Access)
	case !r.answers():
		return fmt.Errorf("rule %s answers nothing: give it an access, methods, a remembered time, a number of prompts or the like", r.Name)
	case r.Access == AccessFirst && !r.conditional():
		return fmt.Errorf("rule %s would let everybody pass on the first factor everywhere: give it a condition", r.Name)
	case r.Remember != nil && (*r.Remember < 0 || *r.Remember > MaxRemember):
		return fmt.Errorf("rule %s: remember %d: want 0 to %d seconds", r.Name, *r.Remember, MaxRemember)
	case r.Prompts != nil && (*r.Prompts < 0 || *r.Prompts > 1000):
		return fmt.Errorf("rule %s: prompts %d: want 0 to 1000 an hour", r.Name, *r.Prompts)
	case (r.Hours == "") != (r.Zone == ""):
		return fmt.Errorf("rule %s: hours and their time zone go together", r.Name)
	}
	for what, n := range map[string]int{"applications": len(r.Applications), "users": len(r.Users), "tags": len(r.Tags), "groups": len(r.Groups),
		"networks": len(r.Networks), "outside": len(r.Outside), "countries": len(r.Countries), "outside_countries": len(r.OutsideCountries), "methods": len(r.Methods)} {
		if n > maxConditions {
			return fmt.Errorf("rule %s: %d %s, at most %d", r.Name, n, what, maxConditions)
		}
	}
	for what, c := range map[string]Choice{"own_order": r.OwnOrder, "fallback": r.Fallback, "pin": r.PIN} {
		if c != "" && c != Yes && c != No {
			return fmt.Errorf("rule %s: %s %q: want yes or no", r.Name, what, c)
		}
	}
	for _, m := range r.Methods {
		if !slices.Contains(known, m) {
			return fmt.Errorf("rule %s: method %q: there is no such method", r.Name, m)
		}
	}
	for _, c := range slices.Concat(r.Countries, r.OutsideCountries) {
		if len(c) != 2 || strings.ToUpper(c) != c {
			return fmt.Errorf("rule %s: country %q: want two capital letters (ISO 3166), as in DE", r.Name, c)
		}
	}
	for _, p := range slices.Concat(r.Networks, r.Outside) {
		if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
			return fmt.Errorf("rule %s: network %s: want an address or a network whose bits beyond the mask are zero", r.Name, p)
		}
	}
	_, err := compile(r)
	return err
}

// answers reports whether r says anything at all.
func (r Rule) answers() bool {
	return r.Access != "" || len(r.Methods) > 0 || r.OwnOrder != "" || r.Fallback != "" || r.Remember != nil || r.Prompts != nil || r.PIN != ""
}

func (r Rule) conditional() bool {
	return len(r.Applications)+len(r.Users)+len(r.Tags)+len(r.Groups)+len(r.Networks)+len(r.Outside)+len(r.Countries)+len(r.OutsideCountries) > 0 || r.Hours != ""
}

// Equal reports whether two rules say the same.
func (r Rule) Equal(o Rule) bool { return fmt.Sprintf("%+v", r.flat()) == fmt.Sprintf("%+v", o.flat()) }

// flat is r without pointers.
func (r Rule) flat() any {
	remember, prompts := -1, -1
	if r.Remember != nil {
		remember = int(*r.Remember)
	}
	if r.Prompts != nil {
		prompts = *r.Prompts
	}
	r.Remember, r.Prompts = nil, nil
	return []any{r, remember, prompts}
}

// Hours are times of a week, in some zone.
type Hours struct {
	days     [7]bool // on which a span begins; Sunday is 0
	from, to int     // minutes of the day; to <= from: it ends on the next day
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ParseHours reads "mon-fri 08:00-18:00", "sat,sun 00:00-24:00" or "22:00-06:00" (every day): a
// span that ends before it begins ends on the next day.
func ParseHours(s string) (h Hours, err error) {
	bad := fmt.Errorf("hours %q: want days and a span of time, as in mon-fri 08:00-18:00", s)
	words := strings.Fields(strings.ToLower(s))
	switch len(words) {
	case 1:
		for d := range h.days {
			h.days[d] = true
		}
	case 2:
		for part := range strings.SplitSeq(words[0], ",") {
			first, last, span := strings.Cut(part, "-")
			if !span {
				last = first
			}
			a, b := slices.Index(dayNames, first), slices.Index(dayNames, last)
			if a < 0 || b < 0 {
				return h, bad
			}
			for d := a; ; d = (d + 1) % 7 {
				h.days[d] = true
				if d == b {
					break
				}
			}
		}
	default:
		return h, bad
	}
	from, to, ok := strings.Cut(words[len(words)-1], "-")
	if h.from, ok = minutes(from, ok); !ok || h.from == 24*60 {
		return h, bad
	}
	if h.to, ok = minutes(to, ok); !ok || h.to == h.from {
		return h, bad
	}
	return h, nil
}

func minutes(s string, ok bool) (int, bool) {
	if !ok || len(s) != 5 || s[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	h, m := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	return h*60 + m, h < 24 && m < 60 || h == 24 && m == 0
}

// Include reports whether t, in its own zone, is within h.
func (h Hours) Include(t time.Time) bool {
	day, minute := int(t.Weekday()), t.Hour()*60+t.Minute()
	if h.to > h.from {
		return h.days[day] && minute >= h.from && minute < h.to
	}
	return h.days[day] && minute >= h.from || h.days[(day+6)%7] && minute < h.to
}
