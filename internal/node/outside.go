package node

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"net/url"
	"os"
	"strings"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

const (
	sealedOutside = "coordinator" // outside, of a group that uses an independent one

	tellEvery   = 3 * time.Second // between two heartbeats to the coordinator
	tellTimeout = 10 * time.Second
	letterPause = 2 * time.Second // after an error
)

// outside is the independent coordinator that a group uses, as the group has it on record.
type outside struct {
	URLs []string `json:"urls"`
	CA   []byte   `json:"ca"` // PEM
}

// openLink prepares the calls to the group's coordinator, if that is an independent one.
func (s *server) openLink(ctx context.Context) error {
	var o outside
	if !s.witness {
		text, err := s.store.ReadSealed(ctx, sealedOutside)
		if err == nil {
			err = json.Unmarshal(text.Expose(), &o)
		}
		if err != nil && !errors.Is(err, mfa.ErrNotFound) {
			return fmt.Errorf("record of the coordinator: %w", err)
		}
		if len(o.URLs) == 0 {
			if len(s.Config.Coordinator) > 0 {
				s.own.Warn("coordinator.urls is set, but this group is its own coordinator: the setting is not heeded", "urls", s.Config.Coordinator)
			}
			return nil
		}
	}
	urls := s.Config.Coordinator
	if len(urls) == 0 {
		urls = o.URLs
	}
	if len(urls) == 0 {
		return nil
	}
	if s.peers == nil {
		return fmt.Errorf("this group uses the coordinator at %s, but this server has no peer port: set listen.peer", strings.Join(urls, ", "))
	}
	s.link = coordinator.NewLink(s.node.Group(), urls, s.peers.ca, s.peers.certificate)
	return nil
}

// ownCA issues with the CA that lies in the group's own database.
type ownCA struct {
	pki.CA
	server string // this one; its certificate holds the machine's name too
	now    func() time.Time
}

