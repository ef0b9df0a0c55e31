package node

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/store"
)

// errOut says what to do with the folder of a coordinator that was taken out.
func errOut(c config.Config) error {
	file := c.Path
	if file == "" {
		file = "FILE"
	}
	return fmt.Errorf("this coordinator was taken out by the others; what it had is still in %s: have it join again with `countersign coordinator join CODE --config %s`", c.DataDir, file)
}

// openColleagues prepares the port between coordinators; there is none if listen.peer is
// not set.
func (c *independent) openColleagues(ctx context.Context) error {
	dir := c.Config.DataDir
	list, err := loadRoster(dir, c.id)
	if err != nil {
		return err
	}
	if c.Config.Listen.Peer == "" {
		if len(list.Members) > 1 {
			return fmt.Errorf("this is one of %d coordinators but has no port for the others: set listen.peer", len(list.Members))
		}
		return nil
	}
	p := &peering{dir: dir}
	if p.address, p.coordinator, _, err = addresses(c.Config); err != nil {
		return err
	}
	if p.spki, err = makePeerKey(dir); err != nil {
		return err
	}
	p.roster.Store(&list)
	if err := p.load(); err != nil {
		if len(list.Members) > 1 {
			return fmt.Errorf("certificate for the peer port: %w", err)
		}
		if err = c.certifyAlone(ctx, p); err == nil {
			err = p.load()
		}
		if err != nil {
			return fmt.Errorf("certificate for the peer port: %w", err)
		}
	}
	p.client = peer.NewClient(p.certificate, p.pool, p.allow, c.knownEpoch).As(c.hello())
	c.peers = p
	return nil
}

// colleagueCA issues the certificates of the ports between coordinators.
type colleagueCA struct{ *registry.Service }

// Certificate implements group.Issuer.
func (a colleagueCA) Certificate() *x509.Certificate { return a.CA.Certificate() }

// Issue implements group.Issuer.
func (a colleagueCA) Issue(_ context.Context, name string, addresses []string, publicKey []byte) ([]byte, error) {
	return a.CertifyColleague(name, addresses, publicKey)
}

// certifyAlone opens the database of a coordinator that has nobody beside it, without the
// peer port, to issue the first certificate for that.
func (c *independent) certifyAlone(ctx context.Context, p *peering) error {
	node, err := cluster.Open(ctx, c.clusterOptions())
	if err != nil {
		return err
	}
	defer node.Close()
	if _, err := node.Barrier(ctx); err != nil {
		return err
	}
	keyset, err := store.LoadKeyset(ctx, node, c.Config.Name, c.id.wrap)
	if err != nil {
		return err
	}
	ca, err := registry.ReadCA(ctx, node, keyring.NewRing(keyset))
	if err != nil {
		return err
	}
	return p.issue(ctx, colleagueCA{&registry.Service{CA: ca, Now: c.Now}}, c.Config)
}

// renewPeer renews the certificate of the port between coordinators if it is due. Each
// coordinator has the key of the CA.
func (c *independent) renewPeer() error {
	if c.peers == nil || !c.peers.due(c.Config, c.Now()) {
		return nil
	}
	if err := c.peers.issue(context.Background(), colleagueCA{c.registry}, c.Config); err != nil {
		return err
	}
	return c.peers.reload()
}

// openRegistry opens the database, or has it sent by the others that this coordinator was
// admitted to, which takes as long as it takes.
func (c *independent) openRegistry(ctx, starting context.Context) (err error) {
	if c.activated() || c.before() != "" {
		c.node, err = c.join(ctx, 0)
		return err
	}
	options := c.clusterOptions()
	options.Group = coordinatorGroup
	if c.node, err = cluster.Open(starting, options); err != nil {
		return err
	}
	if c.peers == nil {
		return nil
	}
	if c.node.Cast() { // its membership ended while it was away
		st, err := c.node.Status()
		c.node.Close()
		if err != nil {
			return err
		}
		c.was.Store(&st.MemberID)
		c.node, err = c.join(ctx, 0)
		return err
	}
	c.peers.opened(c.node)
	return nil
}

