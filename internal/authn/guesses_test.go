package authn

import (
	"encoding/binary"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/settlement"
)

// A flood of made-up names takes bounded memory and gives nobody a guess back: who is
// counted stays counted, and further names wait.
func TestGuessesAreBounded(t *testing.T) {
	var g guesses
	g.init()
	l := settlement.Limits{Tries: 2, Lock: 15 * time.Minute}
	now := time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	name := func(i int) (k repeatKey) { binary.BigEndian.PutUint32(k[:], uint32(i)); return k }
	g.add(name(0), l, now)
	g.add(name(0), l, now)
	for i := range guessesMax + 50_000 {
		g.add(name(i+1), l, now.Add(time.Duration(i)*time.Millisecond))
	}
	if len(g.by) != guessesMax {
		t.Errorf("%d names are kept, want %d", len(g.by), guessesMax)
	}
	now = now.Add(3 * time.Minute)
	if why := g.locked(name(0), now); why != mfa.FirstFactorLocked {
		t.Errorf("who was locked before the flood: %s, want first_factor_locked", why)
	}
	if why := g.locked(name(1), now); why != mfa.ReasonNone {
		t.Errorf("who has a guess left: %s, want none", why)
	}
	if why := g.locked(name(-1), now); why != mfa.TooManyAttempts {
		t.Errorf("a new name: %s, want too_many_attempts", why)
	}
	now = now.Add(l.Lock)
	if why := g.locked(name(-1), now); why != mfa.ReasonNone {
		t.Errorf("a new name when the flood is forgotten: %s, want none", why)
	}
	if len(g.by) != 0 {
		t.Errorf("%d names are kept when all are over", len(g.by))
	}
}
