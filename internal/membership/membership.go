// Package membership decides, from what is known of a group's members, the next single
// step towards the right number of voters (DESIGN section 5): one server has one voter,
// two have one and a learner, three or four have three, five or more have five. It is pure.
package membership

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Member is one member of the group as its master sees it.
type Member struct {
	Name      string
	Witness   bool // votes, but runs no front-end
	Joined    time.Time
	Known     bool // etcd has it as a member
	Voter     bool
	Master    bool
	Reachable bool
	CaughtUp  bool // its copy is at most seconds behind
	Full      bool // it could take no changes as the master: its disk is nearly full

	Unready time.Duration // for how long it was not both reachable and caught up; 0: it is
	Doubted bool          // its absence has cost another one its vote, and it is not back for long
}

// StepBackAfter is for how long a member must have been away before another one gives its vote
// back for it, and for how long it must be there again before it counts: who comes and goes
// every few seconds has no vote moved.
const StepBackAfter = time.Minute

// Action is what to do with one member.
type Action string

// The actions.
const (
	Nothing    Action = ""
	Promote    Action = "promote"     // make the learner a voter
	Demote     Action = "demote"      // remove the voter and add it again as a learner
	MoveMaster Action = "move master" // make this voter the master instead of a witness, or of one without room
)

// Step is one step; Why says so for the log.
type Step struct {
	Action Action
	Name   string
	Why    string
	Back   bool // from an even number of voters, because of those who are away
}

// Voters returns how many voters a group of n members has.
func Voters(n int) int {
	switch {
	case n <= 0:
		return 0
	case n <= 2:
		return 1
	case n <= 4:
		return 3
	}
	return 5
}

// Next returns the next step. The list is that of the member records: who is not in it
// has been forgotten.
func Next(members []Member) Step {
	order := slices.Clone(members)
	slices.SortStableFunc(order, compare)
	var voters, ready []Member
	for _, m := range order {
		switch {
		case m.Known && m.Voter:
			voters = append(voters, m)
		case m.Known && m.Reachable && m.CaughtUp && !m.Doubted:
			ready = append(ready, m)
		}
	}
	if step := handOver(voters); step.Action != Nothing {
		return step // before all else: a vote taken away must not be that of the one who is to lead
	}
	want := Voters(len(members))
	switch {
	case len(voters) < want && odd(len(voters)+len(ready), want) > len(voters) && healthy(voters):
		return Step{Action: Promote, Name: ready[0].Name, Why: "the group has members enough for " + count(want)}
	case len(voters) > want && len(voters) > 1 && healthy(voters):
		for _, m := range slices.Backward(voters) {
			if !m.Master && (m.Witness || servers(voters) > 1) {
				return Step{Action: Demote, Name: m.Name, Why: "the group has members for " + count(want) + " only"}
			}
		}
	case len(voters)%2 == 0:
		return stepBack(order, voters)
	}
	return Step{}
}

// stepBack returns from an even number of voters to the odd one below it, once those who would
// complete the next one have not been ready for StepBackAfter: a group rests at an even number
// if somebody dies between two promotions. A voter that is silent goes itself.
func stepBack(members, voters []Member) Step {
	const why = "an even number of voters survives no more failures than one less, and needs one more to agree; not ready: "
	var silent []Member
	for _, m := range voters {
		if !m.Reachable {
			silent = append(silent, m)
		}
	}
	switch {
	case len(silent) == 1 && len(voters) > 2:
		if silent[0].Unready >= StepBackAfter && !silent[0].Master {
			return Step{Demote, silent[0].Name, why + silent[0].Name, true}
		}
		return Step{}
	case len(silent) > 0:
		return Step{}
	}
	var away []string
	for _, m := range members {
		switch {
		case m.Known && m.Voter:
		case m.Unready >= StepBackAfter:
			away = append(away, m.Name)
		case !m.Doubted:
			return Step{} // it is ready, or may be in a moment
		}
	}
	for _, m := range slices.Backward(voters) {
		if !m.Master && (m.Witness || servers(voters) > 1) {
			return Step{Demote, m.Name, why + strings.Join(away, ", "), true}
		}
	}
	return Step{}
}

// servers counts those that are no witnesses.
func servers(list []Member) (n int) {
	for _, m := range list {
		if !m.Witness {
			n++
		}
	}
	return n
}

// handOver moves the lead from a witness to a server as soon as one has caught up (a witness
// has no keys and runs no coordinator), and from a server whose disk takes no changes to one
// whose does. A witness takes no lead, not even from that.
func handOver(voters []Member) Step {
	lead := slices.IndexFunc(voters, func(m Member) bool { return m.Master })
	if lead < 0 || !voters[lead].Witness && !voters[lead].Full {
		return Step{}
	}
	why := "a witness leads"
	if !voters[lead].Witness {
		why = "the disk of " + voters[lead].Name + " is nearly full"
	}
	for _, full := range []bool{false, true} {
		for _, m := range voters {
			if !m.Master && !m.Witness && m.Reachable && m.CaughtUp && m.Full == full && (!full || voters[lead].Witness) {
				return Step{Action: MoveMaster, Name: m.Name, Why: why}
			}
		}
	}
	return Step{}
}

// odd returns the number of voters that can be had: want if there are members for it,
// else the next lower odd number, because an even number tolerates no more failures than
// the odd one below it and needs one more to agree.
func odd(have, want int) int {
	n := min(have, want)
	if n%2 == 0 {
		n--
	}
	return n
}

// healthy reports whether all voters are there: membership is not changed while one is
// away, because the change itself needs a majority afterwards.
func healthy(voters []Member) bool {
	return !slices.ContainsFunc(voters, func(m Member) bool { return !m.Reachable })
}

// compare orders by fitness to vote: the master, then witnesses (voting is all they do),
// then by age.
func compare(a, b Member) int {
	return cmp.Or(rank(a)-rank(b), a.Joined.Compare(b.Joined), cmp.Compare(a.Name, b.Name))
}

func rank(m Member) int {
	switch {
	case m.Master:
		return 0
	case m.Witness:
		return 1
	}
	return 2
}

func count(n int) string {
	if n == 1 {
		return "one voter"
	}
	return [...]string{3: "three voters", 5: "five voters"}[n]
}
