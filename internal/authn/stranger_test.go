package authn_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// guestRig is a rig whose application vpn lets unknown users pass.
func guestRig(t *testing.T) *rig {
	g := newRig(t)
	app("vpn", passUnknownUntil(t0.Add(time.Hour)))(g)
	return g
}

// A directory finds people under more names than we know. Whoever is known here under any of
// them has a second factor and does not pass without.
func TestKnownUserUnderAnotherName(t *testing.T) {
	tests := []struct {
		name  string
		names []string // that the directory has for who typed a.smith@mail.example
		set   func(*rig)
		want  mfa.Reason
	}{
		{"nobody's", []string{"a.smith@mail.example", "eve"}, nil, mfa.UnknownUserPassed},
		{"a user's", []string{"a.smith@mail.example", "alice"}, nil, mfa.KnownByAnotherName},
		{"in other case", []string{"ALICE"}, nil, mfa.KnownByAnotherName},
		{"under a domain that is not ours", []string{"alice@elsewhere.example"}, nil, mfa.KnownByAnotherName},
		{"under a short one", []string{`ELSEWHERE\alice`}, nil, mfa.KnownByAnotherName},
		{"principal name, short one registered as CORP\\", []string{"carol"}, func(g *rig) {
			g.settings.Domains = domains("CORP=corp.example")
			g.addUser("carol", `corp\carol`)
		}, mfa.KnownByAnotherName},
		{"ambiguous", []string{"both"}, func(g *rig) { g.store.ambiguous = "both" }, mfa.KnownByAnotherName},
		{"behind what is no login", []string{"Alice A. Smith", "", "\xff", "alice"}, nil, mfa.KnownByAnotherName},
		{"denied user's", []string{"alice"}, user(func(a *settlement.Account) { a.User.State = mfa.StateDenied }), mfa.KnownByAnotherName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := guestRig(t)
			if tt.set != nil {
				tt.set(g)
			}
			g.dir.names = tt.names
			d := ask(t, g.engine(), firstLeg("vpn", "a.smith@mail.example", "right"))
			if d.Reason != tt.want || (d.Verdict == mfa.Accept) != tt.want.Accepts() {
				t.Errorf("got %s %s, want %s", d.Verdict, d.Reason, tt.want)
			}
		})
	}
	t.Run("the directory tells none", func(t *testing.T) {
		g := guestRig(t)
		g.dir.names = []string{}
		d, err := g.engine().Authenticate(t.Context(), firstLeg("vpn", "eve", "right"))
		if err == nil || errors.As(err, new(mfa.Reason)) || d.Verdict != mfa.Reject {
			t.Errorf("got %s %s, %v; want a fault of ours", d.Verdict, d.Reason, err)
		}
	})
}

func TestGuessesAtAStrangerStopAtTheLimit(t *testing.T) {
	g := guestRig(t)
	e := g.engine()
	limit := g.settings.FirstTries
	var all sync.WaitGroup
	for i := range 4 * limit { // the domain is of no account: the directory may take any for its own
		all.Go(func() {
			_, _ = e.Authenticate(t.Context(), firstLeg("vpn", fmt.Sprintf("eve@d%d.example", i), fmt.Sprintf("guess %d", i)))
		})
	}
	all.Wait()
	if got := g.dir.count(); got != limit {
		t.Errorf("%d guesses were evaluated, want %d", got, limit)
	}
	if d := ask(t, e, firstLeg("vpn", "eve", "right")); d.Reason != mfa.FirstFactorLocked {
		t.Errorf("after that, the right password: %s %s, want first_factor_locked", d.Verdict, d.Reason)
	}
	if d := ask(t, e, firstLeg("vpn", "mallory", "right")); d.Verdict != mfa.Accept {
		t.Errorf("another stranger: %s %s, want accept", d.Verdict, d.Reason)
	}
	g.advance(g.settings.FirstLock.Duration())
	if d := ask(t, e, firstLeg("vpn", "eve", "right")); d.Verdict != mfa.Accept {
		t.Errorf("when the lock has ended: %s %s, want accept", d.Verdict, d.Reason)
	}
}

