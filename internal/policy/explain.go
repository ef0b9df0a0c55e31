package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// Line is one thing that policy says of a situation, and what said it.
type Line struct {
	Rule   string `json:"rule"`
	Result string `json:"result"`
	From   string `json:"from" doc:"what says so: rule NAME, application NAME, user, credential ID, settings, default"`
}

// Forecast is how a sign-in would go on from here, as far as can be said before a password and
// a code are seen.
type Forecast struct {
	Refuse mfa.Reason       // before anything is asked, or behind the right password
	Pass   mfa.Reason       // with the first factor alone
	Ask    []mfa.Credential // what would be asked for, in this order
}

// explanation collects lines.
type explanation []Line

func (e *explanation) add(rule, from, format string, args ...any) {
	*e = append(*e, Line{rule, fmt.Sprintf(format, args...), from})
}

// Explain tells what a sign-in in that situation would be decided by, line by line, and how it
// would go on. It asks Decide, Gate, Usable and Ways, as sign-ins do. can says which methods the
// front-end can carry.
func (rs Rules) Explain(s *Situation, acct settlement.Account, set Settings, can func(mfa.MethodID) bool) ([]Line, Forecast) {
	var e explanation
	app, here := s.Application, "application "+s.Application.Name
	ruling := rs.Decide(s, set)
	hasFirst := app.FirstFactor != mfa.FirstFactorNone
	f := rs.forecast(s, ruling, acct, hasFirst, can)
	e.outcome(f, ruling, rs, here)
	if app.Disabled {
		e.add("application", here, "refused: %s", mfa.ApplicationDisabled)
	}
	e.add("user state", "user", "%s", acct.User.State)
	if why := Gate(acct.User, acct.Record, hasFirst, s.Now); why != mfa.ReasonNone {
		e.add("gate", "user", "refused: %s", why)
	} else {
		e.add("gate", "user", "open: not denied, not blocked, not locked")
	}
	rs.ruled(&e, s, ruling)
	e.first(app, acct.User)
	if set.PasskeyStandsAlone(app.Name) {
		e.add("first factor", "settings", "or none: a passkey stands for both factors")
	}
	if f.Pass == mfa.ExemptUser {
		e.add("second factor", "user", "none: the user is exempt")
	} else {
		ruling.seconds(&e, rs, app, acct, s.Now)
	}
	e.limits(rs, ruling, app, acct, set)
	return e, f
}

// forecast is what Explain ends with.
func (rs Rules) forecast(s *Situation, r Ruling, acct settlement.Account, hasFirst bool, can func(mfa.MethodID) bool) (f Forecast) {
	if s.Application.Disabled {
		return Forecast{Refuse: mfa.ApplicationDisabled}
	}
	if f.Refuse = Gate(acct.User, acct.Record, hasFirst, s.Now); f.Refuse != mfa.ReasonNone {
		return f
	}
	if f.Refuse = r.Refusal(); f.Refuse != mfa.ReasonNone {
		return f
	}
	if f.Pass = r.FirstFactorAlone(acct.User); f.Pass != mfa.ReasonNone {
		return f
	}
	ruled := r.Application(s.Application)
	var usable []mfa.Credential
	if usable, f.Refuse = Usable(ruled, acct.Credentials, s.Now); f.Refuse != mfa.ReasonNone {
		return f
	}
	if usable, f.Refuse = r.WithPIN(s.Application, acct.Credentials, usable); f.Refuse != mfa.ReasonNone {
		return f
	}
	if f.Ask = r.Ways(ruled, acct.User, Lasting(usable, acct.Record), can); len(f.Ask) == 0 {
		f.Refuse = mfa.PromptImpossible
	}
	return f
}

func (e *explanation) outcome(f Forecast, r Ruling, rs Rules, here string) {
	from := rs.origin(r, onAccess, here)
	switch {
	case f.Refuse == mfa.PolicyDenied:
		e.add("outcome", from, "refused: %s", f.Refuse)
	case f.Refuse != mfa.ReasonNone:
		e.add("outcome", "user", "refused: %s", f.Refuse)
	case f.Pass == mfa.ExemptUser:
		e.add("outcome", "user", "passes on the first factor: %s", f.Pass)
	case f.Pass != mfa.ReasonNone:
		e.add("outcome", from, "passes on the first factor: %s", f.Pass)
	default:
		var ways []string
		for _, c := range f.Ask {
			ways = append(ways, string(c.Method))
		}
		e.add("outcome", from, "asked for a second factor: %s", strings.Join(ways, ", then "))
	}
	if r.Open {
		e.add("outcome", from, "a rule asks for a directory group, which is known once the password is checked: it may turn out otherwise (suppose one with --group)")
	}
}

// ruled adds every rule, whether it applies, and what was answered by it.
func (rs Rules) ruled(e *explanation, s *Situation, r Ruling) {
	for i := range rs.list {
		rule := &rs.list[i]
		from := "rule " + rule.Name
		switch why := rule.fails(s); why {
		case holds:
			var decided []string
			for q := range questions {
				if r.from[q] == i {
					decided = append(decided, questionNames[q])
				}
			}
			if len(decided) == 0 {
				e.add("rule", from, "applies, and what it says was said before it")
				continue
			}
			e.add("rule", from, "applies: decides %s", strings.Join(decided, ", "))
		case disabled, groupOpen:
			e.add("rule", from, "not looked at: %s", why)
		default:
			e.add("rule", from, "does not apply: %s (%s)", why, rule.has(s, why))
		}
	}
}

