package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// electorate is a master whose database has so many voters, itself first.
type electorate struct {
	Cluster
	n int
}

func (electorate) Leads() bool { return true }
func (v electorate) Nodes() (all []Node, err error) {
	for i := range v.n {
		all = append(all, Node{ID: fmt.Sprint(i + 1), Name: fmt.Sprintf("n%d", i+1), Peer: fmt.Sprintf("n%d:7443", i+1), Voter: true, Master: i == 0})
	}
	return append(all, Node{ID: "9", Name: "learner", Peer: "learner:7443"}), nil
}
func (electorate) AddLearner(context.Context, string, string) (JoinInfo, error) {
	return JoinInfo{MemberID: "7"}, nil
}

type answering map[string]bool

func (a answering) Heard(name string) (Report, bool) { return Report{}, a[name] }

// The database wants more than half of the votes, one more counted, before it takes in
// anybody: who joins hears at once who is missing, and what to do.
func TestJoinWhileVotesAreAway(t *testing.T) {
	for _, c := range []struct {
		votes  int
		heard  []string
		silent string // "": the server joins
	}{
		{1, nil, ""},
		{2, []string{"n2"}, ""},
		{2, nil, "n2"},
		{3, []string{"n2", "n3"}, ""},
		{3, []string{"n3"}, "n2"},
		{5, []string{"n2", "n3", "n4"}, ""},
		{5, []string{"n2", "n5"}, "n3, n4"},
	} {
		heard := answering{}
		for _, name := range c.heard {
			heard[name] = true
		}
		s := &Service{Server: "n1", Peers: heard, Cluster: electorate{n: c.votes}, Log: slog.New(slog.DiscardHandler),
			Store: &leaving{members: []mfa.Member{{Name: "n1", Key: "k1"}, {Name: "new", Peer: "new:7443", Key: "k9"}}}}
		_, err := s.Join(t.Context(), "new", "")
		if (c.silent == "") != (err == nil) {
			t.Errorf("%d votes, heard %v: %v", c.votes, c.heard, err)
		}
		if c.silent == "" {
			continue
		}
		first, _, _ := strings.Cut(c.silent, ",")
		if !errors.Is(err, ErrVotesAway) || !strings.Contains(err.Error(), "these do not answer: "+c.silent+";") || !strings.Contains(err.Error(), "group forget "+first+"`; server new joins") {
			t.Errorf("%d votes, heard %v: %v", c.votes, c.heard, err)
		}
	}
}

// One that is to go is not waited for either: a living server with a vote stays while the
// others would be no majority without it. A dead one goes.
func TestForgetWhileVotesAreAway(t *testing.T) {
	for _, c := range []struct {
		votes        int
		name         string
		heard        []string
		silent, text string // "": nothing is in the way
	}{
		{3, "n2", []string{"n2", "n3"}, "", ""},
		{3, "n2", []string{"n2"}, "n3", "n2 has one, and of the 2 without it these do not answer: n3;"},
		{3, "n3", []string{"n2"}, "", ""},
		{3, "n1", []string{"n2"}, "n3", "n1 has one"},
		{2, "n2", []string{"n2"}, "", ""},
		{2, "n1", []string{"n2"}, "", ""},
		{5, "n2", []string{"n2", "n3", "n4"}, "", ""},
		{5, "n2", []string{"n2", "n3"}, "n4", "run `countersign group forget n4` first"},
		{1, "n1", nil, "", ""},
		{3, "learner", []string{"learner"}, "", ""},
	} {
		heard := answering{}
		for _, name := range c.heard {
			heard[name] = true
		}
		s := &Service{Server: "n1", Peers: heard, Cluster: electorate{n: c.votes}}
		err := s.votesRemain(mfa.Member{Name: c.name})
		if (c.silent == "") != (err == nil) || err != nil && (!errors.Is(err, ErrVotesAway) || !errors.Is(err, mfa.ErrInvalid) || !strings.Contains(err.Error(), c.text)) {
			t.Errorf("%s of %d votes, heard %v: %v", c.name, c.votes, c.heard, err)
		}
	}
}
