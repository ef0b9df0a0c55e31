package node

import (
	"context"
	"errors"

	"countersign/internal/cluster"
)

// joinAgain joins the group anew after this server's membership has ended, as that of an old
// master does that has changed places. If no master lets it in time, it opens what it has and
// stands by: by that copy it decides nothing, but if nobody is left whom it could join, a new
// epoch can begin from it.
func (s *server) joinAgain(ctx, starting context.Context) (err error) {
	if s.node, err = s.join(ctx, followPatience); !errors.Is(err, errNoMaster) {
		return err
	}
	s.own.Warn("no master lets this server join again; its own copy is opened, and decides nothing", "error", err)
	if s.node, err = cluster.OpenCast(starting, s.clusterOptions()); err != nil {
		return err
	}
	if err = s.place(ctx, starting); err != nil && s.node != nil {
		s.node.Close()
	}
	return err
}

// hearsMaster reports whether a server of this one's epoch answers that has a master.
func (s *server) hearsMaster() bool {
	for _, m := range s.peers.members() {
		if r, ok := s.heard.Heard(m.Name); ok && m.Name != s.Config.Name && r.Quorum && r.Epoch == s.node.Epoch() {
			return true
		}
	}
	return false
}
