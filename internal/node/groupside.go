package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/admin"
	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/secret"
	"countersign/internal/store"
)

const (
	relayedHeader    = "X-Countersign-Relayed" // by a server that is not the master
	introduceEvery   = 5 * time.Second
	forgetTimeout    = 30 * time.Second
	notGroupedAdvice = "this server has no peer port: set listen.peer and listen.coordinator in its node file and restart it"
)

// groupStore is package store as package group wants it.
type groupStore struct{ *store.Store }

func (g groupStore) CreateJoinCode(ctx context.Context, c group.Code) error {
	return g.Store.CreateJoinCode(ctx, store.JoinCode(c))
}

func (g groupStore) JoinCode(ctx context.Context, id string) (group.Code, error) {
	c, err := g.Store.JoinCode(ctx, id)
	return group.Code(c), err
}

func (g groupStore) UsedCode(ctx context.Context, id string) (group.Code, error) {
	c, err := g.Store.UsedCode(ctx, id)
	return group.Code(c), err
}

func (g groupStore) Admit(ctx context.Context, id string, m mfa.Member, check func(group.Code, *mfa.Member) error) error {
	return g.Store.Admit(ctx, id, m, func(c store.JoinCode, before *mfa.Member) error { return check(group.Code(c), before) })
}

// groupCluster is package cluster as package group wants it.
type groupCluster struct{ *cluster.Node }

func (g groupCluster) Nodes() ([]group.Node, error) {
	all, err := g.Members()
	nodes := make([]group.Node, len(all))
	for i, m := range all {
		nodes[i] = group.Node{ID: m.ID, Name: m.Name, Peer: strings.TrimPrefix(m.PeerURL, "https://"), Voter: m.Voter, Master: m.Master}
	}
	return nodes, err
}

func (g groupCluster) AddLearner(ctx context.Context, name, peer string) (group.JoinInfo, error) {
	info, err := g.Node.AddLearner(ctx, name, "https://"+peer)
	return group.JoinInfo(info), err
}

func (g groupCluster) Leads() bool {
	st, err := g.Status()
	return err == nil && st.Role == "master" && st.Quorum
}

func (g groupCluster) Full() bool {
	st, err := g.Status()
	return err == nil && st.ReadOnly != nil
}

// Master returns "" if none answers.
func (g groupCluster) Master() string {
	if st, err := g.Status(); err == nil && st.Quorum {
		return st.Master
	}
	return ""
}

func (g groupCluster) Revision() int64 {
	st, _ := g.Status()
	return st.Revision
}

// assembleGroup makes the use cases of the group and opens them to the other servers.
func (s *server) assembleGroup() {
	s.group = &group.Service{Server: s.Config.Name, Witness: s.witness, Store: groupStore{s.store}, Cluster: groupCluster{s.node}, Peers: &s.heard,
		CA: s.groupCA, Trail: s.recorder(), Now: s.Now, Log: s.log.Logger("group")}
	if s.peers == nil {
		return
	}
	if s.link != nil {
		s.group.Outside = outsideCoordinator{s.link}
	}
	s.admission = coordinator.Handler(s.group, s.signStanding)
	s.coordinator = s.atMaster(s.admission)
	more := peer.Trails(s.serveTrail, peer.Figures(s.serveFigures, peer.Watch(s.ownOverview, peer.Database(s.serveDatabase, coordinator.PassedOn(s.coordinator)))))
	if s.engine != nil {
		more = peer.Decide(s.heeding(), more)
	}
	api := peer.API(s.group, s.report, s.beat, more)
	s.peers.api.Store(&api)
}

// atMaster serves the coordinator's paths, and those only, with h if this server is the
// master, and otherwise passes the request on to the master's peer port, where it comes
// with this server's certificate: nothing else must get through.
func (s *server) atMaster(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.group.Cluster.Leads() {
			h.ServeHTTP(w, r)
			return
		}
		master, err := s.master()
		if !slices.Contains(coordinator.Paths, r.URL.Path) {
			err = fmt.Errorf("%s: %w", r.URL.Path, mfa.ErrNotFound)
		}
		if err == nil && r.Header.Get(relayedHeader) != "" {
			err = fmt.Errorf("the group is changing its master; try again: %w", mfa.ErrUnavailable)
		}
		if err != nil {
			group.WriteAnswer(w, nil, err)
			return
		}
		s.passTo(master).ServeHTTP(w, r)
	})
}

