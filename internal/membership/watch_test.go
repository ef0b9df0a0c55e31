package membership

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a group whose members come and go.
type world struct {
	now     time.Time
	members []Member
	watch   Watch
	steps   []Step
}

func (w *world) voters() (n int) {
	for _, m := range w.members {
		if m.Voter {
			n++
		}
	}
	return n
}

// quorum reports whether the voters that answer are a majority: without one nothing changes.
func (w *world) quorum() bool {
	there := 0
	for _, m := range w.members {
		if m.Voter && m.Reachable {
			there++
		}
	}
	return there > w.voters()/2
}

// tick lets d pass and makes one step.
func (w *world) tick(d time.Duration) Step {
	w.now = w.now.Add(d)
	if !w.quorum() {
		return Step{}
	}
	lead := -1
	for i, m := range w.members {
		if m.Master && m.Reachable {
			lead = i
		}
	}
	for i := range w.members { // the voters elect
		m := &w.members[i]
		if lead < 0 && m.Voter && m.Reachable {
			lead = i
		}
		m.Master = i == lead
	}
	s := w.watch.Next(w.now, w.members)
	for i := range w.members {
		m := &w.members[i]
		switch {
		case s.Action == MoveMaster:
			m.Master = m.Name == s.Name
		case m.Name == s.Name:
			m.Voter = s.Action == Promote
		}
	}
	if s.Action != Nothing {
		w.steps = append(w.steps, s)
	}
	return s
}

// Whoever comes, goes and falls behind in whatever order, within a few minutes of peace the
// group rests at an odd number of votes, unless it has no majority, and every step was made
// with one.
func TestNoEvenNumberAtRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{now: t0}
		for i := range rapid.IntRange(1, 7).Draw(t, "members") {
			w.members = append(w.members, Member{Name: fmt.Sprint(i), Joined: t0.Add(time.Duration(i)), Known: true, Reachable: true, CaughtUp: true,
				Voter: i == 0, Witness: i > 0 && rapid.IntRange(0, 4).Draw(t, "witness") == 0})
		}
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			m := &w.members[rapid.IntRange(0, len(w.members)-1).Draw(t, "who")]
			switch rapid.IntRange(0, 3).Draw(t, "what") {
			case 0:
				m.Reachable = false
			case 1:
				m.Reachable = true
			case 2:
				m.CaughtUp = !m.CaughtUp || m.Voter
			case 3:
				for range rapid.IntRange(1, 100).Draw(t, "seconds") {
					w.tick(time.Second)
				}
			}
			w.tick(time.Second)
		}
		for range 600 {
			w.tick(time.Second)
		}
		if !w.quorum() {
			return
		}
		if s := w.tick(time.Second); s.Action != Nothing {
			t.Fatalf("no rest after ten minutes of peace: %+v", s)
		}
		silent := 0
		for _, m := range w.members {
			if m.Voter && !m.Reachable {
				silent++
			}
		}
		if n := w.voters(); n%2 == 0 {
			t.Fatalf("rests at %d votes, %d of them silent: %+v, after %+v", n, silent, w.members, w.steps)
		}
	})
}

// A third server that comes and goes every half minute moves no vote after the first time.
func TestNobodyFlaps(t *testing.T) {
	w := &world{now: t0}
	for _, name := range []string{"a", "b", "c"} {
		w.members = append(w.members, Member{Name: name, Known: true, Reachable: true, CaughtUp: true, Voter: name == "a"})
	}
	if s := w.tick(time.Second); s.Action != Promote || s.Name != "b" {
		t.Fatalf("got %+v, want b promoted", s)
	}
	c := &w.members[2]
	c.Reachable = false
	for range 61 {
		w.tick(time.Second)
	}
	if s := w.steps[len(w.steps)-1]; s.Action != Demote || s.Name != "b" {
		t.Fatalf("got %+v, want the vote of b taken back", s)
	}
	before := len(w.steps)
	for i := range 1200 {
		c.Reachable = i%60 >= 30
		w.tick(time.Second)
	}
	if len(w.steps) != before {
		t.Errorf("votes were moved for one that comes and goes: %+v", w.steps[before:])
	}
	c.Reachable = true
	for range 70 {
		w.tick(time.Second)
	}
	if w.voters() != 3 {
		t.Errorf("%d votes after it has stayed for a minute, want 3", w.voters())
	}
}

// What another server did meanwhile is not known: the time is counted anew.
func TestWatchForgetsAGap(t *testing.T) {
	w := &world{now: t0, members: parse("a:vm b:v c:lx")}
	w.tick(time.Second)
	if s := w.tick(10 * time.Minute); s.Action != Nothing {
		t.Errorf("got %+v from a look ten minutes ago", s)
	}
}
