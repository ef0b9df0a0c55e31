package policy

import (
	"slices"

	"countersign/internal/mfa"
)

// question is what rules answer.
type question int

const (
	onAccess question = iota
	onMethods
	onOrder
	onFallback
	onRemember
	onPrompts
	onPIN
	questions
)

var questionNames = [questions]string{"access", "methods", "own order", "fallback", "remember", "prompts", "pin"}

// Where an answer comes from that no rule gave.
const (
	fromApplication = -1
	fromSettings    = -2
	fromUser        = -3
	builtInDefault  = -4
)

// Ruling is what the rules, and behind them application and settings, say of one situation. Its
// zero value refuses.
type Ruling struct {
	Access    Access     // never empty when it was decided
	Pass      mfa.Reason // AccessFirst: why the first factor is enough
	Open      bool       // a rule that asks for groups may say otherwise once the password is checked
	Methods   []mfa.MethodID
	AnyMethod bool // every method is allowed, and Methods empty
	OwnOrder  bool
	Fallback  bool
	Remember  Seconds
	Prompts   int
	PIN       Choice // empty: from those who have one

	from [questions]int // index of the rule, or one of the above
}

// Decide answers every question about s. It is what sign-ins are decided by and what Explain
// tells.
func (rs Rules) Decide(s *Situation, set Settings) Ruling {
	if rs.err != nil {
		return Ruling{}
	}
	app := withMethods(s.Application)
	r := Ruling{Access: AccessBoth, Methods: app.Methods, AnyMethod: len(app.Methods) == 0, OwnOrder: true, Fallback: true,
		Remember: set.Remember, Prompts: set.Prompts, PIN: Choice(set.PIN)}
	r.from = [questions]int{builtInDefault, fromApplication, builtInDefault, builtInDefault, fromSettings, fromSettings, fromSettings}
	var answered [questions]bool
	for i := range rs.list {
		rule := &rs.list[i]
		switch rule.fails(s) {
		case holds:
			r.take(rule, i, &answered, app)
		case groupOpen:
			r.Open = r.Open || rule.Access != "" && !answered[onAccess]
			answered[onAccess] = answered[onAccess] || rule.Access != "" // what comes after it is not certain
		}
	}
	if !answered[onAccess] && exemptAddr(s.Application, s.Source) {
		r.Access, r.Pass, r.from[onAccess] = AccessFirst, mfa.ExemptNetwork, fromApplication
	}
	if OwnPages(s.Application) || s.Application.FirstFactor == mfa.FirstFactorNone { // there the second factor is all that is proven
		r.Remember, r.from[onRemember] = 0, builtInDefault
	}
	return r
}

// OwnPages reports whether an application is one of our own: nobody gets into these on a first
// factor alone.
func OwnPages(a mfa.Application) bool {
	return a.Kind == mfa.KindWeb && slices.Contains([]string{"console", "portal", "invitation"}, a.Name)
}

// take has rule answer what was not answered before.
func (r *Ruling) take(rule *ready, i int, answered *[questions]bool, app mfa.Application) {
	says := func(q question, said bool) bool {
		if !said || answered[q] {
			return false
		}
		answered[q], r.from[q] = true, i
		return true
	}
	if says(onAccess, rule.Access != "") {
		r.Access = rule.Access
		if r.Access == AccessFirst && OwnPages(app) {
			r.Access = AccessBoth
		}
		if r.Access == AccessFirst {
			r.Pass = mfa.ExemptPolicy
		}
	}
	if says(onMethods, len(rule.Methods) > 0) {
		r.AnyMethod, r.Methods = false, rule.Methods
		if len(app.Methods) > 0 {
			r.Methods = slices.DeleteFunc(slices.Clone(rule.Methods), func(m mfa.MethodID) bool { return !slices.Contains(app.Methods, m) })
		}
	}
	if says(onOrder, rule.OwnOrder != "") {
		r.OwnOrder = rule.OwnOrder == Yes
	}
	if says(onFallback, rule.Fallback != "") {
		r.Fallback = rule.Fallback == Yes
	}
	if says(onRemember, rule.Remember != nil) {
		r.Remember = *rule.Remember
	}
	if says(onPrompts, rule.Prompts != nil) {
		r.Prompts = *rule.Prompts
	}
	if says(onPIN, rule.PIN != "") {
		r.PIN = rule.PIN
	}
}

// noMethod is the method of applications for which the rules leave none: no credential has it.
const noMethod mfa.MethodID = "none"

// Application returns a with the methods that r leaves.
func (r Ruling) Application(a mfa.Application) mfa.Application {
	switch {
	case r.AnyMethod:
		a.Methods = nil
	case len(r.Methods) == 0:
		a.Methods = []mfa.MethodID{noMethod}
	default:
		a.Methods = r.Methods
	}
	return a
}

// Prefer returns list with the user's preferred method first, if they have one there and the
// rules let it be.
func (r Ruling) Prefer(u mfa.User, list []mfa.Credential) []mfa.Credential {
	if !r.OwnOrder || u.Preferred == "" || len(list) < 2 {
		return list
	}
	first := func(c mfa.Credential) bool { return c.Method == u.Preferred }
	if !slices.ContainsFunc(list, first) {
		return list
	}
	ordered := make([]mfa.Credential, 0, len(list))
	for _, c := range list {
		if first(c) {
			ordered = append(ordered, c)
		}
	}
	for _, c := range list {
		if !first(c) {
			ordered = append(ordered, c)
		}
	}
	return ordered
}

// ChangesPIN reports whether an application is where users change their PIN, or get one.
func ChangesPIN(a mfa.Application) bool { return OwnPages(a) && a.Name == "portal" }

// WithPIN returns those of usable that somebody with these credentials may use: without a PIN,
// where r wants one with each code, only what takes none. If that is nothing, the reason says so.
func (r Ruling) WithPIN(a mfa.Application, all, usable []mfa.Credential) ([]mfa.Credential, mfa.Reason) {
	if r.PIN != Yes || ChangesPIN(a) || slices.ContainsFunc(all, func(c mfa.Credential) bool { return c.Method == mfa.MethodPIN && !c.Disabled }) {
		return usable, mfa.ReasonNone
	}
	var rest []mfa.Credential
	for _, c := range usable {
		if !c.Method.TakesPIN() {
			rest = append(rest, c)
		}
	}
	if len(rest) == 0 {
		return nil, mfa.NoPIN
	}
	return rest, mfa.ReasonNone
}

// Refusal is mfa.PolicyDenied if r refuses, with what is known so far.
func (r Ruling) Refusal() mfa.Reason {
	if r.Access == AccessBoth || r.Access == AccessFirst {
		return mfa.ReasonNone
	}
	return mfa.PolicyDenied
}

// ByRule reports whether a rule has said who gets in, and not the application.
func (r Ruling) ByRule() bool { return r.from[onAccess] >= 0 }

// FirstFactorAlone says why the first factor is enough, or mfa.ReasonNone. What r says of
// getting in must be certain by then.
func (r Ruling) FirstFactorAlone(u mfa.User) mfa.Reason {
	switch {
	case r.Open || r.Refusal() != mfa.ReasonNone:
		return mfa.ReasonNone
	case u.State == mfa.StateExempt:
		return mfa.ExemptUser
	case r.Access == AccessFirst:
		return r.Pass
	}
	return mfa.ReasonNone
}