// passTo passes requests on to the peer port of master, with who has sent them.
func (s *server) passTo(master mfa.Member) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(&url.URL{Scheme: "https", Host: master.Peer})
			p.Out.Header.Set(relayedHeader, s.Config.Name)
			s.peers.client.Sign(p.Out)
			coordinator.Introduce(p.In, p.Out)
		},
		Transport: s.peers.client.Transport(),
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			group.WriteAnswer(w, nil, fmt.Errorf("the master %s at %s: %w (%w)", master.Name, master.Peer, mfa.ErrUnavailable, err))
		},
	}
}

// memberRecords are the records of a group's servers.
type memberRecords interface {
	Members() []mfa.Member
	UpdateMember(ctx context.Context, name string, change func(*mfa.Member) error) error
}

// records are those of the servers of this one's group, or of the coordinators if it is one.
func (s *server) records() memberRecords {
	if s.colleagues != nil {
		return s.colleagues
	}
	return s.store
}

// master returns the record of the master that answers.
func (s *server) master() (mfa.Member, error) {
	name := s.group.Cluster.Master()
	for _, m := range s.records().Members() {
		if m.Name == name && name != "" {
			return m, nil
		}
	}
	return mfa.Member{}, fmt.Errorf("the group has no master that this server reaches: %w", mfa.ErrUnavailable)
}

