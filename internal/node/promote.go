package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

const (
	// promoteTimeout bounds a planned promotion up to the moment at which the new master leads.
	// The command line waits a little longer, so that it hears what became of it.
	promoteTimeout   = 50 * time.Second
	preflightTimeout = 5 * time.Second
	electionTimeout  = 1800 * time.Millisecond // instead, while no master answers: one may be elected, and a refusal comes within 2 s
	promoteRetry     = 200 * time.Millisecond
	announceEvery    = time.Second // a change may be told before the new master's name is known
)

// Promote implements admin.Group.
func (g groupAdmin) Promote(ctx context.Context, by, to string, dry bool) (mfa.Promotion, error) {
	if g.s.peers == nil {
		return mfa.Promotion{}, fmt.Errorf("%w: %s", mfa.ErrInvalid, notGroupedAdvice)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), promoteTimeout) // who hangs up stops nothing half-way
	defer cancel()
	plan, err := g.s.promote(ctx, by, to, true)
	if err != nil || dry || plan.Done() {
		return plan, err
	}
	p, err := g.s.promote(ctx, by, plan.NewMaster, false) // by name: asked again after a lost answer it must not move on to a third
	if err == nil && p.Done() {
		p.OldMaster, p.Swap, p.Settling, p.Warnings = plan.OldMaster, plan.Swap, plan.Swap, plan.Warnings
	}
	return p, err
}

// promote has the master hand over, wherever the master is. To ask again for the same
// server does no harm.
func (s *server) promote(ctx context.Context, by, to string, dry bool) (p mfa.Promotion, err error) {
	if dry {
		var cancel context.CancelFunc
		timeout := preflightTimeout
		if _, contact := s.store.Contact(); !contact {
			timeout = electionTimeout
		}
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	for {
		if p, err = s.group.Promote(ctx, by, to, dry); !errors.Is(err, group.ErrNotMaster) {
			return p, err
		}
		master, err := s.master()
		if err == nil && master.Name != s.Config.Name {
			err = s.peers.client.Call(ctx, master.Peer, http.MethodPost, peer.PathPromote, peer.Promote{To: to, By: by, DryRun: dry}, &p)
			var lost *url.Error
			if !errors.Is(err, group.ErrNotMaster) && !errors.As(err, &lost) {
				return p, err
			}
		}
		if err == nil {
			err = group.ErrNotMaster // any more: it is being moved
		}
		t := time.NewTimer(promoteRetry)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			if dry {
				return p, fmt.Errorf("nothing was changed, because no master answers that could hand over; if it is gone for good, begin a new epoch with `countersign group promote --disaster` on the server that is to be the master: %w (%w)", mfa.ErrUnavailable, err)
			}
			return p, fmt.Errorf("whether %s is the master by now is not known, because no master answers: countersign group members shows it: %w (%w)", to, mfa.ErrUnavailable, err)
		}
	}
}

// announce says in the log which server is the master, whenever that changes, until ctx is
// done.
func (s *server) announce(ctx context.Context) error {
	tick := time.NewTicker(announceEvery)
	defer tick.Stop()
	last := ""
	for {
		changed := s.node.MasterChanged()
		if name := s.group.Cluster.Master(); name != "" && name != last {
			s.own.Info("the master is now "+name, "before", last)
			now := s.Now()
			s.mastered.Store(&now)
			last = name
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
		}
	}
}
