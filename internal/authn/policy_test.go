package authn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

func rules(t testing.TB, g *rig, list ...policy.Rule) {
	t.Helper()
	rs, err := policy.Compile(list)
	if err != nil {
		t.Fatal(err)
	}
	g.settings.Rules = rs
}

func secs(n int) *policy.Seconds { s := policy.Seconds(n); return &s }

// A refused user never reaches the directory, and a rule that cannot be read refuses everybody
// as a fault of ours.
func TestARuleRefusesBeforeTheDirectory(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	rules(t, g, policy.Rule{Name: "d", Users: []mfa.UserID{"alice"}, Access: policy.AccessDeny})
	if d := ask(t, e, firstLeg("vpn", "alice", "right"+code(0))); d.Reason != mfa.PolicyDenied || g.dir.count() != 0 || g.dir.pretended != 1 {
		t.Errorf("got %s, the directory was asked %d times", d.Reason, g.dir.count())
	}
	if d := ask(t, e, firstLeg("vpn", "bob", "right"+code(1000))); d.Verdict != mfa.Accept {
		t.Errorf("bob: %s", d.Reason)
	}
	g.settings.Rules = policy.Unreadable(errors.New("damaged"))
	if d, err := e.Authenticate(t.Context(), firstLeg("vpn", "bob", "right"+code(1001))); err == nil {
		t.Errorf("unreadable rules: %s", d.Reason)
	}
}

// A rule that is made between the question and the answer holds for the answer.
func TestARuleHoldsForTheAnswerToo(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	rules(t, g, policy.Rule{Name: "d", Access: policy.AccessDeny})
	if got := ask(t, e, answerTo("vpn", "alice", d, code(0))); got.Reason != mfa.PolicyDenied {
		t.Errorf("got %s %s", got.Verdict, got.Reason)
	}
}

func TestGroupsDecideBehindThePassword(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	rules(t, g, policy.Rule{Name: "members", Groups: []string{"VPN"}, Access: policy.AccessBoth}, policy.Rule{Name: "rest", Access: policy.AccessDeny})
	if d := ask(t, e, firstLeg("vpn", "alice", "wrong")); d.Reason != mfa.WrongPassword {
		t.Errorf("a wrong password: %s", d.Reason)
	}
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Reason != mfa.PolicyDenied {
		t.Errorf("in no group: %s", d.Reason)
	}
	g.dir.groups = []string{"vpn", "printers"}
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge {
		t.Fatalf("in the group: %s %s", d.Verdict, d.Reason)
	}
	g.dir.groups = nil // the answer goes by what the challenge carries
	if got := ask(t, g.engine(), answerTo("vpn", "alice", d, code(0))); got.Verdict != mfa.Accept {
		t.Errorf("answered elsewhere: %s", got.Reason)
	}
	// A group whose members need no code, where the code stands behind the password.
	rules(t, g, policy.Rule{Name: "exempt", Groups: []string{"vpn"}, Access: policy.AccessFirst})
	app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend })(g)
	g.dir.groups = []string{"vpn"}
	if d := ask(t, e, firstLeg("vpn", "bob", "right")); d.Reason != mfa.ExemptPolicy {
		t.Errorf("a member without a code: %s %s", d.Verdict, d.Reason)
	}
	g.dir.groups = nil
	if d := ask(t, e, firstLeg("vpn", "bob", "right")); d.Reason != mfa.EmptyCode {
		t.Errorf("no member, without a code: %s %s", d.Verdict, d.Reason)
	}
	if d := ask(t, e, firstLeg("vpn", "bob", "right"+code(1000))); d.Reason != mfa.OK {
		t.Errorf("no member, with a code: %s", d.Reason)
	}
}