func TestStrangersRightPasswordForgetsGuesses(t *testing.T) {
	g := guestRig(t)
	e := g.engine()
	for i := range 5 * g.settings.FirstTries {
		if i%g.settings.FirstTries == g.settings.FirstTries-1 {
			if d := ask(t, e, firstLeg("vpn", "eve", "right")); d.Verdict != mfa.Accept {
				t.Fatalf("round %d: %s %s, want accept", i, d.Verdict, d.Reason)
			}
			continue
		}
		if d := ask(t, e, firstLeg("vpn", "eve", fmt.Sprint("guess ", i))); d.Reason != mfa.WrongPassword {
			t.Fatalf("guess %d: %s", i, d.Reason)
		}
	}
}

func TestSameWrongPasswordOfAStrangerCountsOnceAMinute(t *testing.T) {
	g := guestRig(t)
	e := g.engine()
	for i := range 3 * g.settings.FirstTries {
		want := mfa.RepeatedWrongPassword
		if i == 0 {
			want = mfa.WrongPassword
		}
		if d := ask(t, e, firstLeg("vpn", "eve", "saved")); d.Reason != want {
			t.Fatalf("request %d: %s, want %s", i, d.Reason, want)
		}
	}
	if got := g.dir.count(); got != 1 {
		t.Errorf("the directory was asked %d times, want once", got)
	}
}

// What a name that is nobody's costs, it costs as often as a user's wrong password does.
func TestUnknownUserCostsWhatAWrongPasswordDoes(t *testing.T) {
	tests := []struct {
		name     string
		app      func(*mfa.Application)
		password func(i int) string
		requests int
	}{
		{"wrong passwords", nil, func(i int) string { return fmt.Sprint("wrong-", i) }, 15},
		{"the same one", nil, func(int) string { return "wrong-" }, 3},
		{"with what may be a code behind it", nil, func(i int) string { return fmt.Sprintf("wrong-%06d", i) }, 15},
		{"prompt", func(a *mfa.Application) { a.Passcode = mfa.PasscodePrompt }, func(i int) string { return fmt.Sprintf("wrong-%06d", i) }, 15},
		{"append", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend }, func(i int) string { return fmt.Sprintf("wrong-%06d", i) }, 15},
		{"append, no code", func(a *mfa.Application) { a.Passcode = mfa.PasscodeAppend }, func(i int) string { return fmt.Sprint(i, "wrong-") }, 15},
		{"local", func(a *mfa.Application) { a.FirstFactor = mfa.FirstFactorLocal }, func(i int) string { return fmt.Sprint("wrong-", i) }, 15},
		{"local, with guests by mistake", func(a *mfa.Application) {
			a.FirstFactor, a.UnknownPass, a.UnknownUntil = mfa.FirstFactorLocal, true, t0.Add(time.Hour)
		}, func(i int) string { return fmt.Sprint("wrong-", i) }, 15},
		{"none", func(a *mfa.Application) { a.FirstFactor = mfa.FirstFactorNone }, func(int) string { return "000000" }, 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cost := func(login string) (steps []int) {
				g := newRig(t)
				if tt.app != nil {
					app("vpn", tt.app)(g)
				}
				e := g.engine()
				for i := range tt.requests {
					before := g.dir.asked + g.dir.pretended
					if d := ask(t, e, firstLeg("vpn", login, tt.password(i))); d.Verdict != mfa.Reject {
						t.Fatalf("%s: %s %s", login, d.Verdict, d.Reason)
					}
					steps = append(steps, g.dir.asked+g.dir.pretended-before)
				}
				if login != "alice" && g.dir.asked != 0 {
					t.Errorf("the directory was asked about %s %d times, want never", login, g.dir.asked)
				}
				return steps
			}
			known := cost("alice")
			for _, login := range []string{"eve", "eve@elsewhere.example"} {
				if got := cost(login); fmt.Sprint(got) != fmt.Sprint(known) {
					t.Errorf("directory's work for each request of\n%s: %v\nalice: %v", login, got, known)
				}
			}
		})
	}
}

func TestNothingIsPretendedForARightPassword(t *testing.T) {
	g := newRig(t)
	if d := ask(t, g.engine(), firstLeg("vpn", "alice", "right"+code(0))); d.Verdict != mfa.Accept || g.dir.pretended != 0 {
		t.Errorf("%s %s, pretended %d times", d.Verdict, d.Reason, g.dir.pretended)
	}
}
