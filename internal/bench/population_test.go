package bench

import (
	"testing"
)

func TestSupplyGivesEachCodeOnce(t *testing.T) {
	s, err := newSupply(5, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	type use struct {
		user int
		step uint64
	}
	seen := map[use]bool{}
	last := map[int]uint64{}
	for now := uint64(100); now < 104; now++ {
		for n := 1; n < 8; n++ {
			users := map[int]bool{}
			for _, c := range s.take(n, now) {
				switch {
				case seen[use{c.user, c.step}]:
					t.Fatalf("user %d step %d was given twice", c.user, c.step)
				case c.step+1 < now || c.step > now:
					t.Fatalf("step %d given at %d", c.step, now)
				case c.step <= last[c.user]:
					t.Fatalf("user %d: step %d after %d", c.user, c.step, last[c.user])
				case users[c.user]:
					t.Fatalf("user %d twice in one round", c.user)
				case c.code != s.keys[c.user].HOTP(c.step):
					t.Fatalf("user %d: code %s is not that of step %d", c.user, c.code, c.step)
				}
				seen[use{c.user, c.step}], last[c.user], users[c.user] = true, c.step, true
			}
		}
		if n := s.left(now); n != 0 {
			t.Fatalf("%d codes of step %d are left; want all used", n, now)
		}
	}
	if len(seen) != 5*5 { // steps 99 to 103
		t.Errorf("%d codes given, want 25", len(seen))
	}
}

func TestSupplyTakesBackWhatWasNotSent(t *testing.T) {
	s, err := newSupply(3, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	codes := s.take(3, 7)
	s.giveBack(codes[1])
	again := s.take(3, 7)
	if len(again) != 1 || again[0] != codes[1] {
		t.Errorf("after one code was given back: %v, want %v", again, codes[1:2])
	}
}

func TestSupplyRepeatsForAServerThatDoesNotMind(t *testing.T) {
	s, err := newSupply(2, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(s.take(5, 7)); n != 5 {
		t.Errorf("%d codes, want 5", n)
	}
}

// A server takes a code for the latest step that has it, and so spends that one too.
func TestSupplyLeavesOutACodeThatTheNextStepHasToo(t *testing.T) {
	const same = 1111352 // user 0 has one code in this step and the next
	s, err := newSupply(1, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := s.keys[0].HOTP(same), s.keys[0].HOTP(same+1); a != b {
		t.Fatalf("codes are %s and %s, want them equal", a, b)
	}
	for now, want := range map[uint64]int{same - 1: 1, same: 0, same + 1: 1} {
		s.last[0] = 0
		if got := len(s.take(1, now)); got != want {
			t.Errorf("step %d: %d codes, want %d", now, got, want)
		}
	}
}
