package cluster

import (
	"errors"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/types"
)

// Status is what a node knows about itself.
type Status struct {
	Role        string // "master", "replica", "removed"
	MemberID    string // 16 hexadecimal digits
	Voter       bool
	Voters      int    // of the group as the local copy knows it; 1 with Voter: a sole voter
	Master      string // name of the last known master, this server included; "": none is known
	Epoch       uint64
	ClusterID   string
	Revision    int64     // of the local copy
	Lag         uint64    // entries that the group has decided and the local copy does not show yet, as far as this server knows
	Term        uint64    // counts the elections that this member knows of
	Quorum      bool      // a master answers, by our own probe; false behind a fence
	LastContact time.Time // when the master last answered a read or write; zero: not since the start
	DBSize      int64     // bytes of the file
	DBInUse     int64     // bytes of it that are in use
	Foreign     int64     // peer requests refused because they were of another cluster (epoch or group)
	ReadOnly    error     // why changes are refused though there is a master; nil: they are not
}

// Status returns the state of the node. It does not wait. It fails once the node is
// closed; a removed member goes on to answer until then.
func (n *Node) Status() (Status, error) {
	s := Status{
		Role: "removed", Epoch: n.file.Epoch, ClusterID: n.file.ClusterID, Foreign: n.foreign.Load(),
		MemberID: clusterID(uint64(n.srv.MemberID())),
	}
	if last := n.contact.Load(); last != nil {
		s.LastContact = *last
	}
	if err := n.enter(); errors.Is(err, errStopped) {
		return s, nil
	} else if err != nil {
		return Status{}, err
	}
	defer n.ops.Done()
	s.Term = n.srv.Term() // before the leader, which is then of this term or a later one
	leader := n.srv.Leader()
	s.Revision, s.DBSize, s.DBInUse = n.srv.KV().Rev(), n.srv.Backend().Size(), n.srv.Backend().SizeInUse()
	s.Quorum = leader != 0 && n.misses.Load() < lostAfter && n.fence.Load() == nil
	s.ReadOnly = n.writable(true)
	if committed, applied := n.srv.CommittedIndex(), n.srv.AppliedIndex(); committed > applied {
		s.Lag = committed - applied
	}
	for _, m := range n.srv.Cluster().Members() {
		if !m.IsLearner {
			s.Voters++
		}
		if m.ID == leader {
			s.Master = m.Name
		}
	}
	member, voter := n.standing()
	if member {
		s.Role, s.Voter = "replica", voter
		if leader == n.srv.MemberID() {
			s.Role = "master"
		}
	}
	return s, nil
}

// standing reports whether this server is a member of the group and has a vote in it, as
// the local copy knows. (IsLearner of etcd panics for a member that was removed.)
func (n *Node) standing() (member, voter bool) {
	m := n.srv.Cluster().Member(n.srv.MemberID())
	return m != nil, m != nil && !m.IsLearner
}

// MasterChanged is closed when this member next hears of another master, or of one after
// there was none.
func (n *Node) MasterChanged() <-chan struct{} { return n.srv.LeaderChangedNotify() }

// Removed is closed when the database has stopped because this server was removed from
// the group, or is about to for another reason that the log tells.
func (n *Node) Removed() <-chan struct{} { return n.srv.StoppingNotify() }

func parseID(s string) (types.ID, error) { return types.IDFromString(s) }
