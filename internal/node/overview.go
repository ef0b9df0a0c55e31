package node

import (
	"context"
	"net/http"
	"time"

	"countersign/internal/group"
	"countersign/internal/peer"
)

const overviewTimeout = 2 * time.Second

// overview is what the group's coordinator, which runs on the master, shows of its servers;
// if the master does not answer, what this server has heard of them itself.
func (s *server) overview(ctx context.Context) (group.Overview, error) {
	if s.peers == nil || s.group.Cluster.Leads() {
		return s.ownOverview(), nil
	}
	if master, err := s.master(); err == nil {
		ctx, cancel := context.WithTimeout(ctx, overviewTimeout)
		defer cancel()
		var o group.Overview
		if err := s.peers.client.Call(ctx, master.Peer, http.MethodGet, peer.PathOverview, nil, &o); err == nil {
			return o, nil
		}
	}
	return s.ownOverview(), nil
}

func (s *server) ownOverview() group.Overview {
	return group.NewOverview(s.Config.Name, time.Now(), s.seen(), group.DefaultLimits)
}

// seen is every server on record as this one knows it, this one included.
func (s *server) seen() []group.Seen {
	now := time.Now()
	own := group.Seen{Name: s.Config.Name, Group: s.node.Group(), First: s.started, Last: now, Moved: now, Report: s.report()}
	if s.peers == nil {
		return []group.Seen{own}
	}
	own.Address = s.peers.address
	all := append(s.heard.All(), own)
	heard := map[string]bool{}
	for _, one := range all {
		heard[one.Name] = true
	}
	for _, m := range s.peers.members() {
		if !heard[m.Name] {
			all = append(all, group.Seen{Name: m.Name, Group: s.node.Group(), Address: m.Peer})
		}
	}
	return all
}
