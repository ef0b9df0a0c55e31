package group

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"countersign/internal/membership"
	"countersign/internal/mfa"
)

const (
	balanceEvery   = time.Second
	balanceTimeout = 20 * time.Second
	// behindMax is by how many revisions a replica may be behind to be given a vote. What it
	// said is a second old.
	behindMax = 5000
)

// Join makes an admitted server a member of the database. On the master only. was is the
// id of an earlier membership that the server believes to have ended; if it has not, the
// error wraps mfa.ErrExists: then the server is to go on with it.
func (s *Service) Join(ctx context.Context, name, was string) (JoinInfo, error) {
	if !s.Cluster.Leads() {
		return JoinInfo{}, ErrNotMaster
	}
	m, err := s.member(name)
	if err != nil {
		return JoinInfo{}, err
	}
	if err := s.forgetOldVote(ctx, m, was); err != nil {
		return JoinInfo{}, err
	}
	if err := s.votesAnswer(m); err != nil {
		return JoinInfo{}, err
	}
	info, err := s.Cluster.AddLearner(ctx, m.Name, m.Peer)
	if err != nil {
		return JoinInfo{}, err
	}
	s.Log.Info("a server joins the group's database", "server", name, "member", info.MemberID, "records", info.Records)
	return info, s.Store.UpdateMember(ctx, name, func(m *mfa.Member) error {
		if m.Key == "" { // taken out meanwhile, as one that leaves is and asks once more
			return fmt.Errorf("no server named %s is in the group: %w", name, mfa.ErrNotFound)
		}
		m.MemberID = info.MemberID
		return nil
	})
}

// forgetOldVote takes an earlier membership with a vote away from a server that asks to
// join: it asks because it no longer has the copy that the vote was made with.
func (s *Service) forgetOldVote(ctx context.Context, m mfa.Member, was string) error {
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if n.ID == was {
			return fmt.Errorf("server %s still is member %s of the database: %w; start it again", m.Name, was, mfa.ErrExists)
		}
		if n.Voter && !n.Master && (n.Name == m.Name || n.Peer == m.Peer) {
			if err := s.votesAnswer(m); err != nil { // the database would not do it either
				return err
			}
			if err := s.Cluster.Remove(ctx, n.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// votesAnswer returns an error that wraps ErrVotesAway while so few of the votes answer that
// the database takes in nobody: it wants a majority without the new member, even if that is
// to have no vote. Who joins is told, instead of waiting for it in vain.
func (s *Service) votesAnswer(m mfa.Member) error {
	votes, silent, err := s.votesBeside(m)
	if err != nil || votes <= 1 || votes-len(silent) > (votes+1)/2 {
		return err
	}
	return fmt.Errorf("%w: of %d votes these do not answer: %s; start what is silent, or, if it is gone for good, run `countersign group forget %s`; server %s joins by itself then",
		ErrVotesAway, votes, strings.Join(silent, ", "), silent[0], m.Name)
}

// votesRemain does so while the database would not let a living server with a vote go,
// because the votes that are left would be no majority.
func (s *Service) votesRemain(m mfa.Member) error {
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return err
	}
	if i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == m.Name }); i < 0 || !nodes[i].Voter {
		return nil
	}
	if _, alive := s.Peers.Heard(m.Name); !alive && m.Name != s.Server {
		return nil // its vote is no part of the majority
	}
	votes, silent, err := s.votesBeside(m)
	if err != nil || votes == 0 || votes-len(silent) > votes/2 {
		return err
	}
	return fmt.Errorf("%w: %s has one, and of the %d without it these do not answer: %s; start what is silent, or, if it is gone for good, run `countersign group forget %s` first",
		ErrVotesAway, m.Name, votes, strings.Join(silent, ", "), silent[0])
}

// votesBeside counts the voters without m, and names those of them that do not answer.
func (s *Service) votesBeside(m mfa.Member) (votes int, silent []string, err error) {
	nodes, err := s.Cluster.Nodes()
	for _, n := range nodes {
		if !n.Voter || n.Name == m.Name {
			continue
		}
		votes++
		if n.Name == s.Server {
			continue
		}
		if _, ok := s.Peers.Heard(n.Name); !ok {
			silent = append(silent, n.Name)
		}
	}
	return votes, silent, err
}

func (s *Service) member(name string) (mfa.Member, error) {
	for _, m := range s.Store.Members() {
		if m.Name == name {
			return m, nil
		}
	}
	return mfa.Member{}, fmt.Errorf("no server named %s is in the group: %w", name, mfa.ErrNotFound)
}

// Forget takes a server out of the group for good. On the master only; the master itself
// hands over first, if somebody can take over.
func (s *Service) Forget(ctx context.Context, by, name string) error {
	if !s.Cluster.Leads() {
		return ErrNotMaster
	}
	m, err := s.member(name)
	if err != nil {
		return err
	}
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return err
	}
	if err := s.votesRemain(m); err != nil {
		return err
	}
	if name == s.Server {
		return s.handOver(ctx)
	}
	if err := s.keepsKeys(m); err != nil {
		return err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	// The server that has passed this on may be the one that loses its vote by it.
	defer func() { s.quiet = s.Now().Add(balanceEvery) }()
	for _, n := range nodes {
		if n.Name == name || n.Peer == m.Peer {
			if err := s.Cluster.Remove(ctx, n.ID); err != nil {
				return err
			}
		}
	}
	if err := s.Store.RemoveMember(ctx, name); err != nil {
		return err
	}
	s.Log.Warn("a server was taken out of the group", "server", name, "by", by)
	return s.record(ctx, by, "group forget", name, "")
}

