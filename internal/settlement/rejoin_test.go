package settlement

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"countersign/internal/mfa"
)

// play applies what happens to a record.
type play struct {
	r  Record
	n  byte
	at time.Time
}

func (p *play) leg(c Change) {
	p.n++
	p.at = p.at.Add(time.Second)
	c.Leg, c.Attempt, c.Time = mfa.LegID{p.n, 7}, mfa.AttemptID{p.n}, p.at
	next, err := p.r.Apply(c, second, first)
	if err != nil {
		panic(err)
	}
	p.r = next
}

func (p *play) fail()     { p.leg(Change{Reason: mfa.WrongCode, Fail: true}) }
func (p *play) password() { p.leg(Change{Reason: mfa.WrongPassword, FirstFail: true}) }
func (p *play) pass(step uint64) {
	p.leg(Change{Reason: mfa.OK, Clear: true, Credential: "aaaaaaaaaaaaaaaa", Floor: mfa.Floor{Next: step}})
}
func (p *play) spend(bit int) {
	spent := p.r.Floors.Of("bbbbbbbbbbbbbbbb").Spent | 1<<bit
	p.leg(Change{Reason: mfa.OK, Clear: true, Credential: "bbbbbbbbbbbbbbbb", Floor: mfa.Floor{Spent: spent}})
}

// split returns two plays that go on from one record.
func split(before func(p *play)) (base Record, here, there *play) {
	p := &play{at: t0}
	before(p)
	return p.r.Clone(), &play{r: p.r.Clone(), n: 100, at: p.at}, &play{r: p.r.Clone(), n: 200, at: p.at}
}

