package cluster

import (
	"cmp"
	"context"
	"expvar"
	"slices"
	"time"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	"go.etcd.io/raft/v3"
)

// Follower is how far a member has come, as the master knows.
type Follower struct {
	ID     string
	Match  uint64 // index of the last entry of the log that it has on disk
	Behind uint64 // entries that the master has and it has not
	Active bool   // it has answered within the last election time-out
}

// Followers returns the progress of the other members, on the master; nothing elsewhere.
func (n *Node) Followers() []Follower {
	if n.enter() != nil {
		return nil
	}
	defer n.ops.Done()
	s, ok := n.raft()
	if !ok {
		return nil
	}
	last := s.Progress[s.ID].Match
	var all []Follower
	for id, p := range s.Progress {
		if id != s.ID {
			all = append(all, Follower{ID: clusterID(id), Match: p.Match, Behind: last - min(p.Match, last), Active: p.RecentActive})
		}
	}
	slices.SortFunc(all, func(a, b Follower) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// raft returns etcd's own view of the members' progress, on the master. etcd offers it as
// a variable of the process, so with several databases in a process (as in tests) only the
// one started last has it.
func (n *Node) raft() (raft.Status, bool) {
	f, _ := expvar.Get("raft.status").(expvar.Func)
	if f == nil {
		return raft.Status{}, false
	}
	s, _ := f.Value().(raft.Status)
	return s, s.ID == uint64(n.srv.MemberID()) && s.Progress != nil
}

// sizes returns how many members there are, and how many of them vote. Each settlement
// asks, and to copy the members for that is dear.
func (n *Node) sizes() (voters, all int) {
	if c, ok := n.srv.Cluster().(*membership.RaftCluster); ok {
		return len(c.VotingMemberIDs()), len(c.MemberIDs())
	}
	for _, m := range n.srv.Cluster().Members() {
		all++
		if !m.IsLearner {
			voters++
		}
	}
	return voters, all
}

// reached is how far the best of the other members has come in a term.
type reached struct {
	term, match uint64
	active      bool // one has answered lately
}

// Replicated reports whether what this server has written until now is on the disk of
// another member too, and waits for that, at most wait and until ctx ends. It only ever waits on the master
// of a pair: elsewhere a write is acknowledged when a majority has it, and a server that is
// alone has nobody to wait for. Nor does it wait for a replica that is away, or that still
// lacks what somebody has waited for in vain.
func (n *Node) Replicated(ctx context.Context, wait time.Duration) bool {
	if n.enter() != nil {
		return false
	}
	defer n.ops.Done()
	want := n.srv.CommittedIndex() // the applied one may not have been counted up yet
	if n.srv.Leader() != n.srv.MemberID() {
		return true
	}
	voters, all := n.sizes()
	if all == 1 || voters > 1 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if n.looking.TryLock() { // one looks for all that wait
			r := reached{term: n.srv.Term()}
			for _, f := range n.Followers() {
				r.match, r.active = max(r.match, f.Match), r.active || f.Active
			}
			n.reached.Store(&r)
			n.looking.Unlock()
		}
		if r := n.reached.Load(); r != nil && r.term == n.srv.Term() {
			switch {
			case r.match >= want:
				return true
			case !r.active || r.match < n.inVain.Load():
				return false
			}
		}
		select {
		case <-ctx.Done():
			n.inVain.Store(want)
			return false
		case <-n.ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
