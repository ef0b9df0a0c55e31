package authn_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/authn"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

func TestOneLeg(t *testing.T) {
	tests := []struct {
		name    string
		set     func(*rig)
		req     mfa.Request
		verdict mfa.Verdict
		reason  mfa.Reason
		asked   int // questions to the directory
	}{
		{"password and code", nil, firstLeg("vpn", "alice", "right"+code(0)), mfa.Accept, mfa.OK, 1},
		{"code alone", nil, firstLeg("plain", "alice", code(3)), mfa.Accept, mfa.OK, 0},
		{"password, then a prompt", nil, firstLeg("vpn", "alice", "right"), mfa.Challenge, mfa.ReasonNone, 1},
		{"no code, then a prompt", nil, firstLeg("plain", "alice", ""), mfa.Challenge, mfa.ReasonNone, 0},
		{"upper case", nil, firstLeg("plain", "ALICE", code(0)), mfa.Accept, mfa.OK, 0},
		{"wrong password", nil, firstLeg("vpn", "alice", "wrong"), mfa.Reject, mfa.WrongPassword, 1},
		{"wrong password, right code", nil, firstLeg("vpn", "alice", "wrong"+code(0)), mfa.Reject, mfa.WrongPassword, 2},
		{"right password, wrong code behind it", nil, firstLeg("vpn", "alice", "right000000"), mfa.Reject, mfa.WrongCode, 1},
		{"empty password", nil, firstLeg("vpn", "alice", ""), mfa.Reject, mfa.EmptyPassword, 1},
		{"wrong code", nil, firstLeg("plain", "alice", "000000"), mfa.Reject, mfa.WrongCode, 0},
		{"code of another user", nil, firstLeg("plain", "alice", code(1000)), mfa.Reject, mfa.WrongCode, 0},
		{"unknown user", nil, firstLeg("vpn", "eve", "right"+code(0)), mfa.Reject, mfa.UnknownUser, 0},
		{"unknown domain", nil, firstLeg("vpn", `CORP\alice`, "right"+code(0)), mfa.Reject, mfa.UnknownUser, 0},
		{"our domain", func(g *rig) { g.settings.Domains = domains("CORP=corp.example") }, firstLeg("vpn", `CORP\alice`, "right"+code(0)), mfa.Accept, mfa.OK, 1},
		{"forms of two users", func(g *rig) {
			g.settings.Domains = domains("CORP=corp.example")
			g.addUser("other", "alice@corp.example")
		}, firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.AmbiguousUser, 0},
		{"empty login", nil, firstLeg("vpn", "", "right"+code(0)), mfa.Reject, mfa.InvalidLogin, 0},
		{"login of 254 bytes", nil, firstLeg("vpn", strings.Repeat("a", 254), "right"), mfa.Reject, mfa.InvalidLogin, 0},
		{"login with NUL", nil, firstLeg("vpn", "alice\x00", "right"), mfa.Reject, mfa.InvalidLogin, 0},
		{"login not UTF-8", nil, firstLeg("vpn", "alice\xff", "right"), mfa.Reject, mfa.InvalidLogin, 0},
		{"login of a space", nil, firstLeg("vpn", " ", "right"), mfa.Reject, mfa.InvalidLogin, 0},
		{"unknown application", nil, firstLeg("nowhere", "alice", "right"), mfa.Reject, mfa.ApplicationUnknown, 0},
		{"application off", app("vpn", func(a *mfa.Application) { a.Disabled = true }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.ApplicationDisabled, 0},
		{"front-end refuses", nil, refused(mfa.MalformedRequest), mfa.Reject, mfa.MalformedRequest, 0},
		{"blocked", user(func(a *settlement.Account) { a.User.Block = &mfa.Block{By: "root"} }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.Blocked, 0},
		{"block over", user(func(a *settlement.Account) { a.User.Block = &mfa.Block{Until: t0} }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Accept, mfa.OK, 1},
		{"locked", user(func(a *settlement.Account) { a.Record.Fails.Until = t0.Add(time.Second) }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.Locked, 0},
		{"first factor locked", user(func(a *settlement.Account) { a.Record.First.Until = t0.Add(time.Second) }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.FirstFactorLocked, 0},
		{"first factor locked, none asked", user(func(a *settlement.Account) { a.Record.First.Until = t0.Add(time.Second) }), firstLeg("plain", "alice", code(0)), mfa.Accept, mfa.OK, 0},
		{"denied", user(func(a *settlement.Account) { a.User.State = mfa.StateDenied }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.Denied, 0},
		{"state unclear", user(func(a *settlement.Account) { a.User.State = 99 }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.Denied, 0},
		{"exempt", user(func(a *settlement.Account) { a.User.State = mfa.StateExempt }), firstLeg("vpn", "alice", "right"), mfa.Accept, mfa.ExemptUser, 1},
		{"exempt, wrong password", user(func(a *settlement.Account) { a.User.State = mfa.StateExempt }), firstLeg("vpn", "alice", "wrong"), mfa.Reject, mfa.WrongPassword, 1},
		{"no credential", user(func(a *settlement.Account) { a.Credentials = nil }), firstLeg("vpn", "alice", "right"), mfa.Reject, mfa.NoCredential, 1},
		{"no credential, wrong password", user(func(a *settlement.Account) { a.Credentials = nil }), firstLeg("vpn", "alice", "wrong"), mfa.Reject, mfa.WrongPassword, 1},
		{"credential off", user(func(a *settlement.Account) { a.Credentials[0].Disabled = true }), firstLeg("plain", "alice", code(0)), mfa.Reject, mfa.CredentialDisabled, 0},
		{"credential expired", user(func(a *settlement.Account) { a.Credentials[0].Expires = t0 }), firstLeg("plain", "alice", code(0)), mfa.Reject, mfa.CredentialExpired, 0},
		{"credential for elsewhere", user(func(a *settlement.Account) { a.Credentials[0].Scope = []string{"mail"} }), firstLeg("plain", "alice", code(0)), mfa.Reject, mfa.WrongScope, 0},
		{"method not allowed here", app("plain", func(a *mfa.Application) { a.Methods = []mfa.MethodID{mfa.MethodTOTP} }), firstLeg("plain", "alice", code(0)), mfa.Reject, mfa.NoCredential, 0},
		{"unknown user passes", app("vpn", passUnknownUntil(t0.Add(time.Second))), firstLeg("vpn", "eve", "right"), mfa.Accept, mfa.UnknownUserPassed, 1},
		{"unknown user, at the end of that", app("vpn", passUnknownUntil(t0)), firstLeg("vpn", "eve", "right"), mfa.Reject, mfa.UnknownUser, 0},
		{"unknown user, no end set", app("vpn", passUnknownUntil(time.Time{})), firstLeg("vpn", "eve", "right"), mfa.Reject, mfa.UnknownUser, 0},
		{"unknown user, wrong password", app("vpn", passUnknownUntil(t0.Add(time.Second))), firstLeg("vpn", "eve", "wrong"), mfa.Reject, mfa.WrongPassword, 1},
		{"a user under a domain that is not ours never passes as unknown", app("vpn", passUnknownUntil(t0.Add(time.Second))), firstLeg("vpn", "alice@elsewhere.example", "right"), mfa.Reject, mfa.AmbiguousUser, 0},
		{"nor under a short one", app("vpn", passUnknownUntil(t0.Add(time.Second))), firstLeg("vpn", `CORP\alice`, "right"), mfa.Reject, mfa.AmbiguousUser, 0},
		{"unknown user of another domain passes", app("vpn", passUnknownUntil(t0.Add(time.Second))), firstLeg("vpn", "eve@elsewhere.example", "right"), mfa.Accept, mfa.UnknownUserPassed, 1},
		{"ambiguous never passes", func(g *rig) {
			app("vpn", passUnknownUntil(t0.Add(time.Second)))(g)
			g.settings.Domains = domains("CORP=corp.example")
			g.addUser("other", "alice@corp.example")
		}, firstLeg("vpn", "alice", "right"), mfa.Reject, mfa.AmbiguousUser, 0},
		{"exempt network", exemptNet("10.0.0.0/8"), from("::ffff:10.1.2.3", firstLeg("vpn", "alice", "right")), mfa.Accept, mfa.ExemptNetwork, 1},
		{"other network", exemptNet("10.0.0.0/8"), from("11.1.2.3", firstLeg("vpn", "alice", "right")), mfa.Challenge, mfa.ReasonNone, 1},
		{"source is no address", exemptNet("0.0.0.0/0"), from("00-11-22-33-44-55", firstLeg("vpn", "alice", "right")), mfa.Challenge, mfa.ReasonNone, 1},
		{"client cannot prompt", nil, mfa.Request{Application: "vpn", Login: "alice", Password: secret.FromString("right")}, mfa.Reject, mfa.PromptImpossible, 1},
		{"append without a code", app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend }), firstLeg("vpn", "alice", "right"), mfa.Reject, mfa.EmptyCode, 0},
		{"append", app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Accept, mfa.OK, 1},
		{"prompt takes the field whole", app("vpn", func(a *mfa.Application) { a.Passcode = mfa.PasscodePrompt }), firstLeg("vpn", "alice", "right"+code(0)), mfa.Reject, mfa.WrongPassword, 1},
		{"forged handle", nil, mfa.Request{Application: "vpn", Login: "alice", Handle: []byte("forged forged forged forged forged"), Answer: secret.FromString(code(0))}, mfa.Reject, mfa.ChallengeInvalid, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			if tt.set != nil {
				tt.set(g)
			}
			d := ask(t, g.engine(), tt.req)
			if d.Verdict != tt.verdict || d.Reason != tt.reason {
				t.Errorf("got %s %s, want %s %s", d.Verdict, d.Reason, tt.verdict, tt.reason)
			}
			if got := g.dir.count(); got != tt.asked {
				t.Errorf("the directory was asked %d times, want %d", got, tt.asked)
			}
			if who := d.User; (who == "alice") != (d.Verdict == mfa.Accept && d.Reason != mfa.UnknownUserPassed) || who != "" && who != "alice" {
				t.Errorf("%s %s of user %q", d.Verdict, d.Reason, who)
			}
			v := g.trail.verdicts()
			switch {
			case tt.verdict == mfa.Challenge && g.trail.asked() != 1:
				t.Errorf("a challenge left %d records that say so, want 1", g.trail.asked())
			case tt.verdict == mfa.Challenge && len(v) != 0:
				t.Errorf("a challenge left the verdict %+v", v)
			case tt.verdict != mfa.Challenge && (len(v) != 1 || v[0].Reason != tt.reason || v[0].Verdict != tt.verdict || v[0].ID != d.Attempt):
				t.Errorf("trail: got %+v, want one record of attempt %s: %s %s", v, d.Attempt, tt.verdict, tt.reason)
			}
			if tt.verdict == mfa.Reject && (strings.Contains(d.Message, tt.reason.String()) || !strings.Contains(d.Message, d.Attempt.String())) {
				t.Errorf("the user reads %q; want the attempt id and not the reason", d.Message)
			}
		})
	}
}

func domains(s string) []policyDomain { d, _ := parseDomain(s); return []policyDomain{d} }

func passUnknownUntil(end time.Time) func(*mfa.Application) {
	return func(a *mfa.Application) { a.UnknownPass, a.UnknownUntil = true, end }
}

func app(id mfa.ApplicationID, f func(*mfa.Application)) func(*rig) {
	return func(g *rig) {
		a := g.store.apps[id]
		f(&a)
		g.store.apps[id] = a
	}
}

func user(f func(*settlement.Account)) func(*rig) {
	return func(g *rig) { g.store.change("alice", f) }
}

func exemptNet(p string) func(*rig) {
	return app("vpn", func(a *mfa.Application) { a.Exempt = []netip.Prefix{netip.MustParsePrefix(p)} })
}

func from(source string, r mfa.Request) mfa.Request { r.Source = source; return r }

func refused(why mfa.Reason) mfa.Request {
	r := firstLeg("vpn", "alice", "right")
	r.Refuse = why
	return r
}

func TestChallengeAndAnswer(t *testing.T) {
	g := newRig(t)
	d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"))
	ok := ask(t, g.engine(), answerTo("vpn", "alice", d, code(0))) // another server finishes it
	if ok.Verdict != mfa.Accept || ok.Attempt != d.Attempt || ok.Method != mfa.MethodHOTP {
		t.Fatalf("answer: got %s %s in attempt %s, want accept in %s", ok.Verdict, ok.Reason, ok.Attempt, d.Attempt)
	}
	again := ask(t, g.engine(), answerTo("vpn", "alice", d, code(1)))
	if again.Verdict != mfa.Reject || again.Reason != mfa.ChallengeReplayed {
		t.Errorf("handle used twice: got %s %s, want reject challenge_replayed", again.Verdict, again.Reason)
	}
	if v := g.trail.verdicts(); len(v) != 2 || v[0].ID != d.Attempt || v[1].ID == d.Attempt {
		t.Errorf("trail: %+v; want one verdict for the attempt and one for the replay under its own id", v)
	}
}

func TestAnswerRefused(t *testing.T) {
	tests := []struct {
		name   string
		answer func(g *rig, d mfa.Decision) mfa.Request
		reason mfa.Reason
		spent  bool // the handle is good no longer
	}{
		{"wrong code", func(_ *rig, d mfa.Decision) mfa.Request { return answerTo("vpn", "alice", d, "000000") }, mfa.WrongCode, true},
		{"empty code", func(_ *rig, d mfa.Decision) mfa.Request { return answerTo("vpn", "alice", d, "") }, mfa.EmptyCode, false},
		{"another client", func(_ *rig, d mfa.Decision) mfa.Request { return answerTo("plain", "alice", d, code(0)) }, mfa.ChallengeOtherClient, false},
		{"another user", func(_ *rig, d mfa.Decision) mfa.Request { return answerTo("vpn", "bob", d, code(0)) }, mfa.ChallengeOtherUser, false},
		{"nobody", func(_ *rig, d mfa.Decision) mfa.Request { return answerTo("vpn", "eve", d, code(0)) }, mfa.ChallengeOtherUser, false},
		{"expired", func(g *rig, d mfa.Decision) mfa.Request {
			g.advance(120 * time.Second)
			return answerTo("vpn", "alice", d, code(0))
		}, mfa.ChallengeExpired, false},
		{"blocked meanwhile", func(g *rig, d mfa.Decision) mfa.Request {
			g.store.change("alice", func(a *settlement.Account) { a.User.Block = &mfa.Block{By: "root"} })
			return answerTo("vpn", "alice", d, code(0))
		}, mfa.Blocked, false},
		{"removed meanwhile", func(g *rig, d mfa.Decision) mfa.Request {
			delete(g.store.accts, "alice")
			return answerTo("vpn", "alice", d, code(0))
		}, mfa.UnknownUser, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			e := g.engine()
			d := ask(t, e, firstLeg("vpn", "alice", "right"))
			got := ask(t, e, tt.answer(g, d))
			if got.Verdict != mfa.Reject || got.Reason != tt.reason {
				t.Errorf("got %s %s, want reject %s", got.Verdict, got.Reason, tt.reason)
			}
			if spent := len(g.store.record("alice").Nonces) > 0; spent != tt.spent {
				t.Errorf("handle spent: %v, want %v", spent, tt.spent)
			}
		})
	}
}

func TestRetriesGetNewPrompts(t *testing.T) {
	g := newRig(t)
	app("vpn", func(a *mfa.Application) { a.Retries = 2 })(g)
	e := g.engine()
	d := ask(t, e, firstLeg("vpn", "alice", "right"))
	for i := range 2 {
		next := ask(t, e, answerTo("vpn", "alice", d, fmt.Sprintf("%06d", i)))
		if next.Verdict != mfa.Challenge || next.Attempt != d.Attempt || string(next.Handle) == string(d.Handle) {
			t.Fatalf("wrong answer %d: got %s %s, want a new challenge of the same attempt", i+1, next.Verdict, next.Reason)
		}
		if old := ask(t, e, answerTo("vpn", "alice", d, code(0))); old.Reason != mfa.ChallengeReplayed {
			t.Errorf("the handle before: %s, want challenge_replayed", old.Reason)
		}
		d = next
	}
	if last := ask(t, e, answerTo("vpn", "alice", d, "000009")); last.Verdict != mfa.Reject || last.Reason != mfa.WrongCode {
		t.Errorf("third wrong answer: got %s %s, want reject wrong_code", last.Verdict, last.Reason)
	}
}

func TestUsedCodeIsRefusedAndNotCounted(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	ask(t, e, firstLeg("plain", "alice", code(0)))
	for range 10 {
		if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Reason != mfa.ReplayedCode {
			t.Fatalf("used code: got %s, want replayed_code", d.Reason)
		}
	}
	if v := g.trail.verdicts(); v[1].Method != mfa.MethodHOTP || v[1].Credential != "token-alice" {
		t.Errorf("the record of a used code names method %q and credential %q", v[1].Method, v[1].Credential)
	}
	if d := ask(t, e, firstLeg("plain", "alice", code(1))); d.Verdict != mfa.Accept {
		t.Errorf("next code: got %s %s, want accept", d.Verdict, d.Reason)
	}
}

func TestSameWrongAnswerCountsOnceAMinute(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	for range 20 {
		ask(t, e, firstLeg("plain", "alice", "111111"))
		ask(t, e, firstLeg("vpn", "alice", "saved-password"))
	}
	r := g.store.record("alice")
	if r.Fails.N != 1 || r.First.N != 1 {
		t.Errorf("failures booked: %d second, %d first; want 1 and 1", r.Fails.N, r.First.N)
	}
	if got := g.dir.count(); got != 1 {
		t.Errorf("the directory was asked %d times for the same wrong password, want once", got)
	}
	g.advance(time.Minute)
	ask(t, e, firstLeg("plain", "alice", "111111"))
	if r := g.store.record("alice"); r.Fails.N != 2 {
		t.Errorf("a minute later: %d failures, want 2", r.Fails.N)
	}
}

func TestSourceThrottle(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	for i := range 30 {
		if d := ask(t, e, from("198.51.100.7", firstLeg("plain", fmt.Sprintf("eve%d", i), code(0)))); d.Reason != mfa.UnknownUser {
			t.Fatalf("guess %d: %s", i, d.Reason)
		}
	}
	if d := ask(t, e, from("198.51.100.7", firstLeg("plain", "alice", code(0)))); d.Reason != mfa.SourceThrottled {
		t.Errorf("after 30 failures: %s, want source_throttled", d.Reason)
	}
	if d := ask(t, e, from("198.51.100.8", firstLeg("plain", "alice", code(0)))); d.Verdict != mfa.Accept {
		t.Errorf("another source: %s %s, want accept", d.Verdict, d.Reason)
	}
	g.advance(10 * time.Second)
	if d := ask(t, e, from("198.51.100.7", firstLeg("plain", "alice", code(1)))); d.Verdict != mfa.Accept {
		t.Errorf("ten seconds later: %s %s, want accept", d.Verdict, d.Reason)
	}
}

func TestFaultsAreOursAndSilent(t *testing.T) {
	tests := []struct {
		name string
		set  func(*rig)
	}{
		{"directory down", func(g *rig) { g.dir.err = errDown }},
		{"trail broken", func(g *rig) { g.trail.err = errDown }},
		{"database refuses", func(g *rig) {
			g.store.fault = func() (bool, error) { return false, mfa.ErrUnavailable }
		}},
		{"outcome never known", func(g *rig) {
			g.store.fault = func() (bool, error) { return false, mfa.ErrUnknownOutcome }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t)
			tt.set(g)
			d, err := g.engine().Authenticate(t.Context(), firstLeg("vpn", "alice", "right"+code(0)))
			var why mfa.Reason
			if err == nil || errors.As(err, &why) {
				t.Errorf("got %s %s, error %v; want an error that is no reason", d.Verdict, d.Reason, err)
			}
			if d.Verdict != mfa.Reject || d.Handle != nil {
				t.Errorf("the decision beside the error is %+v, want the zero one", d)
			}
			if n := g.store.record("alice").Fails.N; n != 0 {
				t.Errorf("our fault was booked as %d failures of the user", n)
			}
		})
	}
}

func TestPanicIsAFaultOfOurs(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	g.store.fault = func() (bool, error) { panic("boom") }
	if d, err := e.Authenticate(t.Context(), firstLeg("plain", "alice", code(0))); err == nil || d.Verdict != mfa.Reject {
		t.Errorf("a panic: %s, %v; want an error", d.Verdict, err)
	}
	g.store.fault = nil
	if d := ask(t, e, firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Accept {
		t.Errorf("the same user afterwards: %s %s, want accept (no lock left behind)", d.Verdict, d.Reason)
	}
}

// A code guessed behind a right password counts against the second factor, not the first.
func TestAppendedGuessesStopAtTheLimit(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	count := map[mfa.Reason]int{}
	for i := range 20 {
		count[ask(t, e, firstLeg("vpn", "alice", fmt.Sprintf("right%06d", i))).Reason]++
	}
	if count[mfa.WrongCode] != 5 || count[mfa.Locked] != 15 {
		t.Errorf("20 guesses behind a right password: %v, want 5 wrong_code and 15 locked", count)
	}
}

// What is right clears its own failures: who has the token does not guess the password for ever by it, nor
// the other way round.
func TestEachFactorClearsItsOwnFailures(t *testing.T) {
	few := settlement.Count{N: 3, Last: t0}
	for _, test := range []struct {
		name          string
		set           func(*rig)
		req           mfa.Request
		second, first bool // whether they are cleared
	}{
		{"both", nil, firstLeg("vpn", "alice", "right"+code(0)), true, true},
		{"a code alone", nil, firstLeg("plain", "alice", code(0)), true, false},
		{"a password alone", user(func(a *settlement.Account) { a.User.State = mfa.StateExempt }), firstLeg("vpn", "alice", "right"), false, true},
	} {
		g := newRig(t)
		user(func(a *settlement.Account) { a.Record.Fails, a.Record.First = few, few })(g)
		if test.set != nil {
			test.set(g)
		}
		if d := ask(t, g.engine(), test.req); d.Verdict != mfa.Accept {
			t.Fatalf("%s: %s %s", test.name, d.Verdict, d.Reason)
		}
		r := g.store.record("alice")
		if (r.Fails == settlement.Count{}) != test.second || (r.First == settlement.Count{}) != test.first {
			t.Errorf("%s leaves %+v of the second factor and %+v of the first", test.name, r.Fails, r.First)
		}
	}
}

// The right code of what does not serve there is no guess, and the record says why it did not.
func TestRightCodeOfWhatDoesNotServe(t *testing.T) {
	for _, test := range []struct {
		set  func(*mfa.Credential)
		want mfa.Reason
	}{
		{func(c *mfa.Credential) { c.Scope = []string{"mail"} }, mfa.WrongScope},
		{func(c *mfa.Credential) { c.Expires = t0 }, mfa.CredentialExpired},
		{func(c *mfa.Credential) { c.Disabled = true }, mfa.CredentialDisabled},
		{func(c *mfa.Credential) { c.Hold = mfa.ResyncRequired }, mfa.ResyncRequired},
		{func(c *mfa.Credential) { c.Awaits = true }, mfa.PassNotApproved},
		{func(c *mfa.Credential) { c.Method = mfa.MethodTOTP }, mfa.WrongCode}, // one that the application does not take
	} {
		g := newRig(t)
		app("plain", func(a *mfa.Application) { a.Methods = []mfa.MethodID{mfa.MethodHOTP} })(g)
		user(func(a *settlement.Account) {
			other := a.Credentials[0]
			other.ID, other.Counter = "other", 500
			test.set(&other)
			a.Credentials = append(a.Credentials, other)
		})(g)
		e := g.engine()
		d := ask(t, e, firstLeg("plain", "alice", code(500)))
		asked := ask(t, e, firstLeg("plain", "alice", ""))
		answered := ask(t, e, answerTo("plain", "alice", asked, code(501)))
		appended := ask(t, e, firstLeg("vpn", "alice", "right"+code(502)))
		if want := test.want; want != mfa.WrongCode && appended.Reason != want {
			t.Errorf("its code behind the password is refused for %s, want %s", appended.Reason, want)
		}
		fails := int(g.store.record("alice").Fails.N)
		if d.Reason != test.want || answered.Reason != test.want || answered.Verdict != mfa.Reject || (fails == 0) != (test.want != mfa.WrongCode) {
			t.Errorf("its code is refused for %s, and as an answer for %s with %d failures; want %s", d.Reason, answered.Reason, fails, test.want)
		}
	}
}

// The code of a token that is held is no part of the password, also where its user has no other.
func TestCodeOfAHeldTokenIsNoPartOfThePassword(t *testing.T) {
	for _, test := range []struct {
		typed string
		want  mfa.Reason
		asked int
	}{
		{"right" + code(0), mfa.ResyncRequired, 1},
		{"right" + "123456", mfa.ResyncRequired, 1}, // whether it is right is not known before that
		{"right", mfa.ResyncRequired, 1},
		{"wrong" + code(0), mfa.WrongPassword, 2},
	} {
		g := newRig(t)
		user(func(a *settlement.Account) { a.Credentials[0].Hold = mfa.ResyncRequired })(g)
		d := ask(t, g.engine(), firstLeg("vpn", "alice", test.typed))
		if r := g.store.record("alice"); d.Reason != test.want || g.dir.asked != test.asked || (r.First.N > 0) != (test.want == mfa.WrongPassword) {
			t.Errorf("%q: %s after %d questions to the directory, %+v; want %s after %d", test.typed, d.Reason, g.dir.asked, r.First, test.want, test.asked)
		}
	}
}

// A lost answer of the write is read back: the leg's own result is its result.
func TestLostAnswerOfTheWrite(t *testing.T) {
	for _, applied := range []bool{true, false} {
		g := newRig(t)
		lost := false
		g.store.fault = func() (bool, error) {
			if !lost {
				lost = true
				return applied, mfa.ErrUnknownOutcome
			}
			return true, nil
		}
		e := g.engine()
		r := firstLeg("plain", "alice", code(0))
		r.Leg = mfa.LegID{1}
		d := ask(t, e, r)
		if d.Verdict != mfa.Accept {
			t.Errorf("applied %v: got %s %s, want accept", applied, d.Verdict, d.Reason)
		}
		if g.store.settled != 1 {
			t.Errorf("applied %v: settled %d times, want once", applied, g.store.settled)
		}
		if s := g.trail.settlements(); len(s) != 1 || s[0].State != mfa.Committed || s[0].Leg != r.Leg {
			t.Errorf("applied %v: ledger %+v, want one committed entry of the leg", applied, s)
		}
	}
}

// A settlement whose outcome stayed open left nobody answered and no verdict. When the client
// asks once more and it stands, that is the answer, and it is recorded: once.
func TestAnswerAfterAnOpenOutcomeIsRecorded(t *testing.T) {
	for name, r := range map[string]mfa.Request{"accept": firstLeg("plain", "alice", code(0)), "reject": firstLeg("plain", "alice", "000000")} {
		g := newRig(t)
		e := g.engine()
		g.store.fault = func() (bool, error) { return true, mfa.ErrUnknownOutcome }
		g.store.unread = mfa.ErrUnavailable
		r.Leg = mfa.LegID{1}
		if _, err := e.Authenticate(t.Context(), r); !errors.Is(err, mfa.ErrUnknownOutcome) || len(g.trail.verdicts()) != 0 {
			t.Fatalf("%s: %v, recorded %+v; want an open outcome and no verdict", name, err, g.trail.verdicts())
		}
		g.store.fault, g.store.unread = nil, nil
		first := ask(t, e, r)
		all := g.trail.verdicts()
		if len(all) != 1 || all[0].Verdict != first.Verdict || all[0].ID != first.Attempt || (all[0].Method == mfa.MethodHOTP) != (name == "accept") || all[0].User != "alice" {
			t.Errorf("%s: answered %+v, recorded %+v", name, first, all)
		}
		if second := ask(t, e, r); second.Verdict != first.Verdict || second.Attempt != first.Attempt || len(g.trail.verdicts()) != 1 {
			t.Errorf("%s: asked a third time: %+v, recorded %+v", name, second, g.trail.verdicts())
		}
		if s := g.trail.settlements(); len(s) != 2 || s[0].State != mfa.Unknown || s[1].State != mfa.Committed || s[0].Attempt != s[1].Attempt {
			t.Errorf("%s: ledger %+v", name, s)
		}
		if g.store.settled != 1 {
			t.Errorf("%s: settled %d times", name, g.store.settled)
		}
	}
}

// A retransmit of a settled leg gets the same answer from any server, after a restart
// too, and leaves no second record.
func TestRetransmitAfterRestart(t *testing.T) {
	g := newRig(t)
	for name, r := range map[string]mfa.Request{"accept": firstLeg("plain", "alice", code(0)), "reject": firstLeg("plain", "bob", "000000")} {
		r.Leg = mfa.LegID{byte(len(name)), name[0]}
		before := ask(t, g.engine(), r)
		records := len(g.trail.records)
		after := ask(t, g.engine(), r)
		if after.Verdict != before.Verdict || after.Reason != before.Reason || after.Attempt != before.Attempt {
			t.Errorf("%s: got %+v, want %+v", name, after, before)
		}
		if len(g.trail.records) != records {
			t.Errorf("%s: the retransmit left %d more records", name, len(g.trail.records)-records)
		}
	}
	if n := g.store.record("bob").Fails.N; n != 1 {
		t.Errorf("a wrong code sent twice as one packet counts %d", n)
	}
}

func TestRetransmitKeepsGroupAttributes(t *testing.T) {
	g := newRig(t)
	g.dir.groups = []string{"CN=VPN,DC=corp,DC=example", "vpn"}
	app("vpn", func(a *mfa.Application) {
		a.Reply = []mfa.ReplyRule{{Group: "VPN", Attribute: "Filter-Id", Value: "staff"}, {Group: "admins", Attribute: "Class", Value: "root"}}
	})(g)
	want := []mfa.ReplyAttribute{{Name: "Filter-Id", Value: "staff"}}
	r := firstLeg("vpn", "alice", "right"+code(0))
	r.Leg = mfa.LegID{1}
	for _, when := range []string{"first", "again"} {
		if d := ask(t, g.engine(), r); !slices.Equal(d.Reply, want) {
			t.Errorf("%s: reply %+v, want %+v", when, d.Reply, want)
		}
	}
	d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"))
	if d := ask(t, g.engine(), answerTo("vpn", "alice", d, code(1))); !slices.Equal(d.Reply, want) {
		t.Errorf("after a challenge: reply %+v, want %+v", d.Reply, want)
	}
}

// A lagging view decides nothing: the write is conditional on what was read.
func TestLaggingViewDoesNotLetIn(t *testing.T) {
	g := newRig(t)
	old := g.store.accts["alice"]
	g.store.change("alice", func(a *settlement.Account) { a.User.Block = &mfa.Block{By: "root"} })
	g.store.stale["alice"] = old
	if d := ask(t, g.engine(), firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Reject || d.Reason != mfa.Blocked {
		t.Errorf("blocked a moment ago, on a server that lags: got %s %s, want reject blocked", d.Verdict, d.Reason)
	}
}

// parallel sends the requests at once, in turn to each of the engines.
func parallel(t *testing.T, engines []*authn.Engine, reqs []mfa.Request) []mfa.Decision {
	t.Helper()
	out := make([]mfa.Decision, len(reqs))
	errs := make([]error, len(reqs))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, r := range reqs {
		wg.Go(func() {
			<-start
			out[i], errs[i] = engines[i%len(engines)].Authenticate(context.Background(), r)
		})
	}
	close(start)
	wg.Wait()
	for _, err := range errs {
		if err != nil && !errors.Is(err, mfa.ErrConflict) {
			t.Error(err)
		}
	}
	return out
}

func TestParallelRightCodeOnce(t *testing.T) {
	for _, servers := range []int{1, 4} {
		g := newRig(t)
		var engines []*authn.Engine
		for range servers {
			engines = append(engines, g.engine())
		}
		var reqs []mfa.Request
		for range 64 {
			reqs = append(reqs, firstLeg("plain", "alice", code(0)))
		}
		accepts := 0
		for _, d := range parallel(t, engines, reqs) {
			if d.Verdict == mfa.Accept {
				accepts++
			}
		}
		if accepts != 1 {
			t.Errorf("%d servers: 64 parallel requests with one code gave %d accepts, want 1", servers, accepts)
		}
	}
}

func TestParallelGuessesStopAtTheLimit(t *testing.T) {
	for _, servers := range []int{1, 4} {
		g := newRig(t)
		var engines []*authn.Engine
		for range servers {
			engines = append(engines, g.engine())
		}
		var reqs []mfa.Request
		for i := range 64 {
			reqs = append(reqs, firstLeg("plain", "alice", fmt.Sprintf("%06d", i)))
		}
		count := map[mfa.Reason]int{}
		for _, d := range parallel(t, engines, reqs) {
			count[d.Reason]++
		}
		if count[mfa.WrongCode] != 5 {
			t.Errorf("%d servers: %v; want 5 wrong_code, the limit, and the rest locked", servers, count)
		}
		if servers == 1 && g.method.evaluated != 5 {
			t.Errorf("evaluated %d guesses, want 5", g.method.evaluated)
		}
		if d := ask(t, engines[0], firstLeg("plain", "alice", code(0))); d.Reason != mfa.Locked {
			t.Errorf("right code afterwards: %s, want locked", d.Reason)
		}
		g.advance(15 * time.Minute)
		if d := ask(t, engines[0], firstLeg("plain", "alice", code(0))); d.Verdict != mfa.Accept {
			t.Errorf("15 minutes later: %s %s, want accept", d.Verdict, d.Reason)
		}
	}
}

func TestParallelPasswordGuessesStopAtTheLimit(t *testing.T) {
	g := newRig(t)
	e := []*authn.Engine{g.engine()}
	var reqs []mfa.Request
	for i := range 64 {
		reqs = append(reqs, firstLeg("vpn", "alice", fmt.Sprintf("guess-%d", i)))
	}
	count := map[mfa.Reason]int{}
	for _, d := range parallel(t, e, reqs) {
		count[d.Reason]++
	}
	if count[mfa.WrongPassword] != 10 || count[mfa.FirstFactorLocked] != 54 || g.dir.count() != 10 {
		t.Errorf("%v, the directory was asked %d times; want 10 wrong_password, 54 first_factor_locked, 10 questions", count, g.dir.count())
	}
}

// The same packet at two servers at once, the second with a copy that is behind: one attempt,
// one record, by the one that settled.
func TestSameLegAtAnotherServer(t *testing.T) {
	for _, answer := range []bool{false, true} {
		g := newRig(t)
		here, there := g.engine(), g.engine()
		there.Server = "s2"
		r := firstLeg("plain", "alice", code(0))
		if answer {
			r = answerTo("vpn", "alice", ask(t, here, firstLeg("vpn", "alice", "right")), "000000")
		}
		r.Leg = mfa.LegID{8}
		old, err := g.store.Account(t.Context(), "alice", true)
		if err != nil {
			t.Fatal(err)
		}
		first := ask(t, here, r)
		g.store.mu.Lock()
		g.store.stale["alice"] = old
		g.store.mu.Unlock()
		second := ask(t, there, r)
		if first.Verdict != second.Verdict || first.Attempt != second.Attempt {
			t.Errorf("one leg: %s %s at one server, %s %s at the other", first.Verdict, first.Attempt, second.Verdict, second.Attempt)
		}
		if v := g.trail.verdicts(); len(v) != 1 || v[0].ID != first.Attempt {
			t.Errorf("verdicts: %+v; want one, of %s", v, first.Attempt)
		}
	}
}

func TestUnansweredChallengeIsRecorded(t *testing.T) {
	g := newRig(t)
	e := g.engine()
	lost := ask(t, e, firstLeg("vpn", "alice", "right"))
	answered := ask(t, e, firstLeg("vpn", "bob", "right"))
	ask(t, g.engine(), answerTo("vpn", "bob", answered, code(1000))) // on another server
	g.advance(121 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	deadline := time.After(10 * time.Second)
	for {
		if v := g.trail.verdicts(); len(v) == 2 {
			if v[1].ID != lost.Attempt || v[1].Reason != mfa.ChallengeUnanswered {
				t.Errorf("got %+v, want challenge_unanswered of %s", v[1], lost.Attempt)
			}
			break
		}
		select {
		case <-deadline:
			t.Fatalf("no record of the unanswered challenge: %+v", g.trail.verdicts())
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A challenge that is over is recorded then, also while one that was asked before it is not:
// after a change of the policy, or a wrong answer that was followed by a new prompt.
func TestUnansweredChallengesAreRecordedInTime(t *testing.T) {
	for name, alice := range map[string]struct {
		handle policy.Seconds // of her challenge
		wrong  bool           // she answers before it is over
	}{"policy changed": {900, false}, "asked again": {10, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newRig(t)
				app("vpn", func(a *mfa.Application) { a.Retries = 2 })(g)
				e := g.engine()
				g.settings.Handle = alice.handle
				hers := ask(t, e, firstLeg("vpn", "alice", "right"))
				g.settings.Handle = 10
				g.advance(time.Second)
				his := ask(t, e, firstLeg("vpn", "bob", "right"))
				g.advance(8 * time.Second)
				if alice.wrong {
					ask(t, e, answerTo("vpn", "alice", hers, "000000"))
				}
				g.advance(3 * time.Second) // his is over, hers is not
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				go func() { done <- e.Run(ctx) }()
				synctest.Wait()
				if v := g.trail.verdicts(); len(v) != 1 || v[0].ID != his.Attempt || v[0].Reason != mfa.ChallengeUnanswered {
					t.Errorf("got %+v, want challenge_unanswered of %s alone", v, his.Attempt)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A server that is started again records the challenges of its earlier run, but for those that
// were answered: elsewhere, or here and never recorded.
func TestUnansweredChallengeOfAnEarlierRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t)
		app("vpn", func(a *mfa.Application) { a.Retries = 2 })(g)
		e := g.engine()
		lost := ask(t, e, firstLeg("vpn", "alice", "right"))
		lost = ask(t, e, answerTo("vpn", "alice", lost, "000000")) // and asked again
		answered := ask(t, e, firstLeg("vpn", "bob", "right"))
		g.advance(2 * time.Second)
		ask(t, g.engine(), answerTo("vpn", "bob", answered, code(1000)))
		g.advance(10 * time.Minute)
		ask(t, g.engine(), firstLeg("plain", "bob", code(1001))) // forgets that the handle is spent
		before := len(g.trail.verdicts())

		byID := map[mfa.AttemptID]mfa.Asked{}
		for _, r := range g.trail.records {
			if r.Asked != nil {
				byID[r.Asked.Attempt.ID] = *r.Asked
			}
		}
		if len(byID) != 2 {
			t.Fatalf("%d attempts asked by the trail, want 2", len(byID))
		}
		again := g.engine()
		again.Resume(slices.SortedFunc(maps.Values(byID), func(a, b mfa.Asked) int { return a.Until.Compare(b.Until) }))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- again.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		v := g.trail.verdicts()[before:]
		if len(v) != 1 || v[0].ID != lost.Attempt || v[0].Reason != mfa.ChallengeUnanswered || v[0].User != "alice" || v[0].Login != "alice" {
			t.Errorf("recorded %+v; want challenge_unanswered of %s", v, lost.Attempt)
		}
	})
}

func TestTraceTellsEveryDecision(t *testing.T) {
	g := newRig(t)
	r := firstLeg("vpn", "alice", "right"+code(0))
	r.Trace = true
	d := ask(t, g.engine(), r)
	all := strings.Join(d.Trace, "\n")
	for _, want := range []string{"application vpn", "login alice is user alice", "first factor: right", "code: hotp ok", "accepted"} {
		if !strings.Contains(all, want) {
			t.Errorf("trace misses %q:\n%s", want, all)
		}
	}
	if strings.Contains(all, "right"+code(0)) || strings.Contains(all, code(0)) {
		t.Errorf("trace shows a secret:\n%s", all)
	}
}
