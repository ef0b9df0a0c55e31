package cluster

import (
	"context"
	"time"
)

// castPatience bounds how long a member that was removed may take to find out that it was.
const castPatience = 10 * time.Second

// Cast reports whether the copy is of a membership that has ended: this server was removed
// from the group and has not joined again.
func (n *Node) Cast() bool {
	member, _ := n.standing()
	return !member
}

// OpenCast is Open for the copy of a member that was removed, which Open gives for a second
// only: etcd meets the removal in its log and stops. So it is let do that once, and takes a
// snapshot behind the removal; from then on it stays. The copy has no master, takes no write
// and votes for nobody.
func OpenCast(ctx context.Context, o Options) (*Node, error) {
	o.snapshotAtOnce = true
	n, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	t := time.NewTimer(castPatience)
	defer t.Stop()
	select {
	case <-n.srv.StopNotify():
	case <-t.C: // it stays already
	case <-ctx.Done():
		n.Close()
		return nil, ctx.Err()
	}
	n.Close()
	o.snapshotAtOnce = false
	return Open(ctx, o)
}
