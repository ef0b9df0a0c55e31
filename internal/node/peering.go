package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/config"
	"countersign/internal/coordinator"
	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/peer"
	"countersign/internal/pki"
	"countersign/internal/store"
)

// Names beside those of doc.go.
const (
	peerKeyFile  = "peer.key" // in keysDir
	peerCertFile = "peer.pem"
	rosterName   = "members.json"
)

// peering is the peer port of a server and what it shows there.
type peering struct {
	address     string // host:port by which others reach the peer port
	coordinator string // the same of the coordinator's port; "": off
	dir         string // data folder
	spki        []byte // public half of this server's TLS key

	pool   *x509.CertPool // the group's CA
	ca     *x509.Certificate
	cert   atomic.Pointer[tls.Certificate]
	roster atomic.Pointer[roster]
	client *peer.Client
	port   net.Listener

	records atomic.Pointer[store.Store]         // once they can be read
	listed  atomic.Pointer[registry.Colleagues] // of a coordinator, in place of records
	raft    atomic.Pointer[http.Handler]        // once the database is open
	api     atomic.Pointer[http.Handler]        // once everything works
	live    atomic.Pointer[cluster.Node]

	writing sync.Mutex  // held while the roster is written
	stale   atomic.Bool // the database is of an epoch that ended: the roster counts
}

// advertised is an address as others call it: what the node file says, or where this
// server listens if that can be called.
func advertised(setting, said, listen string) (string, error) {
	if said != "" {
		return said, nil
	}
	host, port, err := net.SplitHostPort(listen)
	ip, ipErr := netip.ParseAddr(host)
	if err != nil || host == "" || ipErr == nil && ip.IsUnspecified() || port == "0" {
		return "", fmt.Errorf("advertise.%s is not set, and others cannot call the address %s of listen.%s: set advertise.%s to HOST:PORT as the other servers reach it", setting, listen, setting, setting)
	}
	return listen, nil
}

// addresses returns what others call: peer port, coordinator, https; "" for what is off.
func addresses(c config.Config) (peer, coordinator, https string, err error) {
	if c.Listen.Peer != "" {
		if peer, err = advertised("peer", c.Advertise.Peer, c.Listen.Peer); err != nil {
			return
		}
	}
	if c.Listen.Coordinator != "" {
		if coordinator, err = advertised("coordinator", c.Advertise.Coordinator, c.Listen.Coordinator); err != nil {
			return
		}
	}
	switch { // of use only if others can call it
	case c.Listen.Console != "": // where the pages are that others lead to
		https, _ = advertised("console", c.Advertise.Console, c.Listen.Console)
	case c.Listen.HTTPS != "":
		https, _ = advertised("https", c.Advertise.HTTPS, c.Listen.HTTPS)
	}
	return
}

// peerTLS names this server's files for the peer port.
func peerTLS(dataDir string) cluster.PeerTLS {
	keys := filepath.Join(dataDir, keysDir)
	return cluster.PeerTLS{CertFile: filepath.Join(keys, peerCertFile), KeyFile: filepath.Join(keys, peerKeyFile), CAFile: filepath.Join(dataDir, caName)}
}

// makePeerKey makes the TLS key of the peer port, or returns the public half of the one
// that is there. It stays for the life of the data folder: the group knows it.
func makePeerKey(dataDir string) (spki []byte, err error) {
	path := peerTLS(dataDir).KeyFile
	private, err := readSecret(path)
	if errors.Is(err, fs.ErrNotExist) {
		private, spki, err = pki.NewKey()
		if err == nil {
			err = writeSynced(path, private.Expose())
		}
		return spki, err
	}
	if err != nil {
		return nil, err
	}
	if spki, err = pki.PublicKey(private); err != nil {
		return nil, fmt.Errorf("%s: %w; put it back from a backup of this machine", path, err)
	}
	return spki, nil
}

