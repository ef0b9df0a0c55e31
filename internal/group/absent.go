package group

import (
	"fmt"
	"strings"
)

// Way is what became of trying one other server.
type Way struct {
	Server  string
	Address string
	Voter   bool
	OK      bool
	Layer   string // that failed, if not OK
	Alive   bool   // something of that server answers, if not its peer port
	Master  string // that it is in contact with, if OK; "": none
}

// Absent is what a server knows that reaches no master.
type Absent struct {
	Server string // this one
	Voter  bool   // it has a vote
	Ways   []Way  // all other servers on record

	Witness bool // this one is, which has no keys and cannot be promoted
}

// lost says what to do if those that are missing are gone for good; some servers are left.
func (a Absent) lost(some bool) string {
	switch {
	case !a.Witness:
		return "run `countersign group promote --disaster` here"
	case some:
		return "run `countersign group promote --disaster` on one of those that are left"
	}
	return "the group's keys are gone with them: restore a backup on another machine (`countersign backup restore`)"
}

// NextStep is the one thing to do.
func (a Absent) NextStep() string {
	var bad []Way
	votes, there := 0, 0
	count := func(voter, ok bool) {
		if voter {
			votes++
			if ok {
				there++
			}
		}
	}
	count(a.Voter, true)
	for _, w := range a.Ways {
		count(w.Voter, w.OK)
		if w.OK && w.Master != "" && w.Master != a.Server {
			return a.link(w)
		}
		if !w.OK {
			bad = append(bad, w)
		}
	}
	need := votes/2 + 1
	switch {
	case len(a.Ways) == 0:
		return "look at the log and the disk of this server, and restart it"
	case len(bad) == 0 || there >= need:
		return "wait a few seconds for an election and run `countersign doctor` again; if it goes on, look at the logs of the voters"
	case len(a.Ways) == 1 && a.Voter && !a.Witness:
		return fmt.Sprintf("bring %s back; its vote is needed", bad[0].text())
	case len(living(bad)) > 0:
		return fmt.Sprintf("%s: something answers there, so it is not gone: mend what its checks say, and begin no new epoch while it lives", texts(living(bad)))
	case len(a.Ways) == 1:
		return fmt.Sprintf("bring %s back; if it is gone for good, %s", bad[0].text(), a.lost(false))
	case len(bad) == len(a.Ways):
		return fmt.Sprintf("this server reaches none of the %d others: look at its own network first, then bring them back (%s); if all of them are destroyed, %s", len(bad), texts(bad), a.lost(false))
	}
	return fmt.Sprintf("%d of %d votes are there and %d are needed: bring back %s; if they are destroyed, %s", there, votes, need, texts(bad), a.lost(true))
}

// living are those of which something answers.
func living(bad []Way) (all []Way) {
	for _, w := range bad {
		if w.Alive {
			all = append(all, w)
		}
	}
	return all
}

// link: others have a master, so it is between that and this server.
func (a Absent) link(w Way) string {
	for _, m := range a.Ways {
		if m.Server == w.Master && !m.OK {
			return fmt.Sprintf("%s is in contact with the master, %s, which this server does not reach: mend the way from here to %s", w.Server, w.Master, m.text())
		}
	}
	return fmt.Sprintf("the master, %s, is reached but the database does not hear it: run this again in a minute; if it goes on, look for component=cluster in the logs of both", w.Master)
}

func (w Way) text() string { return fmt.Sprintf("%s at %s (%s)", w.Server, w.Address, w.Layer) }

func texts(all []Way) string {
	var t []string
	for _, w := range all {
		t = append(t, w.text())
	}
	return strings.Join(t, ", ")
}