func TestRejoin(t *testing.T) {
	for name, c := range map[string]struct {
		before, here, there func(p *play)
		fails, first        int
		locked              bool
		next, spent         uint64
	}{
		"nothing there":       {func(p *play) { p.fail(); p.pass(5) }, func(p *play) { p.pass(7) }, func(p *play) {}, 0, 0, false, 7, 0},
		"a code there":        {func(p *play) { p.pass(5) }, func(p *play) {}, func(p *play) { p.pass(9) }, 0, 0, false, 9, 0},
		"further here":        {func(p *play) { p.pass(5) }, func(p *play) { p.pass(12) }, func(p *play) { p.pass(9) }, 0, 0, false, 12, 0},
		"codes on both sides": {func(p *play) { p.spend(0) }, func(p *play) { p.spend(1) }, func(p *play) { p.spend(3) }, 0, 0, false, 0, 0b1011},
		"failures are summed": {func(p *play) { p.fail() }, func(p *play) { p.fail() }, func(p *play) { p.fail(); p.fail(); p.password() }, 4, 1, false, 0, 0},
		"their sum locks":     {func(p *play) { p.fail() }, func(p *play) { p.fail(); p.fail() }, func(p *play) { p.fail(); p.fail() }, 5, 0, true, 0, 0},
		"a lock there stands": {func(*play) {}, func(p *play) { p.pass(3) }, func(p *play) {
			for range 5 {
				p.fail()
			}
		}, 5, 0, true, 3, 0},
		"cleared there and failed again": {func(p *play) { p.fail(); p.fail() }, func(p *play) {}, func(p *play) { p.pass(4); p.fail() }, 3, 0, false, 4, 0},
		"cleared there":                  {func(p *play) { p.fail(); p.fail() }, func(p *play) {}, func(p *play) { p.pass(4) }, 2, 0, false, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			base, here, there := split(c.before)
			c.here(here)
			c.there(there)
			now := later(here.at, there.at)
			got, _ := here.r.Rejoin(base, there.r, second, first, now)
			if int(got.Fails.N) != c.fails || int(got.First.N) != c.first || got.Fails.LockedAt(now) != c.locked {
				t.Errorf("failures %d and %d, locked %t, want %d, %d, %t", got.Fails.N, got.First.N, got.Fails.LockedAt(now), c.fails, c.first, c.locked)
			}
			if n, s := got.Floors.Of("aaaaaaaaaaaaaaaa").Next, got.Floors.Of("bbbbbbbbbbbbbbbb").Spent; n != c.next || s != c.spent {
				t.Errorf("floor %d, spent %b, want %d, %b", n, s, c.next, c.spent)
			}
		})
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// What had expired before the two met counts no more, and a lock that has ended holds nobody.
func TestRejoinExpired(t *testing.T) {
	base, here, there := split(func(*play) {})
	for range 5 {
		there.fail()
	}
	got, changed := here.r.Rejoin(base, there.r, second, first, there.at.Add(second.Lock+time.Minute))
	if got.Fails.N != 0 || !got.Fails.Until.IsZero() || !changed {
		t.Errorf("got %+v, changed %t", got.Fails, changed)
	}
}

// A leg that came over by a trail already is not counted again.
func TestRejoinKnownLeg(t *testing.T) {
	base, here, there := split(func(*play) {})
	there.fail()
	l := there.r.Legs[0]
	merged, _ := here.r.Merge(mfa.Settled{Leg: l.ID, Attempt: l.Attempt, Time: l.Time, Reason: l.Reason, Failures: 1}, second, first, there.at)
	there.fail()
	if got, _ := merged.Rejoin(base, there.r, second, first, there.at); got.Fails.N != 2 {
		t.Errorf("%d failures, want 2", got.Fails.N)
	}
}

func TestUsedTwice(t *testing.T) {
	const totp, single = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"
	for name, c := range map[string]struct {
		here, there func(p *play)
		id          mfa.CredentialID
		found       bool
	}{
		"the same step":         {func(p *play) { p.pass(9) }, func(p *play) { p.pass(9) }, totp, true},
		"one side alone":        {func(p *play) { p.pass(9) }, func(p *play) { p.fail() }, totp, false},
		"steps near each other": {func(p *play) { p.pass(9) }, func(p *play) { p.pass(10) }, totp, true},
		"far apart":             {func(p *play) { p.pass(9) }, func(p *play) { p.at = p.at.Add(time.Hour); p.pass(129) }, totp, false},
		"the same single code":  {func(p *play) { p.spend(2) }, func(p *play) { p.spend(2); p.spend(3) }, single, true},
		"different ones":        {func(p *play) { p.spend(1) }, func(p *play) { p.spend(2) }, single, false},
	} {
		t.Run(name, func(t *testing.T) {
			base, here, there := split(func(p *play) { p.pass(5); p.spend(0) })
			c.here(here)
			c.there(there)
			if got := UsedTwice(base, here.r, there.r, c.id, 90*time.Second); (got != "") != c.found {
				t.Errorf("got %q, want found %t", got, c.found)
			}
		})
	}
}

// Whatever happened on both sides: no floor falls, nothing spent comes back, a lock stands,
// and the record fits.
func TestRejoinKeepsEverything(t *testing.T) {
	act := func(t *rapid.T, p *play, label string) {
		for range rapid.IntRange(0, 8).Draw(t, label) {
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				p.fail()
			case 1:
				p.password()
			case 2:
				p.pass(rapid.Uint64Range(1, 40).Draw(t, "step"))
			case 3:
				p.spend(rapid.IntRange(0, 9).Draw(t, "bit"))
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		base, here, there := split(func(p *play) { act(t, p, "before") })
		act(t, here, "here")
		act(t, there, "there")
		now := later(here.at, there.at)
		got, changed := here.r.Rejoin(base, there.r, second, first, now)
		for _, side := range []Record{here.r, there.r} {
			for id, f := range side.Floors.All() {
				if g := got.Floors.Of(id); g.Next < f.Next || g.Spent&f.Spent != f.Spent {
					t.Fatalf("floor %+v became %+v", f, g)
				}
			}
			if side.Fails.LockedAt(now) && !got.Fails.LockedAt(now) || side.First.LockedAt(now) && !got.First.LockedAt(now) {
				t.Fatal("a lock was lost")
			}
		}
		if got.Fails.N < here.r.Fails.N || got.First.N < here.r.First.N {
			t.Fatal("failures were forgotten")
		}
		if !changed && !got.equal(here.r) {
			t.Fatal("it changed and says that it did not")
		}
		b, err := got.MarshalBinary()
		if err != nil || len(b) > MaxSize {
			t.Fatal(len(b), err)
		}
	})
}
