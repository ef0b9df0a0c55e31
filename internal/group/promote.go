package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"countersign/internal/membership"
	"countersign/internal/mfa"
)

const (
	voteTimeout = 15 * time.Second // for a replica to get a vote
	moveTimeout = 10 * time.Second
	// swapLife is how long a recorded swap waits for a new master that has no vote yet; after
	// that nobody expects it any more, and nothing has been changed by then.
	swapLife = 2 * time.Minute
)

// Promote makes another server the master without loss: the one named to, or if that is ""
// the fittest. On the master only. With dry it only says what would be done. It returns as
// soon as the new master leads; if the old one had the only vote, it is a replica a few
// seconds later, by the doing of whoever leads then.
func (s *Service) Promote(ctx context.Context, by, to string, dry bool) (mfa.Promotion, error) {
	if !s.Cluster.Leads() {
		return mfa.Promotion{}, ErrNotMaster
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	p, c, err := s.preflight(ctx, to)
	if p.DryRun = dry; err != nil || dry || p.Done() {
		return p, err
	}
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: by, Verb: "group promote", Object: c.member.Name, Detail: "planned; the master " + s.Server + " hands over"}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return p, fmt.Errorf("nothing was changed, because the trail of %s takes no record of it (where three servers have votes, stopping it makes another one the master): %w", s.Server, err)
	}
	if err = s.carryOut(ctx, &p, c, by); err != nil {
		err = fmt.Errorf("promote %s: %w", c.member.Name, err)
		return p, errors.Join(err, s.record(ctx, by, "group promote", c.member.Name, "failed: "+err.Error()))
	}
	s.Log.Info("another server was made the master", "master", p.NewMaster, "before", p.OldMaster, "by", by, "write_gap_ms", p.WriteGapMS)
	return p, nil
}

// preflight looks at what is there.
func (s *Service) preflight(ctx context.Context, to string) (mfa.Promotion, candidate, error) {
	p := mfa.Promotion{Group: s.Cluster.Group(), Epoch: s.Cluster.Epoch(), OldMaster: s.Server, Steps: []mfa.PromotionStep{}, Warnings: []string{}}
	if to == s.Server {
		p.NewMaster, p.LastRevisionHeard = to, s.Cluster.Revision()
		return p, candidate{}, nil
	}
	swap, err := s.Store.Swap(ctx)
	begun := err == nil && swap.Epoch == p.Epoch
	switch {
	case begun:
		if to != "" && to != swap.To {
			return p, candidate{}, fmt.Errorf("%w: since %s the master is being moved from %s to %s (by %s): wait until countersign group members shows that done",
				mfa.ErrExists, swap.Since.UTC().Format(time.RFC3339), swap.From, swap.To, swap.By)
		}
		to = swap.To
	case err != nil && !errors.Is(err, mfa.ErrNotFound):
		return p, candidate{}, err
	}
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return p, candidate{}, err
	}
	at := scene{master: mfa.Member{Name: s.Server}, epoch: p.Epoch, revision: s.Cluster.Revision()}
	var all []candidate
	for _, m := range s.Store.Members() {
		if m.Name == s.Server {
			at.master = m
			continue
		}
		c := candidate{member: m}
		c.report, c.heard = s.Peers.Heard(m.Name)
		if i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == m.Name }); i >= 0 {
			c.node = nodes[i]
		}
		all = append(all, c)
	}
	c, err := choose(all, at, to)
	if err != nil {
		return p, c, err
	}
	p.NewMaster, p.LastRevisionHeard, p.Swap = c.member.Name, c.report.Revision, begun || voters(nodes) == 1
	if w := c.warning(at); w != "" {
		p.Warnings = append(p.Warnings, w)
	}
	return p, c, nil
}

func voters(nodes []Node) (n int) {
	for _, one := range nodes {
		if one.Voter {
			n++
		}
	}
	return n
}

// carryOut makes the steps up to the moment at which c leads. Its errors say where things
// stand.
func (s *Service) carryOut(ctx context.Context, p *mfa.Promotion, c candidate, by string) error {
	swap := mfa.Swap{From: s.Server, To: c.member.Name, Epoch: p.Epoch, By: by, Since: s.Now().UTC().Truncate(time.Second)}
	if p.Swap {
		if err := s.timed(p, "record", s.Server, func() error { return s.beginSwap(ctx, swap) }); err != nil {
			return err
		}
	}
	if !c.node.Voter {
		vote, cancel := context.WithTimeout(ctx, voteTimeout)
		err := s.timed(p, "vote", c.member.Name, func() error { return s.Cluster.Promote(vote, c.node.ID) })
		cancel()
		if err != nil {
			return s.withoutVote(ctx, swap, c, err)
		}
	}
	err := s.timed(p, "move", c.member.Name, func() error { return s.moveTo(ctx, p, c.node.ID) })
	switch {
	case err != nil && p.Swap:
		return fmt.Errorf("it has a vote now, but does not lead yet; the swap is recorded and carried on with by itself as long as both servers run (countersign group members shows it): %w", err)
	case err != nil:
		return fmt.Errorf("the lead was not moved; countersign group members shows who is the master: %w", err)
	}
	p.Settling = p.Swap
	return nil
}

