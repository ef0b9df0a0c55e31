package registry

import (
	"context"
	"fmt"
	"slices"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

// GrantRequest asks for the epoch after From, for a disaster promotion of the server that
// asks. Nonce makes the request its own: asked again with the same one, the same grant is
// the answer.
type GrantRequest struct {
	From     uint64 `json:"from"`     // the epoch that ends
	Revision int64  `json:"revision"` // of the candidate's copy
	Nonce    string `json:"nonce"`    // 16 to 64 letters, digits and hyphens
	By       string `json:"by"`       // the operator
}

// Grant is one epoch, given to one candidate. No epoch of a group is granted twice.
type Grant struct {
	Group       string    `json:"group"`
	From        uint64    `json:"from"`
	Epoch       uint64    `json:"epoch"`
	Candidate   string    `json:"candidate"`
	Key         string    `json:"key"` // digest of the candidate's key
	Nonce       string    `json:"nonce"`
	By          string    `json:"by"`
	Coordinator string    `json:"coordinator"`
	Time        time.Time `json:"time"`
}

// refused says why no epoch is granted. It is a mfa.ErrConflict: the coordinator has
// decided, and no force is of use against it.
type refused struct{ text string }

func (r refused) Error() string { return r.text }
func (r refused) Unwrap() error { return mfa.ErrConflict }

func refusal(format string, args ...any) error {
	return refused{fmt.Sprintf("no new epoch is granted: "+format, args...)}
}

// Grant gives the candidate the next epoch of its group, by compare-and-swap, unless
// somebody still hears the old master, a fresher replica is alive, another candidate has
// been granted one, or the group is past From.
func (s *Service) Grant(ctx context.Context, candidate Server, r GrantRequest) (Grant, error) {
	if !group.ValidName(r.Nonce) || len(r.Nonce) < 16 || r.From == 0 || len(r.By) > 256 {
		return Grant{}, fmt.Errorf("%w: request for an epoch", mfa.ErrInvalid)
	}
	var given Grant
	_, err := s.updateGroup(ctx, candidate.Group, func(g *Group) error {
		if last := g.Granted; last != nil && last.Nonce == r.Nonce && last.Candidate == candidate.Name && last.From == r.From && last.Key == candidate.Key {
			given = *last
			return errUnchanged
		}
		if err := s.grantable(g, candidate, r); err != nil {
			return err
		}
		if r.From > g.Highest+maxLeap {
			return refusal("epoch %d of server %s is more than %d above the highest that this coordinator knows (%d), which cannot be", r.From, candidate.Name, maxLeap, g.Highest)
		}
		if g.Highest = max(g.Highest, r.From); g.Highest == ^uint64(0) {
			return refusal("group %s has used all epochs", g.Name)
		}
		given = Grant{Group: g.Name, From: r.From, Epoch: g.Highest + 1, Candidate: candidate.Name, Key: candidate.Key, Nonce: r.Nonce,
			By: r.By, Coordinator: s.Name, Time: s.Now().UTC().Truncate(time.Second)}
		g.Granted, g.Highest = &given, given.Epoch
		return nil
	})
	if err != nil {
		s.Log.Warn("no epoch was granted", "group", candidate.Group, "candidate", candidate.Name, "from", r.From, "by", r.By, "error", err)
		return Grant{}, err
	}
	s.Log.Warn("an epoch was granted", "group", given.Group, "epoch", given.Epoch, "candidate", given.Candidate, "by", given.By)
	return given, s.record(ctx, fmt.Sprintf("%s at server %s", r.By, candidate.Name), "epoch grant", fmt.Sprintf("%s/%d", given.Group, given.Epoch),
		fmt.Sprintf("to %s, after epoch %d", given.Candidate, given.From))
}

// grantable says why the candidate gets no epoch; nil: it may have one.
func (s *Service) grantable(g *Group, candidate Server, r GrantRequest) error {
	if r.From < g.Epoch {
		return refusal("group %s is at epoch %d already (master %s); server %s, which is at epoch %d, follows it by itself once it reaches it", g.Name, g.Epoch, g.Master, candidate.Name, r.From)
	}
	if last := g.Granted; last != nil && last.Epoch > g.Epoch && last.Candidate != candidate.Name {
		return refusal("epoch %d was granted to server %s at %s; if that server is gone for good as well, run `countersign coordinator retire %s/%s` at the coordinator first", last.Epoch, last.Candidate, last.Time.Format(time.RFC3339), g.Name, last.Candidate)
	}
	if s.Leads != nil {
		if err := s.Leads(); err != nil {
			return err
		}
	}
	now := s.Now()
	s.mu.Lock()
	up, slept := now.Sub(s.began), now.Sub(s.awake)
	known := !s.awake.IsZero()
	s.mu.Unlock()
	if known && slept > watchGap {
		return refusal("it stood still for %s and cannot tell yet whether the old master lives; try again in %s", slept.Round(time.Second), s.Limits.Silent+time.Second)
	}
	if up < s.Limits.Silent {
		return refusal("it listens since %s only and cannot tell yet whether the old master lives; try again in %s", up.Round(time.Second), (s.Limits.Silent-up).Round(time.Second)+time.Second)
	}
	return s.livesOn(g.Name, candidate, r)
}

// livesOn refuses while somebody of the group hears the master of the epoch that is to end,
// or has more of it than the candidate. Where that epoch was started twice, the operator
// chooses a side with the candidate: the other side's master is no reason.
func (s *Service) livesOn(groupName string, candidate Server, r GrantRequest) error {
	own, _ := s.beats(groupName).Last(candidate.Name)
	for _, w := range s.alive(groupName) {
		said, ago := w.Report, s.Now().Sub(w.Last).Round(time.Second)
		otherSide := said.Epoch == r.From && own.Report.Epoch == r.From && said.ClusterID != own.Report.ClusterID
		switch {
		case said.Group != groupName || otherSide:
		case said.Leads() && w.Name == candidate.Name:
			if !s.split(groupName, own) {
				return refusal("server %s reported %s ago that it is the master of epoch %d itself", w.Name, ago, said.Epoch)
			}
		case said.Leads():
			return refusal("server %s reported %s ago that it is the master (epoch %d)", w.Name, ago, said.Epoch)
		case said.Quorum:
			return refusal("server %s reported %s ago that it hears the master %s (epoch %d)", w.Name, ago, said.Master, said.Epoch)
		case w.Name != candidate.Name && said.Epoch == r.From && said.Revision > r.Revision:
			return refusal("replica %s is fresher: revision %d, server %s has %d; promote that one", w.Name, said.Revision, candidate.Name, r.Revision)
		}
	}
	return nil
}

// split reports whether servers report the epoch of own with another database.
func (s *Service) split(groupName string, own group.Seen) bool {
	return slices.ContainsFunc(s.alive(groupName), func(w group.Seen) bool {
		return w.Report.Epoch == own.Report.Epoch && w.Report.ClusterID != own.Report.ClusterID
	})
}
