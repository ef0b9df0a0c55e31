package cluster

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"

	"go.etcd.io/etcd/client/pkg/v3/types"
	"go.etcd.io/etcd/server/v3/etcdserver/api/membership"
	etcderrors "go.etcd.io/etcd/server/v3/etcdserver/errors"
)

// ErrNotMaster: only the master changes members, and this server is none.
var ErrNotMaster = errors.New("this server is not the master")

// Member is one member of the group's database, as the local copy knows it.
type Member struct {
	ID      string // 16 hexadecimal digits; never used twice
	Name    string // "" until it has started once
	PeerURL string
	Voter   bool
	Master  bool
}

// Members returns the members by name. It reads the local copy and does not wait.
func (n *Node) Members() ([]Member, error) {
	if err := n.enter(); err != nil {
		return nil, err
	}
	defer n.ops.Done()
	return n.members(), nil
}

func (n *Node) members() []Member {
	leader := n.srv.Leader()
	var all []Member
	for _, m := range n.srv.Cluster().Members() {
		all = append(all, Member{
			ID: clusterID(uint64(m.ID)), Name: m.Name, PeerURL: strings.Join(m.PeerURLs, ","),
			Voter: !m.IsLearner, Master: m.ID == leader,
		})
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Leader returns the name of the last known master; "" if none is known. On a learner it
// goes on to name one that is dead: whether a master answers, Status.Quorum tells.
func (n *Node) Leader() string {
	s, _ := n.Status()
	return s.Master
}

// JoinInfo is what a server needs to join: the answer of AddLearner.
type JoinInfo struct {
	Group          string `json:"group"`
	Epoch          uint64 `json:"epoch"`
	ClusterID      string `json:"cluster_id"`
	MemberID       string `json:"member_id"`
	InitialCluster string `json:"initial_cluster"` // name=URL,...: all members, the new one included
	Revision       int64  `json:"revision"`        // of the master when it answered
	Records        int64  `json:"records"`
	Bytes          int64  `json:"bytes"`
}

// retryEvery is how often a change of members is tried again that etcd refuses for now: it
// wants to have been connected to a majority for 5 s.
const retryEvery = 250 * time.Millisecond

// AddLearner makes the server name, reached under peerURL, a member without a vote, on the
// master. The server then calls Join with the answer. Called again for a learner of that
// name or URL it removes the earlier membership and adds a new one: whatever that had of
// the database must not be used any more, which Join sees to. It returns mfa.ErrExists for
// a voter of that name or URL, ErrNotMaster on a replica, and waits, as long as ctx allows,
// while etcd refuses because connections are young.
func (n *Node) AddLearner(ctx context.Context, name, peerURL string) (JoinInfo, error) {
	if err := n.enter(); err != nil {
		return JoinInfo{}, err
	}
	defer n.ops.Done()
	info, err := n.addLearner(ctx, name, peerURL)
	if err != nil {
		return JoinInfo{}, fmt.Errorf("add %s (%s) to the group: %w", name, peerURL, err)
	}
	return info, nil
}

func (n *Node) addLearner(ctx context.Context, name, peerURL string) (JoinInfo, error) {
	if !n.o.peered() {
		return JoinInfo{}, fmt.Errorf("this server has no peer port: set listen.peer and restart it: %w", mfa.ErrInvalid)
	}
	if u, err := url.Parse(peerURL); err != nil || u.Scheme != "https" || u.Port() == "" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || !nameRE.MatchString(name) {
		return JoinInfo{}, fmt.Errorf("want a name and https://host:port: %w", mfa.ErrInvalid)
	}
	if err := n.mustLead(ctx); err != nil {
		return JoinInfo{}, err
	}
	if err := n.tellAddress(ctx); err != nil {
		return JoinInfo{}, err
	}
	for _, m := range n.members() {
		if m.Name != name && m.PeerURL != peerURL {
			continue
		}
		if m.Voter {
			return JoinInfo{}, fmt.Errorf("%s is a voter with the address %s: %w", m.Name, m.PeerURL, mfa.ErrExists)
		}
		if m.Name != "" && m.Name != name {
			return JoinInfo{}, fmt.Errorf("the address belongs to %s: %w", m.Name, mfa.ErrExists)
		}
		if err := n.remove(ctx, m.ID); err != nil {
			return JoinInfo{}, err
		}
	}
	id, err := newMemberID()
	if err != nil {
		return JoinInfo{}, err
	}
	add := membership.Member{ID: id, RaftAttributes: membership.RaftAttributes{PeerURLs: []string{peerURL}, IsLearner: true}}
	all, err := n.change(ctx, func(ctx context.Context) ([]*membership.Member, error) { return n.srv.AddMember(ctx, add) })
	if err != nil {
		return JoinInfo{}, err
	}
	members := make([]membership.Member, len(all))
	for i, m := range all {
		members[i] = *m
	}
	info := JoinInfo{
		Group: n.file.Group, Epoch: n.file.Epoch, ClusterID: n.file.ClusterID, MemberID: clusterID(uint64(id)),
		InitialCluster: initialCluster(members, id, name), Bytes: n.srv.Backend().SizeInUse(),
	}
	info.Records, info.Revision = n.count(ctx)
	return info, nil
}

// newMemberID returns an id that no member has or had. (etcd would make it of the address
// and the second, and refuse a server that comes back within one.)
func newMemberID() (types.ID, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, err
	}
	return types.ID(binary.BigEndian.Uint64(b[:])>>1 | 1), nil // raft keeps 0 and the highest for itself
}

// initialCluster writes members as etcd wants to be told them; self is called name.
func initialCluster(members []membership.Member, self types.ID, name string) string {
	var all []string
	for _, m := range members {
		called := cmp.Or(m.Name, "joining-"+clusterID(uint64(m.ID)))
		if m.ID == self {
			called = name
		}
		for _, u := range m.PeerURLs {
			all = append(all, called+"="+u)
		}
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}

// Promote gives the learner id a vote, on the master. It waits, as long as ctx allows,
// until the learner has caught up. A voter stays one.
func (n *Node) Promote(ctx context.Context, id string) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	m, err := n.find(id)
	if err == nil && !m.Voter {
		if err = n.mustLead(ctx); err == nil {
			var mid types.ID
			mid, _ = parseID(id)
			_, err = n.change(ctx, func(ctx context.Context) ([]*membership.Member, error) { return n.srv.PromoteMember(ctx, uint64(mid)) })
			if errors.Is(err, membership.ErrMemberNotLearner) {
				err = nil
			}
		}
	}
	if err != nil {
		return fmt.Errorf("promote member %s to a voter: %w", id, err)
	}
	return nil
}

// Remove takes the member id out of the group, on the master, for good: its server stops
// its database as soon as it hears of it. The master does not remove itself: move it
// first. A member that is none any more is no error.
func (n *Node) Remove(ctx context.Context, id string) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	err := n.mustLead(ctx)
	if err == nil && id == clusterID(uint64(n.srv.MemberID())) {
		err = fmt.Errorf("it is the master: make another server the master first: %w", mfa.ErrInvalid)
	}
	if err == nil {
		err = n.remove(ctx, id)
	}
	if err != nil {
		return fmt.Errorf("remove member %s from the group: %w", id, err)
	}
	return nil
}

