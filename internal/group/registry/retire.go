package registry

import (
	"context"
	"errors"
	"fmt"

	"countersign/internal/mfa"
)

// RetireServer forgets a server of a group: it gets no certificate any more and its word
// counts no more. It says nothing to the group itself. An epoch that was granted to it and
// never begun no longer stands in the way of another candidate; it is not granted again.
func (s *Service) RetireServer(ctx context.Context, by, groupName, name string) error {
	_, rev, err := s.server(ctx, groupName, name)
	if err != nil {
		return err
	}
	if rev == 0 {
		return fmt.Errorf("no server named %s of group %s is on record here: %w", name, groupName, mfa.ErrNotFound)
	}
	_, err = s.updateGroup(ctx, groupName, func(g *Group) error {
		if s.hears(groupName, name, g.Epoch) {
			return fmt.Errorf("%w: server %s reports as the master of group %s; promote another one or stop it first", mfa.ErrInvalid, name, groupName)
		}
		if g.Granted == nil || g.Granted.Candidate != name || g.Granted.Epoch <= g.Epoch {
			return errUnchanged
		}
		g.Granted = nil
		return nil
	})
	if err != nil && !errors.Is(err, mfa.ErrNotFound) {
		return err
	}
	key := serverKey(groupName, name)
	if _, _, err := s.KV.Commit(ctx, nil, nil, []string{key}); err != nil {
		return err
	}
	s.beats(groupName).Forget(func(other string) bool { return other != name })
	return s.record(ctx, by, "coordinator retire", groupName+"/"+name, "server")
}

// RetireGroup forgets a group with all its servers. While one of them still reports, it is
// refused. The highest epoch is not kept: a group of that name begins anew.
func (s *Service) RetireGroup(ctx context.Context, by, name string) error {
	_, rev, err := s.group(ctx, name)
	if err != nil {
		return err
	}
	if rev == 0 {
		return fmt.Errorf("no group named %s uses this coordinator: %w", name, mfa.ErrNotFound)
	}
	if all := s.alive(name); len(all) > 0 {
		return fmt.Errorf("%w: server %s of group %s still reports here; stop the group's servers first", mfa.ErrInvalid, all[0].Name, name)
	}
	servers, err := s.Servers(ctx, name)
	if err != nil {
		return err
	}
	deletes := []string{groupKey(name)}
	for _, m := range servers {
		deletes = append(deletes, serverKey(m.Group, m.Name))
	}
	_, ok, err := s.KV.Commit(ctx, map[string]int64{groupKey(name): rev}, nil, deletes)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	delete(s.heard, name)
	s.mu.Unlock()
	return s.record(ctx, by, "coordinator retire", name, fmt.Sprintf("group of %d servers, by their records", len(servers)))
}

// skipped is how far the epochs of every group go ahead when a coordinator is restored: what
// it granted after the backup is not known to it.
const skipped = 1000

// SkipEpochs makes sure, after a restore, that no epoch is granted a second time.
func (s *Service) SkipEpochs(ctx context.Context) error {
	all, err := s.Groups(ctx)
	if err != nil {
		return err
	}
	for _, g := range all {
		_, err := s.updateGroup(ctx, g.Name, func(g *Group) error {
			if g.Highest > ^uint64(0)-skipped {
				return fmt.Errorf("group %s has used all epochs: %w", g.Name, mfa.ErrInvalid)
			}
			g.Highest, g.Granted = g.Highest+skipped, nil
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
