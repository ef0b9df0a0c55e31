package authn_test

import (
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/authn"
	"countersign/internal/method/passkey"
	"countersign/internal/method/passkey/passkeytest"
	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/secret"
	"countersign/internal/settlement"
)

const (
	carol  = mfa.UserID("carolcarolcarol2")
	dave   = mfa.UserID("davedavedavedav2")
	origin = "https://mfa.corp.example"
)

// newKeys is a group with passkeys, and two people who have one each.
func newKeys(t *testing.T) (g *rig, carols, daves *passkeytest.Authenticator) {
	t.Helper()
	g = newRig(t)
	g.settings.PasskeySite, g.settings.PasskeyAlone = "mfa.corp.example", []string{"portal"}
	m := passkey.Method{Name: "acme", Settings: func() policy.Settings { return g.settings },
		Digest: func(purpose, value string) [32]byte { return sha256.Sum256([]byte(purpose + value)) }}
	g.more = append(g.more, m)
	g.store.apps["portal"] = mfa.Application{ID: "portal", Name: "portal", Kind: mfa.KindWeb, FirstFactor: "corp", Retries: 2}
	has := func(id mfa.UserID, login string) *passkeytest.Authenticator {
		a := &passkeytest.Authenticator{Origin: origin, Verified: true, Counts: true}
		options, err := m.Creation(mfa.User{ID: id, Login: login}, mfa.AttemptID{1}, 1, nil, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := a.Make(options)
		if err != nil {
			t.Fatal(err)
		}
		made, err := m.Made(mfa.AttemptID{1}, 1, secret.FromString(answer))
		if err != nil {
			t.Fatal(err)
		}
		kept, err := made.Kept()
		if err != nil {
			t.Fatal(err)
		}
		g.addUser(id, login)
		g.store.change(id, func(acct *settlement.Account) {
			acct.Credentials = append(acct.Credentials, mfa.Credential{ID: mfa.CredentialID("key-" + login), User: id, Method: mfa.MethodPasskey, Secret: kept})
		})
		return a
	}
	return g, has(carol, "carol"), has(dave, "dave")
}

// at is a leg of a page that passkeys belong to.
func at(r mfa.Request) mfa.Request {
	r.FrontEnd, r.Caps = "portal", mfa.CanPrompt|mfa.CanPasskey
	return r
}

// used is the answer to a challenge by a passkey.
func used(t *testing.T, a *passkeytest.Authenticator, d mfa.Decision) string {
	t.Helper()
	if d.Verdict != mfa.Challenge || d.Options == nil {
		t.Fatalf("no passkey is asked for: %s %s", d.Verdict, d.Reason)
	}
	answer, err := a.Use(d.Options)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPasskeyAsSecondFactor(t *testing.T) {
	g, key, others := newKeys(t)
	e := g.engine()
	if d := ask(t, e, at(firstLeg("portal", "carol", "wrong"))); d.Reason != mfa.WrongPassword || d.Options != nil {
		t.Fatalf("a wrong password: %s", d.Reason)
	}
	d := ask(t, e, at(firstLeg("portal", "carol", "right")))
	if d.Message != "Use your passkey (or type other)" || d.Method != mfa.MethodPasskey || !d.Others || len(d.Handle) > 200 {
		t.Errorf("asked %q, method %s, handle of %d bytes", d.Message, d.Method, len(d.Handle))
	}
	answer := used(t, key, d)
	got := ask(t, g.engine(), at(answerTo("portal", "carol", d, answer))) // on another server
	if got.Verdict != mfa.Accept || got.User != carol || got.Attempt != d.Attempt {
		t.Fatalf("got %s %s", got.Verdict, got.Reason)
	}
	if r := g.store.record(carol); r.Floors.Of("key-carol").Next != 2 {
		t.Errorf("floors %+v", r.Floors)
	}
	for i := range 3 { // the same answer again, on whatever server
		if got := ask(t, g.engine(), at(answerTo("portal", "carol", d, answer))); got.Reason != mfa.ChallengeReplayed {
			t.Errorf("replay %d: %s %s", i, got.Verdict, got.Reason)
		}
	}
	// An answer to one challenge is none to another.
	next := ask(t, e, at(firstLeg("portal", "carol", "right")))
	again := ask(t, e, at(answerTo("portal", "carol", next, answer)))
	if v := g.trail.settlements(); again.Verdict != mfa.Challenge || v[len(v)-1].Reason != mfa.PasskeyOtherChallenge || v[len(v)-1].Failures != 1 {
		t.Errorf("an old answer: %s %s, settled %+v", again.Verdict, again.Reason, v[len(v)-1])
	}
	if stale := ask(t, e, at(answerTo("portal", "carol", next, used(t, key, next)))); stale.Reason != mfa.ChallengeReplayed {
		t.Errorf("the challenge that a wrong answer has spent: %s", stale.Reason)
	}
	// Nor is another user's passkey.
	theirs, err := others.UseAny(again.Options)
	if err != nil {
		t.Fatal(err)
	}
	last := ask(t, e, at(answerTo("portal", "carol", again, theirs)))
	if v := g.trail.settlements(); last.Verdict != mfa.Challenge || v[len(v)-1].Reason != mfa.PasskeyUnknown {
		t.Errorf("another user's passkey: %s %s", last.Verdict, last.Reason)
	}
	if d := ask(t, e, at(answerTo("portal", "carol", last, used(t, key, last)))); d.Verdict != mfa.Accept {
		t.Errorf("the right one after them: %s", d.Reason)
	}
}

// A code is an answer where a passkey is asked for, and where none can be carried it is the only one.
func TestPasskeyBesideCodes(t *testing.T) {
	g, key, _ := newKeys(t)
	e := g.engine()
	d := ask(t, e, at(firstLeg("portal", "carol", "right")))
	if got := ask(t, e, at(answerTo("portal", "carol", d, code(0)))); got.Verdict != mfa.Accept {
		t.Errorf("a code: %s", got.Reason)
	}
	if d := ask(t, e, firstLeg("portal", "carol", "right")); d.Verdict != mfa.Challenge || d.Options != nil || d.Message != "Enter your code" {
		t.Errorf("where there are no passkeys: %s %q", d.Verdict, d.Message)
	}
	other := ask(t, e, at(firstLeg("portal", "carol", "right")))
	asked := ask(t, e, at(answerTo("portal", "carol", other, "other")))
	if asked.Verdict != mfa.Challenge || asked.Message != "Enter your code (or type other)" || asked.Options == nil || asked.Method != mfa.MethodHOTP {
		t.Errorf("another way: %s %q", asked.Verdict, asked.Message)
	}
	if got := ask(t, e, at(answerTo("portal", "carol", asked, used(t, key, asked)))); got.Verdict != mfa.Accept {
		t.Errorf("the passkey after all: %s", got.Reason)
	}
	app("portal", func(a *mfa.Application) { a.Methods = []mfa.MethodID{mfa.MethodHOTP, mfa.MethodPasskey} })(g)
	if d := ask(t, e, at(firstLeg("portal", "carol", "right"))); d.Method != mfa.MethodHOTP || d.Options == nil {
		t.Errorf("in the application's order: %s", d.Method)
	}
	app("portal", func(a *mfa.Application) { a.Methods = []mfa.MethodID{mfa.MethodPasskey} })(g)
	if d := ask(t, e, firstLeg("portal", "carol", "right")); d.Reason != mfa.PromptImpossible {
		t.Errorf("only passkeys where there are none: %s", d.Reason)
	}
	g.settings.PasskeySite = ""
	if d := ask(t, e, at(firstLeg("portal", "carol", "right"))); d.Reason != mfa.PasskeyNoSite {
		t.Errorf("only passkeys without a site: %s", d.Reason)
	}
}

func discovery(app mfa.ApplicationID) mfa.Request {
	return at(mfa.Request{Application: app, Passkey: true})
}

func answered(app mfa.ApplicationID, d mfa.Decision, answer string) mfa.Request {
	return at(mfa.Request{Application: app, Handle: d.Handle, Answer: secret.FromString(answer)})
}

func TestPasskeyAlone(t *testing.T) {
	g, key, others := newKeys(t)
	e := g.engine()
	d := ask(t, e, discovery("portal"))
	if len(g.trail.records) != 0 {
		t.Errorf("recorded before anybody said who they are: %+v", g.trail.records)
	}
	answer := used(t, key, d)
	got := ask(t, g.engine(), answered("portal", d, answer))
	if got.Verdict != mfa.Accept || got.Reason != mfa.PasskeyAlone || got.User != carol {
		t.Fatalf("got %s %s, user %q", got.Verdict, got.Reason, got.User)
	}
	if v := g.trail.verdicts(); len(v) != 1 || v[0].User != carol || v[0].ID != d.Attempt && v[0].ID != got.Attempt || v[0].Method != mfa.MethodPasskey || v[0].Login != "carol" {
		t.Errorf("verdicts %+v", v)
	}
	if g.dir.count() != 0 {
		t.Error("a directory was asked")
	}
	if got := ask(t, g.engine(), answered("portal", d, answer)); got.Reason != mfa.ChallengeReplayed {
		t.Errorf("again: %s", got.Reason)
	}
	// Whoever else answers that challenge is whoever they are.
	if got := ask(t, e, answered("portal", d, used(t, others, d))); got.Verdict != mfa.Accept || got.User != dave {
		t.Errorf("somebody else: %s %s", got.Verdict, got.User)
	}
}

// What a passkey that stands alone is refused for; nothing more is asked of whoever brought it, and
// nobody is locked by answers that anybody can make.
func TestPasskeyAloneRefused(t *testing.T) {
	for name, x := range map[string]struct {
		spoil func(g *rig, key *passkeytest.Authenticator)
		want  mfa.Reason
		fails uint16
	}{
		"nobody asked for a PIN": {func(_ *rig, k *passkeytest.Authenticator) { k.Verified = false }, mfa.PasskeyUnverified, 1},
		"another page":           {func(_ *rig, k *passkeytest.Authenticator) { k.Origin = "https://evil.example" }, mfa.PasskeyWrongSite, 0},
		"a wrong signature":      {func(_ *rig, k *passkeytest.Authenticator) { k.Damaged = true }, mfa.PasskeyInvalid, 0},
		"it names somebody else": {func(_ *rig, k *passkeytest.Authenticator) { k.User = string(dave) }, mfa.PasskeyUnknown, 0},
		"it names nobody":        {func(_ *rig, k *passkeytest.Authenticator) { k.User = "nobodynobodynob2" }, mfa.UnknownUser, 0},
		"it names no user":       {func(_ *rig, k *passkeytest.Authenticator) { k.User = "x" }, mfa.PasskeyInvalid, 0},
		"the policy has changed": {func(g *rig, _ *passkeytest.Authenticator) { g.settings.PasskeyAlone = nil }, mfa.PasskeyNotAlone, 0},
		"she is blocked": {func(g *rig, _ *passkeytest.Authenticator) {
			g.store.change(carol, func(a *settlement.Account) { a.User.Block = &mfa.Block{} })
		}, mfa.Blocked, 0},
		"she is denied": {func(g *rig, _ *passkeytest.Authenticator) {
			g.store.change(carol, func(a *settlement.Account) { a.User.State = mfa.StateDenied })
		}, mfa.Denied, 0},
		"it is switched off": {func(g *rig, _ *passkeytest.Authenticator) {
			g.store.change(carol, func(a *settlement.Account) { a.Credentials[1].Disabled = true })
		}, mfa.NoCredential, 0},
		"it is not proven": {func(g *rig, _ *passkeytest.Authenticator) {
			g.store.change(carol, func(a *settlement.Account) { a.Credentials[1].Hold = mfa.CredentialUnproven })
		}, mfa.NoCredential, 0},
		"it is too late": {func(g *rig, _ *passkeytest.Authenticator) { g.advance(3 * time.Minute) }, mfa.ChallengeExpired, 0},
	} {
		g, key, _ := newKeys(t)
		e := g.engine()
		d := ask(t, e, discovery("portal"))
		x.spoil(g, key)
		answer, err := key.UseAny(d.Options)
		if err != nil {
			t.Fatal(err)
		}
		got := ask(t, e, answered("portal", d, answer))
		if got.Verdict != mfa.Reject || got.Reason != x.want || got.Handle != nil || got.User != "" {
			t.Errorf("%s: %s %s, want %s", name, got.Verdict, got.Reason, x.want)
		}
		if n := g.store.record(carol).Fails.N; n != x.fails {
			t.Errorf("%s: %d failures booked", name, n)
		}
		if v := g.trail.verdicts(); len(v) != 1 || v[0].Reason != x.want {
			t.Errorf("%s: verdicts %+v", name, v)
		}
	}
}

func TestPasskeyAloneIsPolicy(t *testing.T) {
	g, key, _ := newKeys(t)
	e := g.engine()
	for _, a := range []mfa.ApplicationID{"vpn", "plain"} {
		if d := ask(t, e, discovery(a)); d.Reason != mfa.PasskeyNotAlone || d.Handle != nil {
			t.Errorf("%s: %s %s", a, d.Verdict, d.Reason)
		}
	}
	r := discovery("portal")
	r.Caps = mfa.CanPrompt
	if d := ask(t, e, r); d.Reason != mfa.PromptImpossible {
		t.Errorf("where there are no passkeys: %s", d.Reason)
	}
	d := ask(t, e, discovery("portal"))
	for name, answer := range map[string]string{"a code": code(0), "a word": "other", "nothing": ""} {
		if got := ask(t, e, answered("portal", d, answer)); got.Reason != mfa.PasskeyInvalid || got.Handle != nil {
			t.Errorf("%s: %s %s", name, got.Verdict, got.Reason)
		}
	}
	if got := ask(t, e, answered("vpn", d, used(t, key, d))); got.Reason != mfa.ChallengeOtherClient {
		t.Errorf("at another application: %s", got.Reason)
	}
	named := answered("portal", d, used(t, key, d))
	named.Login = "dave" // who is signed in, and confirms
	if got := ask(t, e, named); got.Reason != mfa.ChallengeOtherUser {
		t.Errorf("confirmed by somebody else's passkey: %s", got.Reason)
	}
}

// A rule that keeps a directory's group out is not passed by without the directory.
func TestPasskeyAloneAndRulesForGroups(t *testing.T) {
	g, key, _ := newKeys(t)
	e := g.engine()
	d := ask(t, e, discovery("portal"))
	answer := used(t, key, d)
	rules(t, g, policy.Rule{Name: "leavers", Groups: []string{"cn=leavers"}, Access: policy.AccessDeny})
	if got := ask(t, e, answered("portal", d, answer)); got.Reason != mfa.PasskeyNotAlone {
		t.Errorf("answered: %s", got.Reason)
	}
	if got := ask(t, e, discovery("portal")); got.Reason != mfa.PasskeyNotAlone {
		t.Errorf("asked: %s", got.Reason)
	}
	app("portal", func(a *mfa.Application) { a.FirstFactor = mfa.FirstFactorLocal })(g) // nobody has groups there
	d = ask(t, e, discovery("portal"))
	if got := ask(t, e, answered("portal", d, used(t, key, d))); got.Verdict != mfa.Accept {
		t.Errorf("where passwords are local: %s", got.Reason)
	}
}

// Of a passkey that was copied, one is found out; it is not asked for again.
func TestPasskeyCounterGoesBack(t *testing.T) {
	g, key, _ := newKeys(t)
	thief := key.Copy()
	var seen []mfa.Reason
	e := authn.New(g.config(func(a *mfa.Attempt) { seen = append(seen, a.Reason) }))
	for range 2 {
		d := ask(t, e, discovery("portal"))
		if got := ask(t, e, answered("portal", d, used(t, key, d))); got.Verdict != mfa.Accept {
			t.Fatal(got.Reason)
		}
	}
	d := ask(t, e, at(firstLeg("portal", "carol", "right")))
	if got := ask(t, e, at(answerTo("portal", "carol", d, used(t, thief, d)))); got.Reason != mfa.PasskeyCounterBack || got.Handle != nil {
		t.Errorf("the copy: %s %s", got.Verdict, got.Reason)
	}
	if v := g.trail.verdicts(); v[len(v)-1].Credential != "key-carol" || v[len(v)-1].Method != mfa.MethodPasskey {
		t.Errorf("recorded %+v", v[len(v)-1])
	}
	if !slices.Contains(seen, mfa.PasskeyCounterBack) {
		t.Errorf("nobody was told: %v", seen)
	}
}

// One answer, sent to many servers at once, lets in once.
func TestPasskeyAtOnce(t *testing.T) {
	g, key, _ := newKeys(t)
	d := ask(t, g.engine(), discovery("portal"))
	answer := used(t, key, d)
	var in sync.Map
	var all sync.WaitGroup
	for i := range 8 {
		e := g.engine()
		all.Go(func() {
			got, err := e.Authenticate(t.Context(), answered("portal", d, answer))
			if err != nil || got.Verdict != mfa.Accept && got.Reason != mfa.ChallengeReplayed {
				t.Errorf("%s %s, %v", got.Verdict, got.Reason, err)
			}
			if got.Verdict == mfa.Accept {
				in.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	in.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("let in %d times", n)
	}
}

// A server that is cut off takes a passkey's answer: its challenge is younger than the cut.
func TestPasskeyWithoutAMaster(t *testing.T) {
	g, key, _ := newKeys(t)
	app("portal", func(a *mfa.Application) { a.DegradedAllow = true })(g)
	g.store.contact = func() (time.Time, bool) { return time.Time{}, false }
	g.store.fault = func() (bool, error) { return false, errors.Join(mfa.ErrUnavailable, errDown) }
	g.store.unread = mfa.ErrUnavailable
	e := g.engine()
	d := ask(t, e, discovery("portal"))
	answer := used(t, key, d)
	if got := ask(t, e, answered("portal", d, answer)); got.Verdict != mfa.Accept {
		t.Fatalf("got %s", got.Reason)
	}
	if got := ask(t, e, answered("portal", d, answer)); got.Reason != mfa.ChallengeReplayed {
		t.Errorf("again: %s", got.Reason)
	}
	if v := g.trail.verdicts(); !v[0].Degraded {
		t.Error("not marked as degraded")
	}
}