// beginSwap records a swap; one that is recorded and was interrupted is carried on with.
func (s *Service) beginSwap(ctx context.Context, swap mfa.Swap) error {
	old, err := s.Store.Swap(ctx)
	switch {
	case err == nil && old.Epoch == swap.Epoch && old.To == swap.To:
		return nil
	case err == nil: // of an epoch that has ended
		err = s.Store.EndSwap(ctx, old)
	case errors.Is(err, mfa.ErrNotFound):
		err = nil
	}
	if err == nil {
		err = s.Store.BeginSwap(ctx, swap)
	}
	if errors.Is(err, mfa.ErrReadOnly) {
		return fmt.Errorf("nothing was changed, because the swap could not be recorded and would not survive a crash: free space on this server's disk first: %w", err)
	}
	if errors.Is(err, mfa.ErrUnknownOutcome) {
		return fmt.Errorf("whether the swap is recorded is not known; if it is, it is carried on with by itself (countersign group members shows it): %w", err)
	}
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	return nil
}

// withoutVote says what a failed vote has left, and takes the record back if that is nothing.
func (s *Service) withoutVote(ctx context.Context, swap mfa.Swap, c candidate, err error) error {
	nodes, nerr := s.Cluster.Nodes()
	i := slices.IndexFunc(nodes, func(n Node) bool { return n.ID == c.node.ID })
	if nerr != nil || i < 0 || nodes[i].Voter {
		return fmt.Errorf("whether it has a vote is not known; countersign group members shows it, and whoever leads puts it right: %w", err)
	}
	err = fmt.Errorf("it got no vote, and nothing was changed: %w", err)
	return errors.Join(err, s.Store.EndSwap(context.WithoutCancel(ctx), swap))
}

// moveTo moves the lead and measures for how long there was none.
func (s *Service) moveTo(ctx context.Context, p *mfa.Promotion, id string) error {
	ctx, cancel := context.WithTimeout(ctx, moveTimeout)
	defer cancel()
	began := time.Now()
	if err := s.Cluster.MoveMaster(ctx, id); err != nil {
		return err
	}
	if _, err := s.Cluster.Barrier(ctx); err != nil { // who answers it leads, and takes changes
		s.Log.Warn("the new master was not heard at once", "error", err)
	}
	p.WriteGapMS = milliseconds(time.Since(began))
	return nil
}

func (s *Service) timed(p *mfa.Promotion, step, server string, do func() error) error {
	began := time.Now()
	err := do()
	p.Steps = append(p.Steps, mfa.PromotionStep{Step: step, Server: server, DurationMS: milliseconds(time.Since(began))})
	return err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// carryOn makes the next step of a recorded swap, on whichever server leads. done: there is
// none on its way, and the votes are the membership rules'.
func (s *Service) carryOn(ctx context.Context) (done bool, step membership.Step, err error) {
	swap, err := s.Store.Swap(ctx)
	if errors.Is(err, mfa.ErrNotFound) {
		return true, step, nil
	}
	if err != nil {
		return false, step, err
	}
	ctx, cancel := context.WithTimeout(ctx, balanceTimeout)
	defer cancel()
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return false, step, err
	}
	from, to, why := s.standing(swap, nodes)
	switch {
	case why != "":
		s.Log.Warn("a recorded swap of the master is given up", "from", swap.From, "to", swap.To, "because", why)
		return true, step, s.Store.EndSwap(ctx, swap)
	case s.Server == swap.To && from.Voter:
		step = membership.Step{Action: membership.Demote, Name: swap.From, Why: swap.To + " was made the master instead"}
		return false, step, s.Cluster.Remove(ctx, from.ID) // it joins again by itself
	case s.Server == swap.To:
		if err = s.Store.EndSwap(ctx, swap); err == nil {
			s.Log.Info("the servers have changed places", "master", swap.To, "replica", swap.From, "by", swap.By)
		}
		return true, step, err
	case !to.Voter:
		step = membership.Step{Action: membership.Promote, Name: swap.To, Why: "it is to be the master"}
		return false, step, s.Cluster.Promote(ctx, to.ID)
	}
	step = membership.Step{Action: membership.MoveMaster, Name: swap.To, Why: "it is to be the master"}
	return false, step, s.Cluster.MoveMaster(ctx, to.ID)
}

// standing looks at how far a recorded swap has come. why says that it is void.
func (s *Service) standing(swap mfa.Swap, nodes []Node) (from, to Node, why string) {
	members := s.Store.Members()
	for _, name := range []string{swap.From, swap.To} {
		if !slices.ContainsFunc(members, func(m mfa.Member) bool { return m.Name == name }) {
			return from, to, "server " + name + " was taken out of the group"
		}
	}
	others := 0
	for _, n := range nodes {
		switch {
		case n.Name == swap.From:
			from = n
		case n.Name == swap.To:
			to = n
		case n.Voter:
			others++
		}
	}
	switch {
	case swap.Epoch != s.Cluster.Epoch():
		return from, to, "it is of another epoch"
	case others > 0:
		return from, to, "other servers have got votes meanwhile"
	case s.Server != swap.From && s.Server != swap.To:
		return from, to, "another server leads"
	case s.Server == swap.From && to.ID == "":
		return from, to, "server " + swap.To + " is no member of the database any more"
	case s.Server == swap.From && !to.Voter && s.Now().Sub(swap.Since) > swapLife:
		return from, to, "server " + swap.To + " could not be given a vote in time"
	}
	return from, to, ""
}
