package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/store"
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
	group.Heartbeats // what they said, asked or not

	mu      sync.Mutex
	answers map[string]word // what they answered: only that proves that this server reaches them
}

type word struct {
	report group.Report
	at     time.Time
}

// Heard implements group.Peers.
func (h *heard) Heard(name string) (group.Report, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w, ok := h.answers[name]
	return w.report, ok && time.Since(w.at) < heardFor
}

// last is when the server of that name answered last; zero: never.
func (h *heard) last(name string) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.answers[name].at
}

// answered notes an answer of the server with that name at address.
func (h *heard) answered(name, group, address string, r group.Report, offset time.Duration) {
	now := time.Now()
	h.Beat(name, group, address, r, offset, now)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.answers == nil {
		h.answers = map[string]word{}
	}
	h.answers[name] = word{r, now}
}

// called notes a report that the server of that name has sent from address.
func (h *heard) called(name, group, address string, r group.Report, offset time.Duration) {
	if last, ok := h.Last(name); ok && last.Report.Instance == r.Instance {
		address = last.Address // where it is called is the better one
	}
	h.Beat(name, group, address, r, offset, time.Now())
}

// hear tells every other server each second what this one is, and hears the same of it,
// until ctx is done.
func (s *server) hear(ctx context.Context) error {
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	refused := 0
	for {
		no, suspects := s.hearOnce(ctx)
		if err := s.outdated.Load(); err != nil {
			return *err
		}
		for _, m := range suspects {
			if err := s.suspect(ctx, m); err != nil {
				return err
			}
		}
		if s.aside.Load() != nil && s.node.Cast() && s.hearsMaster() {
			s.ended()
			return errors.New("a master answers again: this server joins")
		}
		if no {
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
		case t := <-s.testified:
			if err := s.heed(t); err != nil {
				return err
			}
		case name := <-s.ahead:
			for _, m := range s.peers.members() {
				if m.Name == name {
					if err := s.suspect(ctx, m); err != nil {
						return err
					}
				}
			}
		}
	}
}

// hearOf has a server asked at once that knows a later epoch.
func (s *server) hearOf(name string) {
	select {
	case s.ahead <- name:
	default: // enough are waiting
	}
}

// hearOnce reports true if a server that is in contact with the master said that this one
// is none of the group, and none said otherwise. suspects seem to be at another epoch.
func (s *server) hearOnce(ctx context.Context) (refused bool, suspects []mfa.Member) {
	var yes, no atomic.Bool
	var mu sync.Mutex
	ctx, cancel := context.WithTimeout(ctx, hearTimeout)
	defer cancel()
	var wg sync.WaitGroup
	own := s.report()
	members := s.peers.members()
	s.heard.Forget(func(name string) bool {
		return slices.ContainsFunc(members, func(m mfa.Member) bool { return m.Name == name })
	})
	for _, m := range members {
		if m.Name == s.Config.Name {
			continue
		}
		wg.Go(func() {
			var r group.Report
			asked, began := s.Now(), time.Now()
			err := s.peers.client.Call(ctx, m.Peer, http.MethodPost, peer.PathReport, own, &r)
			if err == nil && r.Name == m.Name {
				half := asked.Add(time.Since(began) / 2)
				s.heard.answered(m.Name, s.node.Group(), m.Peer, r, r.Time.Sub(half))
				s.hearRival(r)
				yes.Store(true)
			}
			if errors.Is(err, group.ErrStranger) {
				s.testify(ctx, m)
			}
			if errors.Is(err, group.ErrEpochEnded) || err == nil && s.otherEpoch(r) {
				mu.Lock()
				suspects = append(suspects, m)
				mu.Unlock()
			}
			if errors.Is(err, group.ErrNotMember) {
				no.Store(true)
			}
			if errors.Is(err, mfa.ErrOutdated) {
				err = fmt.Errorf("server %s at %s says: %w", m.Name, m.Peer, err)
				s.outdated.Store(&err)
			}
		})
	}
	wg.Wait()
	return no.Load() && !yes.Load(), suspects
}

// otherEpoch reports whether r is of a server with a later epoch than this one, or with
// another database of the same.
func (s *server) otherEpoch(r group.Report) bool {
	ours := s.node.Epoch()
	return r.Epoch > ours || r.Epoch == ours && r.ClusterID != "" && r.ClusterID != s.node.ClusterID()
}

// beat takes a report that another server, who calls from address, has sent: its heartbeat.
func (s *server) beat(caller, address string, r group.Report) {
	s.heard.called(caller, s.node.Group(), address, r, r.Time.Sub(s.Now()))
	if r.Name == caller {
		s.hearRival(r)
	}
}

// report is what this server says of itself.
func (s *server) report() group.Report {
	r := group.Report{Name: s.Config.Name, Instance: s.instance, Version: s.Version, Schema: store.Schema, Role: "joining", Since: s.started, Time: s.Now()}
	if open := s.fronts.Load(); open != nil {
		r.Listeners = *open
	}
	r.Sights = s.sights()
	n, records := s.node, s.store // a server without a peer port reports to itself alone
	if s.peers != nil {
		r.Expires = s.peers.cert.Load().Leaf.NotAfter
		n, records = s.peers.live.Load(), s.peers.records.Load()
	}
	if n == nil || s.parted.Load() != nil {
		return r
	}
	st, err := n.Status()
	if err != nil {
		return r
	}
	r.Role, r.Voter, r.Master, r.MemberID, r.Epoch = st.Role, st.Voter, st.Master, st.MemberID, st.Epoch
	r.Group, r.ClusterID, r.Revision, r.Lag, r.Quorum = n.Group(), st.ClusterID, st.Revision, st.Lag, st.Quorum
	r.Rival = n.Folder().Rival
	if records != nil {
		r.Users, r.Unmerged, r.SignIns = records.CountUsers(), records.Unmerged(), s.metrics.verdicts.Load()
	}
	if why := s.aside.Load(); why != nil {
		r.Aside, r.Begins = why.why, why.begins
	}
	if st.ReadOnly != nil {
		r.ReadOnly = st.ReadOnly.Error()
	}
	return r
}
