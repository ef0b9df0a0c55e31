package node

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

const (
	pingTimeout = 900 * time.Millisecond // a line that is full is slow
	pingFresh   = 300 * time.Millisecond // an answer serves all who ask within
)

// ping asks for the master past the database: a copy that is far behind takes as long to
// answer as one whose master is gone, and only the second is to go on alone.
type ping struct {
	mu sync.Mutex
	at time.Time // of the last answer
	ok bool
	by mfa.Member // who answered
}

// masterAnswers implements store.Options.Ping: one of the other servers says that it is the
// master of this server's database, or of a later epoch.
func (s *server) masterAnswers(ctx context.Context) bool {
	if s.peers == nil {
		return false
	}
	s.ping.mu.Lock()
	defer s.ping.mu.Unlock()
	if time.Since(s.ping.at) < pingFresh {
		return s.ping.ok
	}
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var found atomic.Pointer[mfa.Member]
	var all sync.WaitGroup
	for _, m := range s.peers.members() {
		if m.Name == s.Config.Name {
			continue
		}
		all.Go(func() {
			var r group.Report
			err := s.peers.client.Call(ctx, m.Peer, http.MethodGet, peer.PathReport, nil, &r)
			if err == nil && r.Name == m.Name && r.Leads() && leadsUs(r, s.node.Epoch(), s.node.ClusterID()) {
				found.Store(&m)
				cancel() // the others need not be waited for
			}
		})
	}
	all.Wait()
	s.ping.at, s.ping.ok = time.Now(), found.Load() != nil
	if s.ping.ok {
		s.ping.by = *found.Load()
	}
	return s.ping.ok
}

// pinged returns the master that has answered last, if it has not failed to since.
func (s *server) pinged() (mfa.Member, bool) {
	s.ping.mu.Lock()
	defer s.ping.mu.Unlock()
	return s.ping.by, s.ping.ok
}

// leadsUs reports whether a master is that of the database here, or of a later epoch, which
// this server has to join before it decides anything.
func leadsUs(r group.Report, epoch uint64, cluster string) bool {
	return r.Epoch > epoch || r.Epoch == epoch && r.ClusterID == cluster
}