// has tells what was there where a condition did not hold.
func (r *ready) has(s *Situation, c condition) string {
	switch c {
	case notApp:
		return s.Application.Name
	case notTag:
		return "tags: " + or(strings.Join(s.User.Tags, ", "), "none")
	case notNet, inside:
		if !s.Source.IsValid() {
			return "no source address was told"
		}
		return s.Source.String()
	case notLand, homeLand:
		return or(s.Country, "the country is not known")
	case notHours:
		return s.Now.In(r.zone).Format("Mon 15:04 ") + r.Zone
	case notGroup:
		if s.Application.FirstFactor == mfa.FirstFactorNone {
			return "groups are never known here: the application checks no password"
		}
		return "none of the user's"
	}
	return "another one"
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// origin names what answered a question.
func (rs Rules) origin(r Ruling, q question, here string) string {
	switch at := r.from[q]; at {
	case fromApplication:
		return here
	case fromSettings:
		return "settings"
	case fromUser:
		return "user"
	case builtInDefault:
		return "default"
	default:
		return "rule " + rs.list[at].Name
	}
}

func (e *explanation) first(app mfa.Application, u mfa.User) {
	here := "application " + app.Name
	switch {
	case app.FirstFactor == mfa.FirstFactorNone:
		e.add("first factor", here, "none: the client has checked the password")
	case app.FirstFactor != mfa.FirstFactorLocal && u.Directory != "":
		e.add("first factor", "user", "%s", u.Directory)
	default:
		e.add("first factor", here, "%s", app.FirstFactor)
	}
}

// seconds adds which credentials serve, and why the others do not.
func (r Ruling) seconds(e *explanation, rs Rules, app mfa.Application, acct settlement.Account, now time.Time) {
	here := "application " + app.Name
	ruled := r.Application(app)
	allowed := "every method, in the default order: " + strings.Join(names(defaultOrder), ", ")
	if !r.AnyMethod {
		allowed = or(strings.Join(names(r.Methods), ", "), "none: the rule allows none that the application allows")
	}
	e.add("methods", rs.origin(r, onMethods, here), "%s", allowed)
	if p := acct.User.Preferred; p != "" {
		first := "comes first where it is allowed"
		if !r.OwnOrder {
			first = "does not come first"
		}
		e.add("preferred method", "user", "%s", p)
		e.add("own order", rs.origin(r, onOrder, here), "%s %s", p, first)
	}
	fallback := "another way if one cannot be asked for, or the user wants one"
	if !r.Fallback {
		fallback = "none: the first way alone"
	}
	e.add("fallback", rs.origin(r, onFallback, here), "%s", fallback)
	for _, c := range acct.Credentials {
		if c.Method.FirstFactor() {
			continue
		}
		name := strings.TrimSpace(string(c.Method) + " " + c.Label)
		one := []mfa.Credential{c}
		switch _, why := Usable(ruled, one, now); {
		case why == mfa.ReasonNone && UsedUp(c, acct.Record):
			e.add("second factor", "credential "+string(c.ID), "%s: used up", name)
		case why == mfa.ReasonNone:
			e.add("second factor", "credential "+string(c.ID), "%s: serves", name)
		case !allows(ruled, c.Method):
			e.add("second factor", rs.origin(r, onMethods, here), "%s: this method is not allowed", name)
		case OnlyRecovery(ruled, c):
			e.add("second factor", "default", "%s: serves beside another second factor, or where it is named", name)
		default:
			e.add("second factor", "credential "+string(c.ID), "%s: %s", name, why)
		}
	}
	if _, why := Usable(ruled, acct.Credentials, now); why != mfa.ReasonNone {
		e.add("second factor", "user", "refused: %s", why)
	}
}

func allows(a mfa.Application, m mfa.MethodID) bool {
	for _, other := range a.Methods {
		if other == m {
			return true
		}
	}
	return len(a.Methods) == 0
}

func names(list []mfa.MethodID) []string {
	var all []string
	for _, m := range list {
		all = append(all, string(m))
	}
	return all
}

// limits adds what bounds and what eases a sign-in.
func (e *explanation) limits(rs Rules, r Ruling, app mfa.Application, acct settlement.Account, set Settings) {
	here := "application " + app.Name
	pin := map[Choice]string{Yes: "with each code, from everybody", No: "not asked for", "": "with each code, from those who have one"}[r.PIN]
	if !slices.ContainsFunc(acct.Credentials, func(c mfa.Credential) bool { return c.Method == mfa.MethodPIN && !c.Disabled }) {
		pin += "; the user has none"
	}
	e.add("PIN", rs.origin(r, onPIN, here), "%s", pin)
	e.add("passcode", here, "%s", or(string(app.Passcode), string(mfa.PasscodePrompt)))
	if r.Remember > 0 {
		e.add("remember", rs.origin(r, onRemember, here), "for %s at the same application from the same address", r.Remember.Duration())
	} else {
		e.add("remember", rs.origin(r, onRemember, here), "never")
	}
	e.add("prompts", rs.origin(r, onPrompts, here), "%d messages, pushes and calls an hour", r.Prompts)
	e.add("lock", "settings", "after %d wrong codes for %s; %d so far", set.Tries, set.Lock.Duration(), acct.Record.Fails.N)
	e.add("first factor lock", "settings", "after %d wrong passwords for %s; %d so far", set.FirstTries, set.FirstLock.Duration(), acct.Record.First.N)
	degraded := "refused"
	if app.DegradedAllow {
		degraded = "allowed"
	}
	e.add("without a master", here, "%s", degraded)
}