// keepsKeys refuses to take out the last server that has the group's keys: the witnesses
// that would be left could not read what they hold.
func (s *Service) keepsKeys(leaver mfa.Member) error {
	if leaver.Role == mfa.RoleWitness {
		return nil
	}
	for _, m := range s.Store.Members() {
		if m.Role != mfa.RoleWitness && m.Name != leaver.Name {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is the only server of the group that has its keys; a witness cannot go on alone. Activate another server first, or take the witness out before", mfa.ErrInvalid, leaver.Name)
}

// handOver makes another server the master, which can then forget this one: it returns
// ErrNotMaster, so that the caller asks there.
func (s *Service) handOver(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	_, c, err := s.preflight(ctx, "")
	if err != nil {
		return fmt.Errorf("%w; the last server of a group cannot leave it: stop it and remove its data folder", err)
	}
	if err := s.Cluster.Promote(ctx, c.node.ID); err != nil {
		return err
	}
	if err := s.Cluster.MoveMaster(ctx, c.node.ID); err != nil {
		return err
	}
	return ErrNotMaster
}

// Run keeps the number of votes right while this server is the master, and carries on with
// a planned promotion that was begun, until ctx is done.
func (s *Service) Run(ctx context.Context) error {
	tick := time.NewTicker(balanceEvery)
	defer tick.Stop()
	last, changed := "", s.Cluster.MasterChanged()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed: // a new master first lets the old one answer who asked it to hand over
			changed = s.Cluster.MasterChanged()
			tick.Reset(balanceEvery)
			continue
		case <-tick.C:
		}
		if !s.Cluster.Leads() {
			continue
		}
		step, err := s.look(ctx)
		switch {
		case err != nil && ctx.Err() == nil:
			if text := err.Error(); text != last {
				last = text
				s.Log.Warn("the group's members could not be changed; the next try is in a moment", "step", string(step.Action), "server", step.Name, "error", err)
			}
		case err == nil && step.Action != membership.Nothing:
			last = ""
			s.Log.Info("the group's members were changed", "step", string(step.Action), "server", step.Name, "because", step.Why)
		}
	}
}

// look makes one step.
func (s *Service) look(ctx context.Context) (membership.Step, error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if done, step, err := s.carryOn(ctx); !done || err != nil {
		return step, err
	}
	return s.balance(ctx)
}

// balance makes one step towards the right number of votes.
func (s *Service) balance(ctx context.Context) (membership.Step, error) {
	if left := s.quiet.Sub(s.Now()); left > 0 && left <= balanceEvery {
		return membership.Step{}, nil
	}
	nodes, err := s.Cluster.Nodes()
	if err != nil {
		return membership.Step{}, err
	}
	if err := s.dropForgotten(ctx, nodes); err != nil {
		return membership.Step{}, err
	}
	here := s.Cluster.Revision()
	var list []membership.Member
	ids := map[string]string{}
	for _, m := range s.Store.Members() {
		one := membership.Member{Name: m.Name, Witness: m.Role == mfa.RoleWitness, Joined: m.Joined}
		if i := slices.IndexFunc(nodes, func(n Node) bool { return n.Name == m.Name || n.Name == "" && n.Peer == m.Peer }); i >= 0 {
			n := nodes[i]
			ids[m.Name] = n.ID
			one.Known, one.Voter, one.Master = true, n.Voter, n.Master
			r, ok := s.Peers.Heard(m.Name)
			one.Reachable = n.Master || ok && r.MemberID == n.ID
			if !n.Voter && n.Name == m.Name && n.Peer != m.Peer { // moved: etcd cannot be told of a learner's new address
				return membership.Step{Action: membership.Demote, Name: m.Name, Why: "it has moved to " + m.Peer + " and joins again from there"}, s.remove(ctx, n.ID)
			}
			one.Full = n.Master && s.Cluster.Full() || !n.Master && r.ReadOnly != ""
			one.CaughtUp = n.Master || one.Reachable && r.Role != "joining" && here-r.Revision <= behindMax
		}
		list = append(list, one)
	}
	step := s.votes.Next(s.Now(), list)
	ctx, cancel := context.WithTimeout(ctx, balanceTimeout)
	defer cancel()
	switch step.Action {
	case membership.Promote:
		err = s.Cluster.Promote(ctx, ids[step.Name])
	case membership.Demote:
		err = s.Cluster.Remove(ctx, ids[step.Name]) // it joins again by itself
	case membership.MoveMaster:
		err = s.Cluster.MoveMaster(ctx, ids[step.Name])
	}
	return step, err
}

// dropForgotten removes members of the database that have no record any more, as a master
// leaves them that died between the two steps of Forget.
func (s *Service) dropForgotten(ctx context.Context, nodes []Node) error {
	members := s.Store.Members()
	if !slices.ContainsFunc(members, func(m mfa.Member) bool { return m.Name == s.Server }) {
		return nil // not even this server has one yet
	}
	for _, n := range nodes {
		known := slices.ContainsFunc(members, func(m mfa.Member) bool { return m.Name == n.Name || m.Peer == n.Peer })
		if known || n.Master {
			continue
		}
		if err := s.remove(ctx, n.ID); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) remove(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, balanceTimeout)
	defer cancel()
	return s.Cluster.Remove(ctx, id)
}