// openPeering prepares the peer port; nil if it is off.
func (s *server) openPeering(ctx context.Context) (*peering, error) {
	dir := s.Config.DataDir
	list, err := loadRoster(dir, s.id)
	if err != nil {
		return nil, err
	}
	if s.Config.Listen.Peer == "" {
		switch {
		case s.Config.Listen.Coordinator != "":
			return nil, errors.New("listen.coordinator is set but listen.peer is not: a new server needs both ports to join; set listen.peer")
		case len(list.Members) > 1:
			return nil, fmt.Errorf("this server is one of %d of group %s but has no peer port: set listen.peer", len(list.Members), list.Group)
		}
		return nil, nil
	}
	p := &peering{dir: dir}
	if p.address, p.coordinator, _, err = addresses(s.Config); err != nil {
		return nil, err
	}
	if p.spki, err = makePeerKey(dir); err != nil {
		return nil, err
	}
	p.roster.Store(&list)
	loaded := p.load()
	if err := loaded; err != nil || p.due(s.Config, s.Now()) {
		if len(list.Members) <= 1 {
			if err = s.issueAlone(ctx, p); err == nil {
				err = p.load()
			}
		}
		if err != nil && !(errors.Is(err, errNoCA) && loaded == nil) { // renewed while it runs
			return nil, fmt.Errorf("certificate for the peer port: %w", err)
		}
	}
	p.client = peer.NewClient(p.certificate, p.pool, p.allow, s.knownEpoch).As(s.hello())
	return p, nil
}

