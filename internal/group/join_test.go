package group

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"countersign/internal/mfa"
)

// leaving is the records of a group that a server is taken out of while it joins.
type leaving struct {
	Store
	members []mfa.Member
}

func (s *leaving) Members() []mfa.Member { return s.members }

func (s *leaving) UpdateMember(_ context.Context, name string, change func(*mfa.Member) error) error {
	m := mfa.Member{Name: name}
	for _, o := range s.members {
		if o.Name == name {
			m = o
		}
	}
	return change(&m)
}

// joined is a master whose database takes a learner.
type joined struct {
	Cluster
	meanwhile func()
}

func (joined) Leads() bool            { return true }
func (joined) Nodes() ([]Node, error) { return nil, nil }
func (c joined) AddLearner(context.Context, string, string) (JoinInfo, error) {
	c.meanwhile()
	return JoinInfo{MemberID: "1"}, nil
}

// The record of a server that is taken out while it joins is not made again.
func TestJoinOfOneThatLeaves(t *testing.T) {
	for _, leaves := range []bool{false, true} {
		store := &leaving{members: []mfa.Member{{Name: "n1", Key: "k1"}, {Name: "n2", Key: "k2"}}}
		s := &Service{Server: "n2", Store: store, Log: slog.New(slog.DiscardHandler), Cluster: joined{meanwhile: func() {
			if leaves {
				store.members = store.members[1:]
			}
		}}}
		if _, err := s.Join(t.Context(), "n1", ""); leaves != errors.Is(err, mfa.ErrNotFound) || !leaves && err != nil {
			t.Errorf("a server joins, and is taken out meanwhile: %v: %v", leaves, err)
		}
	}
}
