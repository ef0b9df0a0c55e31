package membership

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var t0 = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)

// parse reads "a:vm b:l w:w": v voter, l learner, m master, x unreachable, b behind,
// w witness, n not yet in etcd, f disk full, o away for long, d doubted.
func parse(s string) (members []Member) {
	for i, f := range strings.Fields(s) {
		name, flags, _ := strings.Cut(f, ":")
		has := func(c string) bool { return strings.Contains(flags, c) }
		unready := time.Duration(0)
		if has("o") {
			unready = StepBackAfter
		}
		members = append(members, Member{Unready: unready, Doubted: has("d"), Name: name, Joined: t0.Add(time.Duration(i) * time.Hour), Known: !has("n"), Voter: has("v"),
			Master: has("m"), Reachable: !has("x"), CaughtUp: !has("b"), Witness: has("w"), Full: has("f")})
	}
	return members
}

func TestNext(t *testing.T) {
	tests := []struct{ name, group, want string }{
		{"one", "a:vm", ""},
		{"two", "a:vm b:l", ""},
		{"three, both ready", "a:vm b:l c:l", "promote b"},
		{"three, one promoted", "a:vm b:v c:l", "promote c"},
		{"three, done", "a:vm b:v c:v", ""},
		{"three, one behind: no even number", "a:vm b:l c:lb", ""},
		{"three, one not started", "a:vm b:l c:n", ""},
		{"three, a voter is away", "a:vm b:vx c:l", ""},
		{"two and a witness", "a:vm b:l w:lw", "promote w"},
		{"server and witness", "a:vm w:lw", ""},
		{"four", "a:vm b:v c:v d:l", ""},
		{"five", "a:vm b:v c:v d:l e:l", "promote d"},
		{"five, four ready", "a:vm b:v c:v d:l e:lb", ""},
		{"six", "a:vm b:v c:v d:v e:v f:l", ""},
		{"one of three has left", "a:vm b:v", "demote b"},
		{"one of three has left, the youngest leads", "a:v b:vm", "demote a"},
		{"two of five have left", "a:vm b:v c:v d:v", "demote d"},
		{"one of two voters is away", "a:vm b:vx", ""},
		{"a witness leads", "a:v b:v w:vmw", "move master a"},
		{"a witness leads, the first is behind", "a:vb b:v w:vmw", "move master b"},
		{"a witness leads, nobody ready", "a:vb b:vx w:vmw", ""},
		{"a witness leads, the first has no room", "a:vf b:v w:vmw", "move master b"},
		{"a witness leads, nobody has room", "a:vf b:vf w:vmw", "move master a"},
		{"the master has no room", "a:vmf b:v c:v", "move master b"},
		{"the master has no room, the next is behind", "a:vmf b:vb c:v", "move master c"},
		{"the master has no room, a learner has", "a:vmf b:l", ""},
		{"nobody has room", "a:vmf b:vf c:vf", ""},
		{"only a witness has room", "a:vmf b:vf w:vw", ""},
		{"another one has no room", "a:vm b:vf c:v", ""},
		{"a witness leads and a server has left", "a:v w:vmw", "move master a"},
		{"a witness leads, a server has left, the other is away", "a:vx w:vmw", ""},
		{"a witness leads, a server has left, the other is behind", "a:vb w:vmw", ""},
		{"a server has left, the other leads", "a:vm w:vw", "demote w"},
		{"two witnesses", "a:vm v:lw w:lw", "promote v"},
		{"the third has died between two promotions", "a:vm b:v c:lx", ""},
		{"and is away for long", "a:vm b:v c:lxo", "demote b"},
		{"and a fourth could take its place", "a:vm b:v c:lxo d:l", "promote d"},
		{"and a fourth may soon", "a:vm b:v c:lxo d:lb", ""},
		{"and the fourth cannot either", "a:vm b:v c:lxo d:lbo", "demote b"},
		{"the third does not catch up", "a:vm b:v c:lbo", "demote b"},
		{"the third was never started", "a:vm b:v c:no", "demote b"},
		{"the second is away too", "a:vm b:vx c:lxo", ""},
		{"the other voter is a witness", "a:vm w:vw c:lxo", "demote w"},
		{"the master is the younger", "a:v b:vm c:lxo", "demote a"},
		{"the third is back", "a:vm b:v c:l", "promote c"},
		{"the third comes and goes", "a:vm b:l c:ld", ""},
		{"the third comes and goes, a fourth is there", "a:vm b:l c:ld d:l", "promote b"},
		{"four of five, the fifth away", "a:vm b:v c:v d:v e:lxo", "demote d"},
		{"four of five, a voter away", "a:vm b:v c:v d:vx e:l", ""},
		{"four of five, a voter away for long", "a:vm b:v c:v d:vxo e:l", "demote d"},
		{"four of five, two voters away", "a:vm b:v c:vxo d:vxo e:l", ""},
		{"four voters of four, one away for long", "a:vm b:v c:v d:vxo", "demote d"},
		{"three voters, one away for long", "a:vm b:v c:vxo", ""},
		{"empty", "", ""},
	}
	for _, tt := range tests {
		s := Next(parse(tt.group))
		if got := strings.TrimSpace(string(s.Action) + " " + s.Name); got != tt.want {
			t.Errorf("%s: %q: got %q, want %q", tt.name, tt.group, got, tt.want)
		}
	}
}

// Followed step by step, any healthy group comes to rest, with the right number of voters
// and a server as master.
func TestNextComesToRest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 8).Draw(t, "members")
		var members []Member
		for i := range n {
			members = append(members, Member{Name: fmt.Sprint(i), Joined: t0.Add(time.Duration(i)), Known: true, Reachable: true, CaughtUp: true,
				Voter: rapid.Bool().Draw(t, "voter"), Witness: i > 0 && rapid.IntRange(0, 4).Draw(t, "witness") == 0})
		}
		members[0].Voter = true
		var voters []int
		for i, m := range members {
			if m.Voter {
				voters = append(voters, i)
			}
		}
		members[rapid.SampledFrom(voters).Draw(t, "master")].Master = true
		for range 20 {
			s := Next(members)
			if s.Action == Nothing {
				break
			}
			for i := range members {
				m := &members[i]
				switch {
				case s.Action == MoveMaster:
					m.Master = m.Name == s.Name
				case m.Name == s.Name:
					if m.Master {
						t.Fatalf("the master itself is to be changed: %+v", s)
					}
					m.Voter = s.Action == Promote
				}
			}
		}
		if s := Next(members); s.Action != Nothing {
			t.Fatalf("no rest: %+v of %+v", s, members)
		}
		got := 0
		for _, m := range members {
			if m.Voter {
				got++
			}
		}
		if got != Voters(n) {
			t.Fatalf("%d members come to rest with %d voters, want %d", n, got, Voters(n))
		}
	})
}
