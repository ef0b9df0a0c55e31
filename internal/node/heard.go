package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/group"
	"countersign/internal/peer"
)

const (
	hearEvery   = time.Second
	hearTimeout = 900 * time.Millisecond
	// expelledAfter is how many times in a row others must say that this server is none of
	// theirs: one that has just been admitted is known to all of them within a moment.
	expelledAfter = 5
	heardFor      = 3 * time.Second // without an answer a server is taken for gone
)

// heard is what the other servers of the group last said.
type heard struct {
	mu  sync.Mutex
	all map[string]word
}

type word struct {
	report group.Report
	at     time.Time
}

// Heard implements group.Peers.
func (h *heard) Heard(name string) (group.Report, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.all[name]
	return w.report, ok && time.Since(w.at) < heardFor
}

func (h *heard) set(name string, r group.Report) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.all == nil {
		h.all = map[string]word{}
	}
	h.all[name] = word{r, time.Now()}
}

// hear asks every other server each second what it is, until ctx is done.
func (s *server) hear(ctx context.Context) error {
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	refused := 0
	for {
		if s.hearOnce(ctx) {
			refused++
		} else {
			refused = 0
		}
		if refused == expelledAfter {
			s.ended()
			return fmt.Errorf("%w: the other servers do not know its key any more", errForgotten)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// hearOnce reports true if a server that is in contact with the master said that this one
// is none of the group, and none said otherwise.
func (s *server) hearOnce(ctx context.Context) (refused bool) {
	var yes, no atomic.Bool
	ctx, cancel := context.WithTimeout(ctx, hearTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for _, m := range s.peers.members() {
		if m.Name == s.Config.Name {
			continue
		}
		wg.Go(func() {
			var r group.Report
			err := s.peers.client.Call(ctx, m.Peer, http.MethodGet, peer.PathReport, nil, &r)
			if err == nil && r.Name == m.Name {
				s.heard.set(m.Name, r)
				yes.Store(true)
			}
			if errors.Is(err, group.ErrNotMember) {
				no.Store(true)
			}
		})
	}
	wg.Wait()
	return no.Load() && !yes.Load()
}

// report is what this server says of itself.
func (s *server) report() group.Report {
	r := group.Report{Name: s.Config.Name, Version: s.Version, Role: "joining", Since: s.started, Time: s.Now()}
	n := s.peers.live.Load()
	if n == nil {
		return r
	}
	st, err := n.Status()
	if err != nil {
		return r
	}
	r.Role, r.Voter, r.Master, r.MemberID, r.Epoch = st.Role, st.Voter, st.Master, st.MemberID, st.Epoch
	r.Revision, r.Lag, r.Quorum = st.Revision, st.Lag, st.Quorum
	return r
}