// load reads certificate and CA.
func (p *peering) load() error {
	t := peerTLS(p.dir)
	caPEM, err := os.ReadFile(t.CAFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(caPEM)
	if block == nil {
		return fmt.Errorf("%s: no certificate in it", t.CAFile)
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", t.CAFile, err)
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return fmt.Errorf("%s with %s: %w", t.CertFile, t.KeyFile, err)
	}
	cert.Certificate = [][]byte{cert.Certificate[0], ca.Raw} // who activates a server knows the CA by its digest alone
	p.ca, p.pool = ca, x509.NewCertPool()
	p.pool.AddCert(ca)
	p.cert.Store(&cert)
	return nil
}

func (p *peering) certificate() (*tls.Certificate, error) { return p.cert.Load(), nil }

// due reports whether the certificate is to be renewed, because of its age or because it
// lacks a name under which this server is called now.
func (p *peering) due(c config.Config, now time.Time) bool {
	leaf := p.cert.Load().Leaf
	if pki.Due(leaf, now) {
		return true
	}
	_, _, https, _ := addresses(c)
	for _, a := range []string{p.address, p.coordinator, https} {
		if host, _, err := net.SplitHostPort(a); err == nil && leaf.VerifyHostname(host) != nil {
			return true
		}
	}
	return false
}

// issue has the authority make a certificate for this server's key, and writes both.
func (p *peering) issue(ctx context.Context, ca group.Issuer, c config.Config) error {
	cert, err := ca.Issue(ctx, c.Name, []string{p.address, p.coordinator, c.Advertise.HTTPS, c.Listen.HTTPS, c.Advertise.Console, c.Listen.Console, c.Advertise.Portal, c.Listen.Portal, c.Advertise.Peer, c.Listen.Peer}, p.spki)
	if err != nil {
		return err
	}
	t := peerTLS(p.dir)
	if err := writeSynced(t.CAFile, pki.CertificatePEM(ca.Certificate())); err != nil {
		return err
	}
	return writeSynced(t.CertFile, cert)
}

// errNoCA: the group's CA is not in its database.
var errNoCA = errors.New("the certificates of this group come from its coordinator, which this server cannot ask before it runs")

// issueAlone opens the database of a server that has nobody beside it, without the peer
// port, to have its CA issue the first certificate for that.
func (s *server) issueAlone(ctx context.Context, p *peering) (err error) {
	node, err := cluster.Open(ctx, s.clusterOptions())
	if err != nil {
		return err
	}
	defer node.Close()
	if _, err := node.Barrier(ctx); err != nil {
		return err
	}
	keyset, err := store.LoadKeyset(ctx, node, s.Config.Name, s.id.wrap)
	if err != nil {
		return err
	}
	records, err := store.Open(ctx, node, keyring.NewRing(keyset), store.Options{Epoch: node.Epoch(), Now: s.Now, Log: s.log.Logger("store")})
	if err != nil {
		return err
	}
	text, _, err := records.GetSealed(ctx, sealedCA)
	if errors.Is(err, mfa.ErrNotFound) {
		return errNoCA
	}
	if err != nil {
		return err
	}
	ca, err := pki.ParseCA(text)
	if err != nil {
		return err
	}
	return p.issue(ctx, ownCA{ca, s.Config.Name, s.Now}, s.Config)
}

// renewPeer keeps the certificate fresh, from the CA in the database, until ctx is done.
func (s *server) renewPeer(ctx context.Context) error {
	tick := time.NewTicker(certInterval)
	defer tick.Stop()
	for {
		if s.peers.due(s.Config, s.Now()) {
			err := s.certify(ctx)
			if err == nil {
				err = s.peers.reload()
			}
			if err != nil && ctx.Err() == nil {
				s.own.Error("the certificate of the peer port could not be renewed; the old one stays in use", "error", err, "expires", s.peers.cert.Load().Leaf.NotAfter)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// reload takes over a renewed certificate; the CA stays.
func (p *peering) reload() error {
	t := peerTLS(p.dir)
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return err
	}
	cert.Certificate = [][]byte{cert.Certificate[0], p.ca.Raw}
	p.cert.Store(&cert)
	return nil
}

// allow returns the name of the server on record that has this key: by the database, or,
// until that can be read, by the copy of its records beside it.
func (p *peering) allow(digest string) (string, bool) {
	for _, m := range p.members() {
		if m.Key == digest {
			return m.Name, true
		}
	}
	return "", false
}

// role is that of the server of that name on record; "": there is none.
func (p *peering) role(name string) string {
	for _, m := range p.members() {
		if m.Name == name {
			return m.Role
		}
	}
	return ""
}

// sure reports whether the member records here are those of the group.
func (s *server) sure() bool {
	if s.peers.listed.Load() != nil {
		st, err := s.node.Status()
		return err == nil && st.Quorum
	}
	return s.peers.sure()
}

func (p *peering) sure() bool {
	st := p.records.Load()
	if st == nil || p.stale.Load() {
		return false
	}
	_, now := st.Contact()
	return now
}

// members returns the servers on record.
func (p *peering) members() []mfa.Member {
	if st := p.records.Load(); st != nil && !p.stale.Load() {
		if all := st.Members(); len(all) > 0 {
			return all
		}
	}
	if c := p.listed.Load(); c != nil && !p.stale.Load() {
		if all := c.Members(); len(all) > 0 {
			return all
		}
	}
	return p.roster.Load().Members
}

func (p *peering) epoch() uint64 {
	if n := p.live.Load(); n != nil {
		return n.Epoch()
	}
	return 0
}

// knownEpoch is what others are told with each call; before the database is open it is the
// highest of which this server has heard.
func (s *server) knownEpoch() uint64 {
	if s.peers == nil { // its calls begin later
		return 0
	}
	if e := s.peers.epoch(); e > 0 {
		return e
	}
	f, err := s.folder()
	if err != nil {
		return 0
	}
	return f.Highest
}

// opened tells the port of the database.
func (p *peering) opened(n *cluster.Node) {
	h := n.PeerHandler()
	p.raft.Store(&h)
	p.live.Store(n)
}

func stored(p *atomic.Pointer[http.Handler]) http.Handler {
	if h := p.Load(); h != nil {
		return *h
	}
	return nil
}

// listenPeer opens the port and serves it; what is not there yet is answered with "later".
func (s *server) listenPeer(ctx context.Context, fail func(error), running *stack) error {
	if s.peers == nil {
		return nil
	}
	var err error
	if s.peers.port, err = s.listenTCP("listen.peer", s.Config.Listen.Peer); err != nil {
		return err
	}
	p := s.peers
	server := &peer.Server{
		Allow: p.allow, Role: p.role, Passed: []string{coordinator.Prefix}, Sure: s.sure, Epoch: p.epoch, Raft: func() http.Handler { return stored(&p.raft) }, RaftPaths: cluster.PeerPaths,
		API: func() http.Handler { return stored(&p.api) }, Tell: s.tellEpoch, Testify: s.tellTestimony, Hear: s.hearTestimony, Ahead: s.hearOf, Certificate: p.certificate, Pool: p.pool, Log: s.log.Logger("peer"),
		Hello: s.hello(), Fits: p.fits,
	}
	port := newStage(ctx, fail)
	running.stage(port)
	running.push("close connections to other servers", func() error { p.client.Close(); return nil })
	port.run("peer port", func(ctx context.Context) error { return server.Serve(ctx, p.port) })
	return nil
}

// digest names this server's key in its record.
func (p *peering) digest() string { return pki.KeyDigest(p.spki) }
