package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
)

const (
	joinEvery    = time.Second      // between two tries, for the first joinEager
	joinEager    = time.Minute      //
	joinSeldom   = 15 * time.Second // the longest pause after that
	joinTimeout  = 30 * time.Second // of one request to the master
	progressStep = 2 * time.Second  // between two lines of progress in the log
	// followPatience is how long a later epoch's servers are asked to let this one join.
	followPatience = 20 * time.Second
)

// errForgotten: the group knows this server no more.
var errForgotten = errors.New("this server was taken out of its group")

// errNoMaster: nobody let this server join in time.
var errNoMaster = errors.New("no master let this server join")

// activated reports whether the folder was activated into a group whose database it has
// not got yet.
func (s *server) activated() bool {
	if s.peers == nil || len(s.peers.roster.Load().Members) == 0 {
		return false
	}
	_, err := os.Stat(filepath.Join(s.Config.DataDir, "epoch.json"))
	return errors.Is(err, os.ErrNotExist)
}

// join brings a copy of the group's database into the data folder and opens it. It begins
// anew until ctx is done, because a master that is away comes back, or for so long (0: for
// ever); then the error wraps errNoMaster.
func (s *server) join(ctx context.Context, patience time.Duration) (*cluster.Node, error) {
	began := time.Now()
	list := s.peers.roster.Load()
	s.own.Info("joining the group", "group", list.Group, "server", s.Config.Name, "peer", s.peers.address)
	defer s.openRoom(ctx)()
	last := ""
	for {
		if hasLeft(s.Config.DataDir) { // its operator has given it up meanwhile
			return nil, errForgotten
		}
		n, err := s.joinOnce(ctx, list.Group)
		if err != nil {
			s.inVain.Store(&err)
		}
		switch {
		case err == nil:
			return n, nil
		case errors.Is(err, errForgotten), errors.Is(err, mfa.ErrExists), errors.Is(err, mfa.ErrOutdated), ctx.Err() != nil:
			return nil, err
		case patience > 0 && time.Since(began) > patience:
			return nil, fmt.Errorf("%w: %w", errNoMaster, err)
		case err.Error() != last:
			last = err.Error()
			s.own.Warn("could not join yet; trying again", "error", err)
		}
		t := time.NewTimer(joinPause(time.Since(began)))
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return nil, ctx.Err()
		}
	}
}

// joinPause is how long to wait for the next try after so long in vain: a master that fails
// over is found at once, and one that is away for hours is not asked thousands of times.
func joinPause(after time.Duration) time.Duration {
	if after < joinEager {
		return joinEvery
	}
	return min(joinEvery+(after-joinEager)/10, joinSeldom)
}

func (s *server) joinOnce(ctx context.Context, name string) (*cluster.Node, error) {
	info, err := s.askToJoin(ctx)
	if err != nil {
		return nil, err
	}
	o := s.clusterOptions()
	o.Group = name
	starting, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	n, err := cluster.Join(starting, o, cluster.JoinInfo(info))
	if err != nil {
		return nil, err
	}
	s.peers.opened(n)
	began, told := s.Now(), time.Time{}
	catching, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	var quiet stall
	err = n.CatchUp(catching, func(p cluster.Progress) {
		if err := quiet.over(p, time.Now()); err != nil {
			giveUp(err)
		}
		if now := s.Now(); now.Sub(told) >= progressStep {
			told = now
			s.own.Info("catching up with the group", "records", fmt.Sprintf("%d of %d", p.Records, p.TotalRecords),
				"mb", fmt.Sprintf("%d of %d", p.Bytes>>20, p.TotalBytes>>20), "seconds_left", secondsLeft(p, now.Sub(began)))
		}
	})
	if err != nil {
		s.peers.raft.Store(nil)
		s.peers.live.Store(nil)
		n.Close()
		return nil, err
	}
	s.own.Info("caught up with the group", "group", n.Group(), "epoch", n.Epoch(), "after", s.Now().Sub(began).Round(time.Millisecond).String())
	return n, nil
}

// secondsLeft guesses from the bytes so far; -1: cannot tell yet.
func secondsLeft(p cluster.Progress, after time.Duration) int {
	if p.Bytes <= 0 || p.TotalBytes <= 0 {
		return -1
	}
	left := max(p.TotalBytes-p.Bytes, 0)
	return int(after.Seconds() * float64(left) / float64(p.Bytes))
}

// askToJoin asks every server on record until the master answers.
func (s *server) askToJoin(ctx context.Context) (info group.JoinInfo, err error) {
	var tried []string
	for _, m := range s.peers.members() {
		if m.Name == s.Config.Name {
			continue
		}
		ask, cancel := context.WithTimeout(ctx, joinTimeout)
		err := s.peers.client.Call(ask, m.Peer, http.MethodPost, peer.PathJoin, peer.Join{Was: s.before()}, &info)
		cancel()
		switch {
		case err == nil:
			return info, nil
		case errors.Is(err, mfa.ErrNotFound), errors.Is(err, group.ErrNotMember):
			return info, fmt.Errorf("%w: %s, the master, has no record of it (%w)", errForgotten, m.Name, err)
		case errors.Is(err, mfa.ErrExists), errors.Is(err, mfa.ErrOutdated):
			return info, err
		case errors.Is(err, group.ErrVotesAway):
			return info, fmt.Errorf("the master, %s, takes in no server now: %w", m.Name, err)
		}
		tried = append(tried, fmt.Sprintf("%s at %s: %v", m.Name, m.Peer, err))
	}
	return info, fmt.Errorf("no master was found: %s", strings.Join(tried, "; "))
}
