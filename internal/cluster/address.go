package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
)

const addressCheck = time.Second

// UpdatePeerURL tells the group the address under which this server is reached, if that is
// another than the group has recorded: the founding server's when it gets its peer port,
// or one that has moved. Run does the same by itself. Only for voters: a learner is to be
// admitted anew, because etcd forgets what it is when it is updated.
func (n *Node) UpdatePeerURL(ctx context.Context) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	return n.tellAddress(ctx)
}

// recorded returns the address that the group has recorded for this server; "" if this
// server is no member.
func (n *Node) recorded() string {
	if m := n.srv.Cluster().Member(n.srv.MemberID()); m != nil && len(m.PeerURLs) == 1 {
		return m.PeerURLs[0]
	}
	return ""
}

func (n *Node) tellAddress(ctx context.Context) error {
	was := n.recorded()
	if !n.o.peered() || was == n.o.Peer || was == "" {
		return nil
	}
	if _, voter := n.standing(); !voter {
		return fmt.Errorf("the group knows this replica as %s, not as %s: admit it anew by an activation code: %w", was, n.o.Peer, mfa.ErrInvalid)
	}
	self := membership.Member{ID: n.srv.MemberID(), RaftAttributes: membership.RaftAttributes{PeerURLs: []string{n.o.Peer}}}
	if _, err := n.change(ctx, func(ctx context.Context) ([]*membership.Member, error) { return n.srv.UpdateMember(ctx, self) }); err != nil {
		return fmt.Errorf("tell the group this server's address %s: %w", n.o.Peer, err)
	}
	n.log.Info("the group knows this server's new address", "peer", n.o.Peer, "before", was)
	return nil
}

// keepAddress is tellAddress for Run. It warns of each trouble once; warned is the last.
func (n *Node) keepAddress(ctx context.Context, warned *string) {
	if n.enter() != nil {
		return
	}
	defer n.ops.Done()
	if !n.o.peered() || n.recorded() == n.o.Peer || n.lost() != nil || n.srv.Leader() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, n.o.Timeout)
	defer cancel()
	if err := n.tellAddress(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, errClosed) && err.Error() != *warned {
		*warned = err.Error()
		n.log.Warn("other members do not know this server's address", "error", err)
	}
}
