package node

import (
	"fmt"
	"strings"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// refusesChanges says why nobody may change what administrators manage though there is a
// master: the epoch has two sides, or the master has no room.
func (s *server) refusesChanges() error {
	if err := s.frozen(); err != nil {
		return err
	}
	if s.peers == nil {
		return nil
	}
	st, err := s.node.Status()
	if err != nil || st.Role == "master" {
		return nil // whose database refuses by itself
	}
	r, ok := s.heard.Heard(st.Master)
	return noRoom(r, ok && r.Leads() && r.Epoch == st.Epoch && r.ClusterID == st.ClusterID)
}

// noRoom says that the master of report r takes no changes: what etcd passes on to it would
// fill its disk all the same. Sign-ins are settled there as long as they can be: that takes
// little room, and the trail of a replica is on its own disk.
func noRoom(r group.Report, leads bool) error {
	if !leads || r.ReadOnly == "" {
		return nil
	}
	return fmt.Errorf("%w: the master %s takes no changes: %s", mfa.ErrReadOnly, r.Name, strings.TrimPrefix(r.ReadOnly, mfa.ErrReadOnly.Error()+": "))
}
