package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

// rejoin fetches the database anew for the next run, once this server's membership has
// ended while it serves, as that of a master does that has changed places with another
// server. The front-ends stay open, and have other servers decide. If that comes to
// nothing, the next run does it, and says what is in the way.
func (s *server) rejoin(ctx context.Context) {
	s.noteRemoval()
	if ctx.Err() != nil || !s.removed.Load() || s.again.Load() || s.aside.Load() != nil || s.witness {
		return
	}
	s.own.Info("this server's membership has ended; it joins again, and other servers decide meanwhile")
	since := s.Now()
	s.parted.Store(&since)
	s.node.Close()
	n, err := s.join(ctx, followPatience)
	if err != nil {
		s.own.Debug("did not join while it serves", "error", err)
		return
	}
	s.next = n
}

// decider decides for the front-ends: by the engine; while this server has no database, by
// another server's; and while its copy is behind the master's, by the master's: the copy
// knows neither that an application was disabled since nor that a user is exempt no more.
type decider struct{ s *server }

// Authenticate implements mfa.Authenticator.
func (d decider) Authenticate(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	if d.s.parted.Load() == nil {
		if d.s.store.Behind() && d.s.aside.Load() == nil {
			if err := d.s.store.Merge(ctx); err != nil { // the master does not know yet what was used here
				return mfa.Decision{}, fmt.Errorf("the copy here is behind, so that the master decides, and it was not told what this server settled alone: %w", err)
			}
			return d.atMaster(ctx, r)
		}
		return d.s.heeding().Authenticate(ctx, r)
	}
	var tried []string
	for _, m := range d.s.peers.members() {
		if m.Name == d.s.Config.Name || m.Role == mfa.RoleWitness {
			continue
		}
		var out group.Decided
		err := d.s.peers.client.Call(ctx, m.Peer, http.MethodPost, peer.PathDecide, group.Ask(r), &out)
		if err == nil {
			return mfa.Decision(out), nil
		}
		tried = append(tried, fmt.Sprintf("%s at %s: %v", m.Name, m.Peer, err)) // the leg is the same: asked twice, it counts once
		if ctx.Err() != nil {
			break
		}
	}
	return mfa.Decision{}, errors.New("this server fetches the database anew, and no other server decided: " + strings.Join(tried, "; "))
}

// atMaster has the master decide. If that is gone meanwhile, or a witness, the engine does.
func (d decider) atMaster(ctx context.Context, r mfa.Request) (mfa.Decision, error) {
	master, found := d.s.pinged()
	if !found || master.Role == mfa.RoleWitness {
		return d.s.heeding().Authenticate(ctx, r)
	}
	var out group.Decided
	err := d.s.peers.client.Call(ctx, master.Peer, http.MethodPost, peer.PathDecide, group.Ask(r), &out)
	if err == nil {
		return mfa.Decision(out), nil
	}
	if ctx.Err() == nil && !d.s.store.Behind() { // the same leg: decided twice, it counts once
		return d.s.heeding().Authenticate(ctx, r)
	}
	return mfa.Decision{}, fmt.Errorf("the copy here is behind, and the master %s at %s did not decide: %w", master.Name, master.Peer, err)
}

func (d decider) ready() error { return d.s.ready() }