func TestUnknownUsersHeedRules(t *testing.T) {
	g := newRig(t)
	app("vpn", func(a *mfa.Application) { a.UnknownPass, a.UnknownUntil = true, t0.Add(time.Hour) })(g)
	e := g.engine()
	if d := ask(t, e, firstLeg("vpn", "mallory", "right")); d.Reason != mfa.UnknownUserPassed {
		t.Fatalf("no rules: %s", d.Reason)
	}
	asked := g.dir.count()
	rules(t, g, policy.Rule{Name: "d", Networks: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, Access: policy.AccessDeny})
	if d := ask(t, e, from("203.0.113.7", firstLeg("vpn", "mallory", "right"))); d.Reason != mfa.PolicyDenied || g.dir.count() != asked {
		t.Errorf("refused from there: %s", d.Reason)
	}
	rules(t, g, policy.Rule{Name: "b", Access: policy.AccessBoth})
	if d := ask(t, e, firstLeg("vpn", "mallory", "right")); d.Reason != mfa.UnknownUser {
		t.Errorf("both factors are wanted of everybody: %s", d.Reason)
	}
}

// What is remembered is user, application and address, for so long and no longer; on any
// server, in its own reason; and it is settled.
func TestRememberedSuccess(t *testing.T) {
	g := newRig(t)
	g.store.apps["mail"] = mfa.Application{ID: "mail", Name: "mail", Kind: mfa.KindRADIUS, FirstFactor: "corp", Passcode: mfa.PasscodeEither}
	e, other := g.engine(), g.engine()
	const here, there = "203.0.113.7", "203.0.113.8"
	n := uint64(0)
	pass := func() {
		t.Helper()
		if d := ask(t, e, from(here, firstLeg("vpn", "alice", "right"+code(n)))); d.Reason != mfa.OK {
			t.Fatalf("code %d: %s", n, d.Reason)
		}
		n++
	}
	challenged := func(what string, r mfa.Request) {
		t.Helper()
		if d := ask(t, e, r); d.Verdict != mfa.Challenge {
			t.Errorf("%s: %s %s", what, d.Verdict, d.Reason)
		}
	}
	pass()
	challenged("off by default", from(here, firstLeg("vpn", "alice", "right")))
	rules(t, g, policy.Rule{Name: "r", Remember: secs(300)})
	challenged("nothing was remembered before the rule", from(here, firstLeg("vpn", "alice", "right")))
	pass()
	settled := g.store.settled
	if d := ask(t, other, from(here, firstLeg("vpn", "alice", "right"))); d.Verdict != mfa.Accept || d.Reason != mfa.Remembered || g.store.settled != settled+1 {
		t.Errorf("on another server: %s %s, settled %d times", d.Verdict, d.Reason, g.store.settled-settled)
	}
	if v := g.trail.verdicts(); v[len(v)-1].Reason != mfa.Remembered || v[len(v)-1].Credential != "token-alice" {
		t.Errorf("recorded %+v", v[len(v)-1])
	}
	challenged("another address", from(there, firstLeg("vpn", "alice", "right")))
	challenged("no address", from("", firstLeg("vpn", "alice", "right")))
	challenged("a station that is no address", from("aa-bb-cc-dd-ee-ff", firstLeg("vpn", "alice", "right")))
	challenged("another application", from(here, firstLeg("mail", "alice", "right")))
	challenged("another user", from(here, firstLeg("vpn", "bob", "right")))
	if d := ask(t, e, from(here, firstLeg("vpn", "alice", "wrong"))); d.Reason != mfa.WrongPassword {
		t.Errorf("a wrong password: %s", d.Reason)
	}
	app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend })(g)
	if d := ask(t, e, from(here, firstLeg("vpn", "alice", "right"))); d.Reason != mfa.Remembered {
		t.Errorf("where the code stands behind the password, without one: %s", d.Reason)
	}
	if d := ask(t, e, from(there, firstLeg("vpn", "alice", "right"))); d.Reason != mfa.EmptyCode {
		t.Errorf("the same from elsewhere: %s", d.Reason)
	}
	app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeEither })(g)
	if d := ask(t, e, from(here, firstLeg("vpn", "alice", "right"+code(0)))); d.Reason != mfa.ReplayedCode {
		t.Errorf("a code that came along is looked at: %s", d.Reason)
	}
	// Being remembered makes nothing last longer.
	g.advance(299 * time.Second)
	if d := ask(t, e, from(here, firstLeg("vpn", "alice", "right"))); d.Reason != mfa.Remembered {
		t.Errorf("after 299 s: %s", d.Reason)
	}
	g.advance(time.Second)
	challenged("after 300 s", from(here, firstLeg("vpn", "alice", "right")))

	pass()
	g.store.behind = true
	if _, err := e.Authenticate(t.Context(), from(here, firstLeg("vpn", "alice", "right"))); err != nil {
		t.Errorf("a copy that is behind: %v", err)
	} else if v := g.trail.verdicts(); v[len(v)-1].Reason == mfa.Remembered {
		t.Error("remembered from a copy that is behind")
	}
	g.store.behind = false
	g.store.contact = func() (time.Time, bool) { return t0, false }
	challenged("without a master", from(here, firstLeg("vpn", "alice", "right")))
	g.store.contact = nil
	g.store.fork = mfa.Fork{Time: g.now()}
	challenged("of an epoch that ended", from(here, firstLeg("vpn", "alice", "right")))
	g.store.fork = mfa.Fork{}
	g.store.change("alice", func(a *settlement.Account) { a.Credentials[0].Disabled = true })
	if d := ask(t, e, from(here, firstLeg("vpn", "alice", "right"))); d.Verdict == mfa.Accept {
		t.Error("the credential is disabled since")
	}
}