// introduce keeps this server's own record in the database true, until ctx is done. The
// record of a server that was taken out is not made again: only a sole voter, which founded
// the group or restored it, makes its own.
func (s *server) introduce(ctx context.Context) error {
	_, coordinator, https, _ := addresses(s.Config)
	var introduced, failed bool
	for {
		st, err := s.node.Status()
		if err == nil && st.Quorum && !introduced {
			err = s.records().UpdateMember(ctx, s.Config.Name, func(m *mfa.Member) error {
				if m.Key == "" && !(st.Voter && st.Voters == 1) {
					return fmt.Errorf("%w: it was taken out of the group", mfa.ErrNotFound)
				}
				if m.Joined.IsZero() {
					m.Joined, m.By = s.Now().UTC().Truncate(time.Second), "init"
				}
				m.Role, m.Peer, m.Coordinator, m.HTTPS, m.Version, m.Schema = s.role(), s.peers.address, coordinator, https, s.Version, store.Schema
				m.Key, m.Sign, m.Wrap, m.MemberID = s.peers.digest(), s.id.public(), s.recipient(), st.MemberID
				return nil
			})
			introduced = err == nil
			if err != nil && ctx.Err() == nil && !failed {
				failed = true
				s.own.Warn("this server's record could not be written; trying again", "error", err)
			}
		}
		t := time.NewTimer(introduceEvery)
		if !introduced && err == nil {
			t.Reset(100 * time.Millisecond)
		}
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}

// groupAdmin is the group's servers as package admin sees them.
type groupAdmin struct{ s *server }

// Servers implements admin.Group.
func (g groupAdmin) Servers(context.Context) ([]admin.Member, error) { return g.s.servers() }

func (s *server) servers() ([]admin.Member, error) {
	st, err := s.node.Status()
	if s.parted.Load() != nil {
		st, err = cluster.Status{Role: "joining"}, nil
	}
	if err != nil {
		return nil, err
	}
	self := admin.Member{Name: s.Config.Name, Role: votesOnly(st.Role, s.role()), Voter: st.Voter, Reachable: true, Revision: st.Revision, Version: s.Version}
	if s.peers == nil {
		return []admin.Member{self}, nil
	}
	self.Peer = s.peers.address
	var nodes []group.Node
	if s.parted.Load() == nil {
		if nodes, err = (groupCluster{s.node}).Nodes(); err != nil {
			return nil, err
		}
	}
	var all []admin.Member
	listed := false
	for _, m := range s.records().Members() {
		if m.Name == s.Config.Name {
			listed = true
			all = append(all, self)
			continue
		}
		one := admin.Member{Name: m.Name, Role: "activated", Peer: m.Peer, Version: m.Version}
		id := ""
		for _, n := range nodes {
			if n.Name == m.Name || n.Name == "" && n.Peer == m.Peer {
				id, one.Role, one.Voter = n.ID, "replica", n.Voter
				if n.Master && st.Quorum {
					one.Role = "master"
				}
				one.Role = votesOnly(one.Role, m.Role)
			}
		}
		if r, ok := s.heard.Heard(m.Name); ok {
			one.Reachable, one.Revision, one.Version, one.Lag = true, r.Revision, r.Version, max(st.Revision-r.Revision, 0)
			switch {
			case s.parted.Load() != nil:
				one.Role, one.Voter = votesOnly(r.Role, m.Role), r.Voter
			case r.Role == "joining", r.Role == "removed":
				one.Role = r.Role
			case id != "" && r.MemberID != id: // of an earlier membership, which has ended
				one.Role = "joining"
			}
		}
		all = append(all, one)
	}
	if !listed {
		all = append(all, self)
	}
	return all, nil
}

// CreateActivation implements admin.Group.
func (g groupAdmin) CreateActivation(ctx context.Context, by, role string, life time.Duration) (secret.Text, time.Time, error) {
	switch {
	case g.s.peers == nil:
		return secret.Text{}, time.Time{}, fmt.Errorf("%w: %s", mfa.ErrInvalid, notGroupedAdvice)
	case g.s.peers.coordinator == "" && g.s.link == nil:
		return secret.Text{}, time.Time{}, fmt.Errorf("%w: a new server asks for admission on the coordinator's port, which is off here: set listen.coordinator in this server's node file and restart it", mfa.ErrInvalid)
	}
	text, expires, err := g.s.group.CreateCode(ctx, by, role, life)
	return secret.FromString(text), expires, err
}

// Forget implements admin.Group.
func (g groupAdmin) Forget(ctx context.Context, by, name string) error {
	if name == g.s.Config.Name {
		return fmt.Errorf("%w: %s is this server: run `countersign group leave` to take it out of the group", mfa.ErrInvalid, name)
	}
	return g.s.forget(ctx, by, name)
}

// forget has the master take a server out, wherever the master is.
func (s *server) forget(ctx context.Context, by, name string) error {
	if s.peers == nil {
		return fmt.Errorf("%w: %s", mfa.ErrInvalid, notGroupedAdvice)
	}
	if _, contact := s.store.Contact(); !contact {
		return fmt.Errorf("the group has no master that this server reaches, so %s stays on record there: %w; bring the missing servers or the links to them back%s", name, mfa.ErrUnavailable, s.leaveAdvice(name))
	}
	return s.takeOut(ctx, by, name)
}

// takeOut is forget for a group that has a master.
func (s *server) takeOut(ctx context.Context, by, name string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTimeout) // half a departure helps nobody
	defer cancel()
	for {
		err := s.group.Forget(ctx, by, name)
		if !errors.Is(err, group.ErrNotMaster) {
			return err
		}
		master, err := s.master()
		if err == nil && master.Name != s.Config.Name {
			err = s.peers.client.Call(ctx, master.Peer, http.MethodPost, peer.PathForget, peer.Forget{Name: name, By: by}, nil)
			if err == nil {
				return nil
			}
		}
		if err != nil && !errors.Is(err, group.ErrNotMaster) && !errors.Is(err, mfa.ErrUnavailable) {
			return err
		}
		t := time.NewTimer(200 * time.Millisecond)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("no master took %s out of the group in time: %w (%w)", name, mfa.ErrUnavailable, err)
		}
	}
}

// Leave implements admin.Group.
func (g groupAdmin) Leave(ctx context.Context, by string, force bool) error {
	s := g.s
	if _, contact := s.store.Contact(); force && !contact {
		return s.leaveAlone(ctx, by)
	}
	if err := s.forget(ctx, by, s.Config.Name); err != nil {
		return err
	}
	s.own.Warn("this server has left its group and ends", "group", s.node.Group(), "by", by)
	return nil // the database ends by itself, and Run finds out why
}