func (n *Node) remove(ctx context.Context, id string) error {
	mid, err := parseID(id)
	if err != nil {
		return fmt.Errorf("member id %q: %w", id, mfa.ErrInvalid)
	}
	_, err = n.change(ctx, func(ctx context.Context) ([]*membership.Member, error) { return n.srv.RemoveMember(ctx, uint64(mid)) })
	if errors.Is(err, membership.ErrIDNotFound) || errors.Is(err, membership.ErrIDRemoved) {
		return nil
	}
	return err
}

// MoveMaster makes the voter id the master, on the master, without loss. It waits until
// the voter knows that it is one, and then until it leads. If ctx ends before, the master
// may be either.
func (n *Node) MoveMaster(ctx context.Context, id string) error {
	if err := n.enter(); err != nil {
		return err
	}
	defer n.ops.Done()
	if err := n.moveMaster(ctx, id); err != nil {
		return fmt.Errorf("make member %s the master: %w", id, err)
	}
	return nil
}

func (n *Node) moveMaster(ctx context.Context, id string) error {
	m, err := n.find(id)
	if err != nil || m.Master && m.ID == clusterID(uint64(n.srv.MemberID())) {
		return err
	}
	if !m.Voter {
		return fmt.Errorf("%s has no vote: promote it to a voter first: %w", m.Name, mfa.ErrInvalid)
	}
	if err := n.mustLead(ctx); err != nil {
		return err
	}
	for {
		err := n.knowsItsVote(ctx, m)
		if err == nil {
			break
		}
		if werr := n.pause(ctx); werr != nil {
			return fmt.Errorf("%w: %w", werr, err)
		}
	}
	target, _ := parseID(id)
	for n.srv.Leader() != target { // a transfer that the target ignores ends by itself after an election time-out
		try, cancel := context.WithTimeout(ctx, 2*n.o.Election)
		err := n.srv.MoveLeader(try, uint64(n.srv.MemberID()), uint64(target))
		cancel()
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w (%w)", mfa.ErrUnavailable, err)
		case n.srv.Leader() != n.srv.MemberID() && n.srv.Leader() != target && n.srv.Leader() != 0:
			return fmt.Errorf("%w any more (%w)", ErrNotMaster, err)
		}
	}
	return nil
}