// Where nothing but the code is asked, nothing is proven by a request that brings none: nobody
// passes there on what is remembered, also not on what was while a password was asked.
func TestNothingIsRememberedWithoutAFirstFactor(t *testing.T) {
	const here = "203.0.113.7"
	for _, before := range []string{mfa.FirstFactorNone, "corp"} {
		g := newRig(t)
		rules(t, g, policy.Rule{Name: "r", Remember: secs(300)})
		e := g.engine()
		app("plain", func(a *mfa.Application) { a.FirstFactor, a.Passcode = before, mfa.PasscodeEither })(g)
		password := ""
		if before != mfa.FirstFactorNone {
			password = "right"
		}
		if d := ask(t, e, from(here, firstLeg("plain", "alice", password+code(0)))); d.Reason != mfa.OK {
			t.Fatalf("%s: %s", before, d.Reason)
		}
		app("plain", func(a *mfa.Application) { a.FirstFactor = mfa.FirstFactorNone })(g)
		if d := ask(t, e, from(here, firstLeg("plain", "alice", ""))); d.Verdict == mfa.Accept {
			t.Errorf("%s before: an empty request was accepted: %s", before, d.Reason)
		}
		if n := len(g.store.record("alice").Remembered); before == mfa.FirstFactorNone && n != 0 {
			t.Errorf("%d successes are remembered", n)
		}
	}
}