// Issue implements group.Issuer.
func (c ownCA) Issue(_ context.Context, name string, addresses []string, publicKey []byte) ([]byte, error) {
	subject := group.Subject(name, addresses...)
	if host, err := os.Hostname(); err == nil && name == c.server {
		subject.DNS = append(subject.DNS, host)
	}
	cert, err := c.IssueFor(subject, publicKey, c.now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	return cert, nil
}

// outsideCA has the independent coordinator issue.
type outsideCA struct {
	link *coordinator.Link
	ca   *x509.Certificate
}

// Certificate implements group.Issuer.
func (c outsideCA) Certificate() *x509.Certificate { return c.ca }

// Issue implements group.Issuer. The coordinator must not be told of loopback names: it
// knows them.
func (c outsideCA) Issue(ctx context.Context, name string, addresses []string, publicKey []byte) ([]byte, error) {
	r := registry.IssueRequest{Name: name, PublicKey: publicKey}
	for _, a := range addresses {
		if a != "" {
			r.Addresses = append(r.Addresses, a)
		}
	}
	return c.link.Issue(ctx, r)
}

// groupCA is what issues the group's certificates.
func (s *server) groupCA(ctx context.Context) (group.Issuer, error) {
	if s.link != nil {
		return outsideCA{s.link, s.peers.ca}, nil
	}
	if s.witness {
		return nil, errNoKeys
	}
	ca, err := s.ensureCA(ctx)
	return ownCA{ca, s.Config.Name, s.Now}, err
}

// outsideCoordinator is the link as package group wants it.
type outsideCoordinator struct{ link *coordinator.Link }

// Addresses implements group.Outside.
func (o outsideCoordinator) Addresses() (all []string) {
	for _, text := range o.link.URLs() {
		if u, err := url.Parse(text); err == nil {
			host := u.Host
			if u.Port() == "" {
				host = net.JoinHostPort(u.Hostname(), "443")
			}
			all = append(all, host)
		}
	}
	return all
}

// Announce implements group.Outside.
func (o outsideCoordinator) Announce(ctx context.Context, id string, expires time.Time) error {
	return o.link.Announce(ctx, id, expires)
}

// tellOutside sends this server's heartbeat to the coordinator every few seconds, until ctx
// is done, and keeps what it answers. Nothing waits for it.
func (s *server) tellOutside(ctx context.Context) error {
	defer s.link.Close()
	open := func(signed coordinator.Signed) (coordinator.Standing, error) { return signed.OpenBy(s.peers.ca) }
	if err := s.standing.loadBy(s.Config.DataDir, s.node.Group(), s.node.Folder().Highest, open); err != nil {
		s.own.Warn("the coordinator's last answer, which was kept, is not believed", "error", err)
	}
	if kept, at := s.standing.Last(); !at.IsZero() {
		s.link.Learn(kept.Coordinators)
	}
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	last := ""
	for {
		text := ""
		err := s.tellOnce(ctx)
		if err != nil {
			text = err.Error()
		}
		switch {
		case errors.Is(err, errLaterEpoch):
			return err
		case ctx.Err() != nil:
			return nil
		case text == last:
		case text != "":
			s.own.Warn("the coordinator does not answer: sign-ins and changes go on, new servers and new epochs wait for it", "coordinator", s.link.URLs(), "error", text)
		default:
			s.own.Info("the coordinator answers again", "coordinator", s.link.URLs())
		}
		last = text
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (s *server) tellOnce(ctx context.Context) error {
	h := registry.Heartbeat{Report: s.report(), Highest: s.node.Folder().Highest}
	h.Report.Sights = nil // what clients send is nobody's business outside the group
	if h.Report.Leads() {
		for _, m := range s.store.Members() {
			h.Members = append(h.Members, registry.Entry{Name: m.Name, Role: m.Role, Key: m.Key})
		}
	}
	call, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	st, signed, err := s.link.Report(call, h)
	if err != nil {
		return err
	}
	if err := s.standing.take(s.Config.DataDir, st, signed, s.node.Folder().Highest, s.Now()); err != nil {
		return err
	}
	return s.outsideEpoch(st)
}

// maxEpochStep is the largest step of an epoch that is believed of a coordinator.
const maxEpochStep = 1_000_000

// outsideEpoch acts on an epoch that a coordinator told: this server decides nothing any
// more if the group is at a later one. The error then wraps errLaterEpoch.
func (s *server) outsideEpoch(st coordinator.Standing) error {
	f := s.node.Folder()
	if st.Epoch <= f.Epoch {
		return nil
	}
	if err := reachable(st, f.Highest); err != nil {
		return err
	}
	if err := s.node.SawEpoch(st.Epoch); err != nil {
		return err
	}
	if s.aside.Load() != nil {
		return nil
	}
	s.stepAside(fmt.Sprintf("the coordinator says that the group is at epoch %d with the master %s, and this server's database is of epoch %d", st.Epoch, st.Last, f.Epoch), nextLater)
	s.again.Store(true)
	s.own.Error("the group is at a later epoch, says the coordinator: this server decides nothing more and starts over to join that", "epoch", st.Epoch,
		"was", f.Epoch, "master", st.Last, "decided_by", st.DecidedBy)
	return fmt.Errorf("%w: %d, says the coordinator", errLaterEpoch, st.Epoch)
}

// askOutside asks the coordinator that the node file names which epoch the group is at, for
// at most epochTimeout; 0: there is none, or no answer that is believed.
func (s *server) askOutside(ctx context.Context, f cluster.Folder) uint64 {
	if len(s.Config.Coordinator) == 0 {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, epochTimeout)
	defer cancel()
	link := coordinator.NewLink(f.Group, s.Config.Coordinator, s.peers.ca, s.peers.certificate)
	defer link.Close()
	var kept standing // tells of coordinators that the node file does not name
	if kept.loadBy(s.Config.DataDir, f.Group, f.Highest, func(signed coordinator.Signed) (coordinator.Standing, error) { return signed.OpenBy(s.peers.ca) }) == nil {
		link.Learn(kept.last.Coordinators)
	}
	st, _, err := link.Master(ctx)
	if err != nil {
		s.own.Info("the coordinator was not heard at the start", "coordinator", s.Config.Coordinator, "error", err)
		return 0
	}
	if err := reachable(st, f.Highest); err != nil {
		s.own.Error("the coordinator tells an epoch that cannot be", "error", err)
		return 0
	}
	return st.Epoch
}

// answerLetters calls at the coordinator for requests of new servers, while this server is
// the master, until ctx is done.
func (s *server) answerLetters(ctx context.Context) error {
	pause := func() bool {
		t := time.NewTimer(letterPause)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	for ctx.Err() == nil {
		if s.witness || !s.group.Cluster.Leads() {
			pause()
			continue
		}
		letters, err := s.link.Letters(ctx)
		if err != nil { // the heartbeat tells of it
			pause()
			continue
		}
		for _, l := range letters {
			reply, err := coordinator.ServeLetter(ctx, s.admission, l)
			if err == nil {
				err = s.link.Reply(ctx, reply)
			}
			if err != nil && ctx.Err() == nil {
				s.own.Warn("a new server's request could not be answered through the coordinator", "path", l.Path, "error", err)
			}
		}
	}
	return nil
}

// putOutside records whose coordinator the group uses.
func (s *server) putOutside(ctx context.Context, o outside) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}
	return s.putSealed(ctx, sealedOutside, b)
}

// granter asks the independent coordinator for epochs.
type granter struct{ s *server }

// Grant implements group.Granter. The coordinator knows the candidate, which is this server,
// by its certificate.
func (g granter) Grant(ctx context.Context, name string, from uint64, candidate string) (group.EpochGrant, error) {
	if name != g.s.node.Group() || candidate != g.s.Config.Name {
		return group.EpochGrant{}, fmt.Errorf("%w: an epoch of group %s for %s", mfa.ErrInvalid, name, candidate)
	}
	st, err := g.s.node.Status()
	if err != nil {
		return group.EpochGrant{}, err
	}
	given, signed, err := g.s.link.Grant(ctx, registry.GrantRequest{From: from, Revision: st.Revision, Nonce: rand.Text(), By: "operator"})
	if errors.Is(err, mfa.ErrConflict) {
		return group.EpochGrant{}, fmt.Errorf("%w: %w", group.ErrRefused, err)
	}
	if err != nil {
		return group.EpochGrant{}, err
	}
	if given.From != from || given.Candidate != candidate || given.Key != g.s.peers.digest() || given.Epoch <= from {
		return group.EpochGrant{}, fmt.Errorf("%w: the coordinator's grant is for epoch %d of %s", mfa.ErrInvalid, given.Epoch, given.Candidate)
	}
	b, err := json.Marshal(signed)
	return group.EpochGrant{Group: given.Group, Epoch: given.Epoch, Candidate: given.Candidate, By: given.Coordinator, Signed: b}, err
}