// assembleColleagues makes what this coordinator serves and the use cases of the
// coordinators among themselves. Who waits for something is sent away when ending is closed.
func (c *independent) assembleColleagues(ending <-chan struct{}) {
	if c.peers != nil {
		c.peers.listed.Store(c.colleagues)
		c.group = &group.Service{Server: c.Config.Name, Coordinators: true, Store: c.colleagues, Cluster: groupCluster{c.node}, Peers: &c.heard,
			CA:    func(context.Context) (group.Issuer, error) { return colleagueCA{c.registry}, nil },
			Trail: c.trail, Now: c.Now, Log: c.log.Logger("group")}
	}
	c.coordinator = c.atLeader(coordinator.Independent(c.registry, c.group, ending))
	if c.peers == nil {
		return
	}
	more := peer.Retiring(c.retire, peer.Overviews(c.registryOverview, coordinator.PassedOn(c.coordinator)))
	api := peer.API(c.group, c.report, c.beat, more)
	c.peers.api.Store(&api)
}

func (c *independent) registryOverview(ctx context.Context) (group.Overview, error) {
	if err := c.lead(); err != nil {
		return group.Overview{}, err
	}
	return c.registry.Overview(ctx)
}

// runColleagues starts what a coordinator does for the others.
func (c *independent) runColleagues(services *stage) {
	services.run("watch over itself", c.registry.Watch)
	services.run("groups", c.lookAtGroups)
	services.run("trail index", c.index.Run)
	services.run("clock", c.clock.run)
	services.run("watchdog", func(ctx context.Context) error { return watchdog(ctx, c.alive) })
	if c.peers == nil {
		return
	}
	services.run("other coordinators", c.hear)
	services.run("coordinators' records", c.keepRoster)
	services.run("own record", c.introduce)
	services.run("votes", c.group.Run)
}

// others are the addresses of the other coordinators.
func (c *independent) others() (all []string) {
	for _, m := range c.colleagues.Members() {
		if m.Name != c.Config.Name && m.Coordinator != "" {
			all = append(all, m.Coordinator)
		}
	}
	return all
}

// lead returns nil if this coordinator leads. When it has just begun to, it has heard
// nobody: what it heard before it led, or when it led before, counts for nothing.
func (c *independent) lead() error {
	st, err := c.node.Status()
	if err != nil {
		return err
	}
	if st.Role != "master" || !st.Quorum {
		return fmt.Errorf("coordinator %s does not lead: %w", c.Config.Name, mfa.ErrUnavailable)
	}
	c.leading.Lock()
	defer c.leading.Unlock()
	if c.term != st.Term {
		c.registry.Begin()
		c.term = st.Term
	}
	return nil
}

// majority returns an error that says what is missing if no coordinator leads.
func (c *independent) majority() error {
	if c.lead() == nil {
		return nil
	}
	_, err := c.leader()
	return err
}

// leader returns the record of the coordinator that leads.
func (c *independent) leader() (mfa.Member, error) {
	st, err := c.node.Status()
	if err != nil {
		return mfa.Member{}, err
	}
	if st.Quorum {
		for _, m := range c.colleagues.Members() {
			if m.Name == st.Master && m.Name != c.Config.Name {
				return m, nil
			}
		}
	}
	if silent := c.silent(); len(silent) > 0 {
		return mfa.Member{}, fmt.Errorf(noMajority+", %s hears nothing of %s: %w", c.Config.Name, strings.Join(silent, ", "), mfa.ErrUnavailable)
	}
	return mfa.Member{}, fmt.Errorf("the coordinators are choosing the one that leads; try again in a moment: %w", mfa.ErrUnavailable)
}

// silent names the coordinators that do not answer.
func (c *independent) silent() []string {
	names := []string{}
	for _, m := range c.colleagues.Members() {
		if _, ok := c.heard.Heard(m.Name); !ok && m.Name != c.Config.Name {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return names
}

// atLeader serves with h if this coordinator leads, and otherwise passes the request on to
// the one that does.
func (c *independent) atLeader(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.lead() == nil {
			h.ServeHTTP(w, r)
			return
		}
		leader, err := c.leader()
		if err == nil && r.Header.Get(relayedHeader) != "" {
			err = fmt.Errorf("the coordinators are changing the one that leads; try again: %w", mfa.ErrUnavailable)
		}
		if err != nil {
			group.WriteAnswer(w, nil, err)
			return
		}
		c.passTo(leader).ServeHTTP(w, r)
	})
}

// sweep removes old codes; one of the coordinators is enough.
func (c *independent) sweep(ctx context.Context) error {
	if c.lead() != nil {
		return nil
	}
	return c.registry.Sweep(ctx)
}