// A block that the local copy does not show yet is found by the settlement.
func TestRememberedNotWhenBlockedMeanwhile(t *testing.T) {
	g := newRig(t)
	rules(t, g, policy.Rule{Name: "r", Remember: secs(300)})
	e := g.engine()
	if d := ask(t, e, from("203.0.113.7", firstLeg("vpn", "alice", "right"+code(0)))); d.Reason != mfa.OK {
		t.Fatal(d.Reason)
	}
	old, err := g.store.Account(t.Context(), "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	g.store.change("alice", func(a *settlement.Account) { a.User.Block = &mfa.Block{} })
	g.store.stale["alice"] = old
	if d := ask(t, e, from("203.0.113.7", firstLeg("vpn", "alice", "right"))); d.Reason != mfa.Blocked {
		t.Errorf("got %s %s", d.Verdict, d.Reason)
	}
}

func TestPromptsAreCounted(t *testing.T) {
	g, p := newPost(t, mfa.MethodHOTP)
	two, order := 2, []mfa.MethodID{mfa.MethodSMS, mfa.MethodHOTP}
	rules(t, g, policy.Rule{Name: "p", Prompts: &two, Methods: order})
	e := g.engine()
	for n := range 2 {
		if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Verdict != mfa.Challenge || p.count() != n+1 {
			t.Fatalf("prompt %d: %s, %d sent", n, d.Verdict, p.count())
		}
	}
	// The third is not sent; another way that reaches out to nobody is asked for instead.
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	if d.Verdict != mfa.Challenge || p.count() != 2 || d.Message != "Enter your code (or type other)" {
		t.Errorf("got %s %q, %d sent", d.Verdict, d.Message, p.count())
	}
	if got := ask(t, e, answerTo("vpn", "alice", d, code(0))); got.Verdict != mfa.Accept {
		t.Errorf("the other way: %s", got.Reason)
	}
	rules(t, g, policy.Rule{Name: "p", Prompts: &two, Methods: order, Fallback: policy.No})
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Reason != mfa.TooManyPrompts || p.count() != 2 {
		t.Errorf("without a fallback: %s %s", d.Verdict, d.Reason)
	}
}

func TestPreferredMethodComesFirst(t *testing.T) {
	g, p := newPost(t, mfa.MethodHOTP)
	e := g.engine()
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Message != "Enter your code (or type other)" || p.count() != 0 {
		t.Errorf("the default order: %q, %d sent", d.Message, p.count())
	}
	g.store.change("alice", func(a *settlement.Account) { a.User.Preferred = mfa.MethodSMS })
	if ask(t, e, firstLeg("vpn", "alice", "right")); p.count() != 1 {
		t.Errorf("preferred: %d sent", p.count())
	}
	rules(t, g, policy.Rule{Name: "o", OwnOrder: policy.No})
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); d.Message != "Enter your code (or type other)" || p.count() != 1 {
		t.Errorf("the rule's order: %q, %d sent", d.Message, p.count())
	}
	rules(t, g, policy.Rule{Name: "m", Methods: []mfa.MethodID{mfa.MethodHOTP}})
	if d := ask(t, e, firstLeg("vpn", "alice", "right")); p.count() != 1 || d.Verdict != mfa.Challenge {
		t.Errorf("not allowed: %q, %d sent", d.Message, p.count())
	}
}

// What Explain forecasts is what a sign-in does, whatever the rules.
func TestExplainAgreesWithTheDecision(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's dice
	for round := range 400 {
		agree(t, random, round)
		if t.Failed() {
			return
		}
	}
}

