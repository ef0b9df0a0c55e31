package policy

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func compiled(t *testing.T, list ...Rule) Rules {
	t.Helper()
	rs, err := Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

func seconds(n int) *Seconds { s := Seconds(n); return &s }

var (
	vpn   = mfa.Application{ID: "vpn", Name: "vpn", FirstFactor: "corp"}
	staff = mfa.User{ID: "alice", State: mfa.StateProtected, Tags: []string{"staff"}}
)

func nets(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// The zero values refuse: of a ruling, of rules that cannot be read.
func TestNothingSaidRefuses(t *testing.T) {
	if why := (Ruling{}).Refusal(); why != mfa.PolicyDenied {
		t.Errorf("the zero ruling: %s", why)
	}
	if app := (Ruling{}).Application(vpn); len(app.Methods) != 1 || app.Methods[0] != noMethod {
		t.Errorf("the zero ruling allows %v", app.Methods)
	}
	r := Unreadable(errors.New("damaged")).Decide(&Situation{Application: vpn, User: staff, Now: now}, Defaults())
	if r.Refusal() != mfa.PolicyDenied {
		t.Errorf("unreadable rules: %+v", r)
	}
	if r := (Rules{}).Decide(&Situation{Application: vpn, User: staff, Now: now}, Defaults()); r.Refusal() != mfa.ReasonNone || r.Access != AccessBoth || !r.AnyMethod {
		t.Errorf("no rules: %+v", r)
	}
}

// To each question the first rule counts that applies and answers it.
func TestFirstAnswerCounts(t *testing.T) {
	rs := compiled(t,
		Rule{Name: "off", Disabled: true, Access: AccessDeny},
		Rule{Name: "other", Applications: []mfa.ApplicationID{"mail"}, Access: AccessDeny},
		Rule{Name: "remember", Tags: []string{"staff"}, Remember: seconds(300)},
		Rule{Name: "office", Networks: nets("10.0.0.0/8"), Access: AccessFirst, Remember: seconds(60)},
		Rule{Name: "methods", Methods: []mfa.MethodID{"sms", "totp"}},
		Rule{Name: "rest", Access: AccessDeny, Methods: []mfa.MethodID{"hotp"}},
	)
	set := Defaults()
	at := func(source string) Ruling {
		return rs.Decide(&Situation{Application: vpn, User: staff, Source: SourceOf(source), Now: now}, set)
	}
	if r := at("10.1.2.3"); r.FirstFactorAlone(staff) != mfa.ExemptPolicy || r.Remember != 300 || len(r.Methods) != 2 || r.Methods[0] != "sms" {
		t.Errorf("office: %+v", r)
	}
	for _, source := range []string{"192.0.2.1", "", "aa-bb-cc-dd-ee-ff"} {
		if r := at(source); r.Refusal() != mfa.PolicyDenied {
			t.Errorf("from %q: %+v", source, r)
		}
	}
}

// A rule never allows a method that the application does not.
func TestMethodsStayWithinTheApplication(t *testing.T) {
	app := vpn
	app.Methods = []mfa.MethodID{"totp", "sms"}
	rs := compiled(t, Rule{Name: "m", Methods: []mfa.MethodID{"email", "sms"}})
	r := rs.Decide(&Situation{Application: app, User: staff, Now: now}, Defaults())
	if got := r.Application(app).Methods; len(got) != 1 || got[0] != "sms" {
		t.Errorf("got %v", got)
	}
	rs = compiled(t, Rule{Name: "m", Methods: []mfa.MethodID{"email"}})
	r = rs.Decide(&Situation{Application: app, User: staff, Now: now}, Defaults())
	creds := []mfa.Credential{{ID: "t", Method: "totp"}, {ID: "e", Method: "email"}}
	if usable, why := Usable(r.Application(app), creds, now); len(usable) != 0 || why != mfa.NoCredential {
		t.Errorf("nothing in common: %v %s", usable, why)
	}
}

// What a directory tells is known only once it has checked the password.
func TestGroupsAreOpenBeforeThePassword(t *testing.T) {
	rs := compiled(t, Rule{Name: "g", Groups: []string{"VPN Users"}, Access: AccessBoth}, Rule{Name: "rest", Access: AccessDeny})
	s := Situation{Application: vpn, User: staff, Now: now}
	if r := rs.Decide(&s, Defaults()); !r.Open || r.Refusal() != mfa.ReasonNone {
		t.Errorf("before the password: %+v", r)
	}
	s.GroupsKnown = true
	if r := rs.Decide(&s, Defaults()); r.Open || r.Refusal() != mfa.PolicyDenied {
		t.Errorf("in no group: %+v", r)
	}
	s.Groups = rs.Digests(nil, []string{"vpn users", "printers"})
	if r := rs.Decide(&s, Defaults()); r.Refusal() != mfa.ReasonNone || len(s.Groups) != 1 {
		t.Errorf("in the group: %+v, carried %v", r, s.Groups)
	}
	// Where nobody tells groups, what lets one in lets nobody in, and what refuses one refuses all.
	s.Application.FirstFactor = mfa.FirstFactorNone
	if r := rs.Decide(&s, Defaults()); r.Refusal() != mfa.PolicyDenied {
		t.Errorf("no first factor: %+v", r)
	}
	rs = compiled(t, Rule{Name: "g", Groups: []string{"contractors"}, Access: AccessDeny})
	if r := rs.Decide(&s, Defaults()); r.Refusal() != mfa.PolicyDenied {
		t.Errorf("no first factor, a group is refused: %+v", r)
	}
	// A rule before it decides at once.
	rs = compiled(t, Rule{Name: "d", Tags: []string{"staff"}, Access: AccessDeny}, Rule{Name: "g", Groups: []string{"x"}, Access: AccessBoth})
	s.Application.FirstFactor, s.GroupsKnown = "corp", false
	if r := rs.Decide(&s, Defaults()); r.Open || r.Refusal() != mfa.PolicyDenied {
		t.Errorf("refused before: %+v", r)
	}
}

// Pages of ours want both factors whatever a rule says, and remember nobody.
func TestOwnPagesWantBoth(t *testing.T) {
	rs := compiled(t, Rule{Name: "o", Networks: nets("10.0.0.0/8"), Access: AccessFirst, Remember: seconds(600)})
	for _, name := range []string{"console", "portal", "invitation"} {
		app := mfa.Application{ID: "x", Name: name, Kind: mfa.KindWeb, FirstFactor: "local"}
		r := rs.Decide(&Situation{Application: app, User: staff, Source: SourceOf("10.0.0.1"), Now: now}, Defaults())
		if r.FirstFactorAlone(staff) != mfa.ReasonNone || r.Remember != 0 || r.Refusal() != mfa.ReasonNone {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// Where no first factor is asked, what is remembered would let a login alone pass.
func TestNoFirstFactorRemembersNobody(t *testing.T) {
	rs, set := compiled(t, Rule{Name: "o", Remember: seconds(600)}), Defaults()
	set.Remember = 300
	for _, rules := range []Rules{rs, {}} {
		for first, want := range map[string]bool{mfa.FirstFactorNone: false, mfa.FirstFactorLocal: true} {
			r := rules.Decide(&Situation{Application: mfa.Application{ID: "x", Kind: mfa.KindAPI, FirstFactor: first}, User: staff, Now: now}, set)
			if (r.Remember > 0) != want {
				t.Errorf("first factor %s, %d rules: remembered for %v", first, rules.Len(), r.Remember.Duration())
			}
		}
	}
}

func TestHours(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(s string) time.Time {
		v, err := time.ParseInLocation("2006-01-02 15:04", s, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	// 2026-11-25 is a Wednesday.
	for _, tt := range []struct {
		hours, at string
		want      bool
	}{
		{"mon-fri 08:00-18:00", "2026-11-25 08:00", true}, {"mon-fri 08:00-18:00", "2026-11-25 17:59", true},
		{"mon-fri 08:00-18:00", "2026-11-25 18:00", false}, {"mon-fri 08:00-18:00", "2026-11-28 12:00", false},
		{"sat,sun 00:00-24:00", "2026-11-28 23:59", true}, {"sat,sun 00:00-24:00", "2026-11-30 00:00", false},
		{"22:00-06:00", "2026-11-25 23:00", true}, {"22:00-06:00", "2026-11-25 05:59", true}, {"22:00-06:00", "2026-11-25 06:00", false},
		{"fri 22:00-06:00", "2026-11-28 05:00", true}, {"fri 22:00-06:00", "2026-11-27 05:00", false},
		{"fri-mon 10:00-11:00", "2026-11-29 10:30", true}, {"fri-mon 10:00-11:00", "2026-11-25 10:30", false},
	} {
		h, err := ParseHours(tt.hours)
		if err != nil {
			t.Fatal(err)
		}
		if got := h.Include(at(tt.at)); got != tt.want {
			t.Errorf("%s at %s: %t", tt.hours, tt.at, got)
		}
	}
	for _, bad := range []string{"", "mon", "8:00-18:00", "mon-fri 08:00", "mon-fri 08:00-08:00", "foo 08:00-18:00", "mon-fri 08:60-18:00", "24:00-08:00", "mon- 08:00-18:00", "mon fri 08:00-18:00", "25:00-26:00"} {
		if _, err := ParseHours(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestRuleCheck(t *testing.T) {
	known := []mfa.MethodID{"totp", "sms"}
	for name, bad := range map[string]Rule{
		"no name":               {Access: AccessDeny},
		"says nothing":          {Name: "x", Tags: []string{"a"}},
		"everybody, one factor": {Name: "x", Access: AccessFirst},
		"unknown access":        {Name: "x", Access: "perhaps"},
		"unknown method":        {Name: "x", Methods: []mfa.MethodID{"telepathy"}},
		"too long":              {Name: "x", Remember: seconds(601)},
		"hours without zone":    {Name: "x", Hours: "08:00-09:00", Access: AccessDeny},
		"no such zone":          {Name: "x", Hours: "08:00-09:00", Zone: "Europe/Bielefeld", Access: AccessDeny},
		"the server's zone":     {Name: "x", Hours: "08:00-09:00", Zone: "Local", Access: AccessDeny},
		"country":               {Name: "x", Countries: []string{"de"}, Access: AccessDeny},
		"bits beyond":           {Name: "x", Networks: []netip.Prefix{netip.PrefixFrom(netip.MustParseAddr("10.0.0.1"), 8)}, Access: AccessDeny},
		"choice":                {Name: "x", Fallback: "maybe"},
	} {
		if bad.Check(known) == nil {
			t.Errorf("%s: taken", name)
		}
	}
	good := Rule{Name: "x", Hours: "08:00-09:00", Zone: "UTC", Access: AccessDeny, Networks: nets("10.0.0.0/8"), Remember: seconds(0)}
	if err := good.Check(known); err != nil {
		t.Error(err)
	}
	if err := CheckAll([]Rule{good, {Name: "X", Access: AccessDeny}}, known); err == nil {
		t.Error("one name twice is taken")
	}
	many := Rule{Name: "g", Access: AccessDeny, Groups: []string{"1", "2", "3", "4", "5", "6", "7", "8", "9"}}
	if err := CheckAll([]Rule{many}, known); err == nil {
		t.Error("more groups than a challenge carries are taken")
	}
	many.Groups = many.Groups[:8]
	if err := CheckGroups([]Rule{many}, mfa.Application{Reply: []mfa.ReplyRule{{Group: "10"}}}); err == nil {
		t.Error("together with reply rules they are too many")
	}
}

// No code through a gateway is enough for the console, whatever a rule says, unless the
// application names the method.
func TestConsoleMethods(t *testing.T) {
	rs := compiled(t, Rule{Name: "m", Tags: []string{"staff"}, Methods: []mfa.MethodID{"email", "sms", "call", "totp"}})
	app := mfa.Application{ID: "x", Name: "console", Kind: mfa.KindWeb, FirstFactor: "local"}
	decide := func(rs Rules) []mfa.MethodID {
		r := rs.Decide(&Situation{Application: app, User: staff, Now: now}, Defaults())
		if r.AnyMethod {
			t.Error("every method is allowed")
		}
		return r.Application(app).Methods
	}
	if got := decide(Rules{}); slices.ContainsFunc(got, mfa.MethodID.Reaches) || !slices.Contains(got, mfa.MethodPasskey) || !slices.Contains(got, mfa.MethodTAP) {
		t.Errorf("without rules: %v", got)
	}
	if got := decide(rs); !slices.Equal(got, []mfa.MethodID{"totp"}) {
		t.Errorf("by a rule: %v", got)
	}
	if app.Methods = []mfa.MethodID{"call"}; !slices.Equal(decide(rs), app.Methods) {
		t.Errorf("named: %v", decide(rs))
	}
}