// knowsItsVote asks m whether it sees itself as a voter.
func (n *Node) knowsItsVote(ctx context.Context, m Member) error {
	list, _, err := n.peers.members(ctx, m.PeerURL)
	if err != nil {
		return err
	}
	for _, got := range list {
		if clusterID(uint64(got.ID)) == m.ID && !got.IsLearner {
			return nil
		}
	}
	return fmt.Errorf("%s does not know yet that it is a voter", m.Name)
}

func (n *Node) find(id string) (Member, error) {
	for _, m := range n.members() {
		if m.ID == id {
			return m, nil
		}
	}
	return Member{}, fmt.Errorf("no such member: %w", mfa.ErrNotFound)
}

// mustLead returns ErrNotMaster unless this server leads, by the word of a majority.
func (n *Node) mustLead(ctx context.Context) error {
	if err := n.linear(ctx); err != nil {
		return err
	}
	if n.srv.Leader() != n.srv.MemberID() {
		return ErrNotMaster
	}
	return nil
}

// change makes a change of members and tries again while etcd refuses for now.
func (n *Node) change(ctx context.Context, do func(context.Context) ([]*membership.Member, error)) ([]*membership.Member, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(n.ctx, func() { cancel(errClosed) })()
	for {
		all, err := do(ctx)
		switch {
		case err == nil:
			return all, nil
		case errors.Is(err, etcderrors.ErrUnhealthy), errors.Is(err, etcderrors.ErrLearnerNotReady), errors.Is(err, etcderrors.ErrNotEnoughStartedMembers):
			if werr := n.pause(ctx); werr != nil {
				return nil, fmt.Errorf("%w: %w", werr, err)
			}
		case ctx.Err() != nil, errors.Is(err, etcderrors.ErrTimeout), errors.Is(err, etcderrors.ErrLeaderChanged), errors.Is(err, etcderrors.ErrStopped):
			return nil, fmt.Errorf("%w (%w)", mfa.ErrUnknownOutcome, err)
		default:
			return nil, err
		}
	}
}

// pause waits a moment before something is tried again.
func (n *Node) pause(ctx context.Context) error {
	t := time.NewTimer(retryEvery)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-n.ctx.Done():
		return errClosed
	case <-ctx.Done():
		return fmt.Errorf("not possible in time: %w", mfa.ErrUnavailable)
	}
}