func agree(t *testing.T, random *rand.Rand, round int) {
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	g, p := newPost(t)
	var creds []mfa.Credential
	for _, m := range []mfa.MethodID{mfa.MethodSMS, mfa.MethodEmail, mfa.MethodHOTP} {
		if random.IntN(3) > 0 {
			creds = append(creds, mfa.Credential{ID: mfa.CredentialID("c-" + m), User: "alice", Method: m, Digits: 6, Secret: secret.FromString("+491701234567"), Disabled: random.IntN(6) == 0})
		}
	}
	if random.IntN(3) == 0 {
		creds = append(creds, mfa.Credential{ID: "c-pin", User: "alice", Method: mfa.MethodPIN, Digits: 4, Secret: secret.FromString("1379"), Confirmed: t0})
	}
	random.Shuffle(len(creds), func(i, j int) { creds[i], creds[j] = creds[j], creds[i] })
	g.store.change("alice", func(a *settlement.Account) {
		a.Credentials = creds
		a.User.State = []mfa.State{mfa.StateProtected, mfa.StateProtected, mfa.StateProtected, mfa.StateExempt, mfa.StateDenied}[random.IntN(5)]
		a.User.Tags = []string{pick("a", "b")}
		a.User.Preferred = mfa.MethodID(pick("", "sms", "hotp", "email"))
		if random.IntN(8) == 0 {
			a.User.Block = &mfa.Block{}
		}
	})
	app("vpn", func(a *mfa.Application) {
		if random.IntN(2) == 0 {
			a.Methods = []mfa.MethodID{mfa.MethodID(pick("sms", "hotp", "email")), mfa.MethodID(pick("sms", "hotp", "email"))}
			a.Methods = slices.Compact(a.Methods)
		}
		if random.IntN(3) == 0 {
			a.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
		}
		a.FirstFactor = pick("corp", "corp", mfa.FirstFactorNone)
	})(g)
	var list []policy.Rule
	for n := range random.IntN(6) {
		list = append(list, randomRule(random, n))
	}
	rules(t, g, list...)
	groups := [][]string{nil, {"vpn"}, {"printers"}}[random.IntN(3)]
	g.dir.groups = groups
	source := pick("10.1.2.3", "192.0.2.1", "")
	g.advance(time.Duration(random.IntN(7*24)) * time.Hour)

	acct, err := g.store.Account(t.Context(), "alice", true)
	if err != nil {
		t.Fatal(err)
	}
	base, _ := g.store.Application("vpn")
	s := policy.Situation{Application: base, User: acct.User, Source: policy.SourceOf(source), Now: g.now(), GroupsKnown: true, Groups: g.settings.Rules.Digests(nil, groups)}
	lines, want := g.settings.Rules.Explain(&s, acct, g.settings, func(mfa.MethodID) bool { return true })

	e := g.engine()
	r := from(source, firstLeg("vpn", "alice", "right"))
	if base.FirstFactor == mfa.FirstFactorNone {
		r.Password = secret.Text{}
	}
	var began []mfa.MethodID
	d := ask(t, e, r)
	for _, c := range p.codes {
		began = append(began, c.Method)
	}
	said := fmt.Sprintf("round %d: %s %s, sent %v; forecast %+v\n%+v\n%v", round, d.Verdict, d.Reason, began, want, list, lines)
	switch {
	case want.Refuse != mfa.ReasonNone:
		if d.Verdict != mfa.Reject || d.Reason != want.Refuse {
			t.Errorf("forecast refuses: %s", said)
		}
	case want.Pass != mfa.ReasonNone:
		if d.Verdict != mfa.Accept || d.Reason != want.Pass {
			t.Errorf("forecast passes: %s", said)
		}
	default:
		first := want.Ask[0].Method
		if d.Verdict != mfa.Challenge || first.Sends() != (len(began) == 1) || first.Sends() && began[0] != first {
			t.Errorf("forecast asks: %s", said)
		}
	}
	for _, l := range lines {
		if l.Rule == "" || l.Result == "" || l.From == "" {
			t.Errorf("a line without its origin: %+v", l)
		}
	}
}

// randomRule is one of few values, so that they meet.
func randomRule(random *rand.Rand, n int) policy.Rule {
	r := policy.Rule{Name: fmt.Sprint("r", n), Disabled: random.IntN(8) == 0}
	one := func(in int) bool { return random.IntN(in) == 0 }
	if one(3) {
		r.Tags = []string{[]string{"a", "b"}[random.IntN(2)]}
	}
	if one(4) {
		r.Groups = []string{[]string{"VPN", "x"}[random.IntN(2)]}
	}
	if one(4) {
		r.Networks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}
	if one(5) {
		r.Outside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}
	if one(6) {
		r.Applications = []mfa.ApplicationID{[]mfa.ApplicationID{"vpn", "mail"}[random.IntN(2)]}
	}
	if one(5) {
		r.Hours, r.Zone = []string{"mon-fri 08:00-18:00", "22:00-06:00"}[random.IntN(2)], "Europe/Berlin"
	}
	if one(2) {
		r.Access = []policy.Access{policy.AccessDeny, policy.AccessFirst, policy.AccessBoth}[random.IntN(3)]
	}
	if one(2) {
		for _, m := range random.Perm(3)[:1+random.IntN(3)] {
			r.Methods = append(r.Methods, []mfa.MethodID{mfa.MethodSMS, mfa.MethodEmail, mfa.MethodHOTP}[m])
		}
	}
	if one(3) {
		r.OwnOrder = []policy.Choice{policy.Yes, policy.No}[random.IntN(2)]
	}
	if one(4) {
		r.PIN = []policy.Choice{policy.Yes, policy.No}[random.IntN(2)]
	}
	if one(3) {
		r.Fallback = []policy.Choice{policy.Yes, policy.No}[random.IntN(2)]
	}
	return r
}
