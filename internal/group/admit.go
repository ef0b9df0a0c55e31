package group

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"countersign/internal/membership"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// MaxCodeLife is the longest life of an activation code.
const MaxCodeLife = 24 * time.Hour

var (
	// ErrNotMaster: ask the master.
	ErrNotMaster = errors.New("this server is not the group's master")
	// ErrVotesAway: the database takes in no member, and lets none with a vote go, while so
	// few of its voters answer.
	ErrVotesAway error = remote{"too few votes answer to change the members", mfa.ErrInvalid}
	// ErrStranger: the caller tells a later epoch, but is on no record of this one, so that it
	// is not believed: it may send what servers that are have signed (peer.PathTestimony).
	ErrStranger = fmt.Errorf("%w: a server of a later epoch is not on record here", mfa.ErrUnavailable)
	// ErrNotMember: the caller has a certificate of the group, but no server on record its key.
	ErrNotMember = errors.New("the key of this certificate is that of no server of the group")
)

var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// Service carries out the use cases on this server. All exported fields must be set; it
// is safe for concurrent use.
type Service struct {
	Server  string // this server's name
	Witness bool   // this server is one: it has no keys, and admits nobody
	// Coordinators: this is no group of servers but that of the coordinators themselves, which
	// have verbs of their own.
	Coordinators bool
	Store        Store
	Cluster      Cluster
	Peers        Peers
	CA           CA
	Outside      Outside // nil: the coordinator is the group's own
	Trail        Recorder
	Now          func() time.Time
	Log          *slog.Logger

	changing sync.Mutex       // held while votes are given or taken
	quiet    time.Time        // until then none is taken: who has asked for something is being answered; under changing
	votes    membership.Watch // under changing
}

// Preview is what an activation code admits to, shown before it is used.
type Preview struct {
	Group   string    `json:"group"`
	Epoch   uint64    `json:"epoch"`
	Master  string    `json:"master"`
	Servers []string  `json:"servers"`
	Users   int       `json:"users"`
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
	By      string    `json:"by"` // who made the code
}

// Grant is the answer to an admission.
type Grant struct {
	Preview
	Certificate []byte       `json:"certificate"` // PEM
	Members     []mfa.Member `json:"members"`
	// Coordinators are the addresses (host:port) of the independent coordinator that the
	// group uses; none: the group is its own.
	Coordinators []string `json:"coordinators,omitempty"`
}

// CreateCode makes a single-use code that admits one server. Any server may make it.
func (s *Service) CreateCode(ctx context.Context, by, role string, life time.Duration) (text string, expires time.Time, err error) {
	if err := s.admitsRole(role); err != nil {
		return "", expires, err
	}
	if s.Witness {
		return "", expires, errWitness
	}
	if life <= 0 || life > MaxCodeLife {
		return "", expires, fmt.Errorf("%w: a code lives for at most %s", mfa.ErrInvalid, MaxCodeLife)
	}
	urls, err := s.coordinators()
	if err != nil {
		return "", expires, err
	}
	ca, err := s.CA(ctx)
	if err != nil {
		return "", expires, err
	}
	a, err := NewActivation()
	if err != nil {
		return "", expires, err
	}
	a.CA, a.Group, a.Role, a.Coordinators = sha256.Sum256(ca.Certificate().Raw), s.Cluster.Group(), role, urls
	expires = s.Now().Add(life).UTC().Truncate(time.Second)
	if s.Outside != nil {
		if err := s.Outside.Announce(ctx, a.ID, expires); err != nil {
			return "", expires, fmt.Errorf("the coordinator must know of the code, or it sends the new server away: %w", err)
		}
	}
	err = s.Store.CreateJoinCode(ctx, Code{ID: a.ID, Role: role, Expires: expires, By: by, Secret: a.Secret})
	if err != nil {
		return "", expires, err
	}
	return a.String(), expires, s.record(ctx, by, "activation create", a.ID, role)
}

func (s *Service) admitsRole(role string) error {
	switch {
	case s.Coordinators && role != mfa.RoleCoordinator:
		return fmt.Errorf("%w: role %q: want %q", mfa.ErrInvalid, role, mfa.RoleCoordinator)
	case !s.Coordinators && role != mfa.RoleServer && role != mfa.RoleWitness:
		return fmt.Errorf("%w: role %q: want %q or %q", mfa.ErrInvalid, role, mfa.RoleServer, mfa.RoleWitness)
	}
	return nil
}

// newCode is the verb that makes a code, and forget the one that takes a server out.
func (s *Service) newCode() string {
	if s.Coordinators {
		return "`countersign coordinator activation create --coordinator`"
	}
	return "`countersign group activation create`"
}

func (s *Service) forget(name string) string {
	if s.Coordinators {
		return "`countersign coordinator forget " + name + "` at another coordinator"
	}
	return "`countersign group forget " + name + "` on the master"
}

// coordinators are the addresses that a new server asks.
func (s *Service) coordinators() (urls []string, err error) {
	if s.Outside != nil {
		return s.Outside.Addresses(), nil
	}
	for _, m := range s.Store.Members() {
		if m.Coordinator != "" && len(urls) < maxCodeURLs {
			urls = append(urls, m.Coordinator)
		}
	}
	if len(urls) == 0 {
		return nil, fmt.Errorf("%w: no server of this group has a coordinator port that a new server could ask: set listen.peer and listen.coordinator in the node file and restart the server", mfa.ErrInvalid)
	}
	return urls, nil
}

// errWitness: only a server with the group's keys opens codes, and issues certificates.
var errWitness = fmt.Errorf("this server is a witness and has none of the group's keys; ask one of the group's other servers, or try again in a moment: %w", mfa.ErrUnavailable)

// Preview says what the code of r admits to: a proven Preview. On the master only.
func (s *Service) Preview(ctx context.Context, r Request) (Proven, error) {
	if err := r.Check(); err != nil {
		return Proven{}, err
	}
	if !s.Cluster.Leads() {
		return Proven{}, ErrNotMaster
	}
	if s.Witness {
		return Proven{}, errWitness
	}
	code, err := s.admits(ctx, &r)
	if err != nil {
		return Proven{}, err
	}
	return Prove(code.Secret, &r, KindPreview, s.preview(code))
}

// admits returns the code of r if it admits r as things are.
func (s *Service) admits(ctx context.Context, r *Request) (Code, error) {
	code, err := s.Store.JoinCode(ctx, r.Code)
	used := errors.Is(err, mfa.ErrNotFound)
	if used {
		code, err = s.Store.UsedCode(ctx, r.Code)
	}
	if errors.Is(err, mfa.ErrNotFound) {
		return Code{}, s.errUsed()
	}
	if err != nil {
		return Code{}, err
	}
	var before *mfa.Member
	for _, m := range s.Store.Members() {
		if m.Name == r.Name {
			before = &m
		}
	}
	if used && !(before != nil && before.Same(s.memberOf(r))) {
		return Code{}, s.errUsed()
	}
	return code, s.admissible(r, code, before)
}

// memberOf is the record of the server that asks with r.
func (s *Service) memberOf(r *Request) mfa.Member {
	return r.member(pki.KeyDigest(r.PublicKey), "activation "+r.Code)
}

func (s *Service) preview(c Code) Preview {
	p := Preview{Group: s.Cluster.Group(), Epoch: s.Cluster.Epoch(), Master: s.Cluster.Master(), Users: s.Store.CountUsers(),
		Role: c.Role, Expires: c.Expires, By: c.By}
	for _, m := range s.Store.Members() {
		p.Servers = append(p.Servers, m.Name)
	}
	return p
}

// errUsed tells no more to who has only guessed an id.
func (s *Service) errUsed() error {
	return fmt.Errorf("%w: this activation code is not known: it was used, or it has expired; make another with %s", mfa.ErrInvalid, s.newCode())
}

// Activate admits a server: its record, the keyset wrapped to its key, a certificate; the
// answer is a proven Grant. On the master only. The code is used up by it.
func (s *Service) Activate(ctx context.Context, r Request) (Proven, error) {
	if err := r.Check(); err != nil {
		return Proven{}, err
	}
	if !s.Cluster.Leads() {
		return Proven{}, ErrNotMaster
	}
	if s.Witness {
		return Proven{}, errWitness
	}
	ca, err := s.CA(ctx)
	if err != nil {
		return Proven{}, err
	}
	if _, err := s.admits(ctx, &r); err != nil { // before anything is done for who may only have guessed an id
		return Proven{}, err
	}
	cert, err := ca.Issue(ctx, r.Name, []string{r.Peer, r.HTTPS, r.Coordinator}, r.PublicKey)
	if err != nil {
		return Proven{}, err
	}
	m := s.memberOf(&r)
	m.Joined = s.Now().UTC().Truncate(time.Second)
	var used Code
	err = s.Store.Admit(ctx, r.Code, m, func(c Code, before *mfa.Member) error {
		used = c
		return s.admissible(&r, c, before)
	})
	if errors.Is(err, mfa.ErrNotFound) {
		return Proven{}, s.errUsed()
	}
	if err != nil {
		return Proven{}, err
	}
	s.Log.Info("a server was admitted to the group", "server", r.Name, "peer", r.Peer, "code", r.Code, "code_by", used.By)
	g := Grant{Preview: s.preview(used), Certificate: cert, Members: s.Store.Members()}
	if s.Outside != nil {
		g.Coordinators = s.Outside.Addresses()
	}
	if !slices.ContainsFunc(g.Members, func(o mfa.Member) bool { return o.Name == m.Name }) {
		g.Members = append(g.Members, m) // the view is a moment behind
	}
	answer, err := Prove(used.Secret, &r, KindGrant, g)
	return answer, errors.Join(err, s.record(ctx, used.By, "server admit", r.Name, "by activation code "+r.Code))
}

// admissible checks that the code admits r.
func (s *Service) admissible(r *Request, c Code, before *mfa.Member) error {
	switch {
	case !r.Proven(c.Secret): // before all that tells something
		return s.errUsed()
	case s.Now().After(c.Expires):
		return fmt.Errorf("%w: this activation code expired at %s; make another with %s", mfa.ErrInvalid, c.Expires.Format(time.RFC3339), s.newCode())
	case r.Role != c.Role:
		return fmt.Errorf("%w: this activation code is for a %s, not for a %s", mfa.ErrInvalid, c.Role, r.Role)
	case before != nil && before.Key != pki.KeyDigest(r.PublicKey):
		return fmt.Errorf("a server named %s is in the group already: %w; set another name in this machine's node file, or run %s if that server is gone for good", r.Name, mfa.ErrExists, s.forget(r.Name))
	}
	for _, m := range s.Store.Members() {
		if m.Peer == r.Peer && m.Name != r.Name {
			return fmt.Errorf("the peer address %s is that of server %s: %w; correct advertise.peer or listen.peer", r.Peer, m.Name, mfa.ErrExists)
		}
	}
	return nil
}

// Check refuses what is not even a request.
func (r *Request) Check() error {
	bad := func(what string) error { return fmt.Errorf("%w: %s", mfa.ErrInvalid, what) }
	switch {
	case len(r.Code) != 2*codeIDSize || strings.Trim(r.Code, "0123456789abcdef") != "":
		return bad("the request names no activation code")
	case !nameRE.MatchString(r.Name):
		return bad("name: want 1 to 63 letters, digits, dots and hyphens")
	case len(r.Sign) != ed25519.PublicKeySize:
		return bad("sign: not an Ed25519 key")
	case !address(r.Peer):
		return bad("peer: want host:port as the other servers reach it")
	case r.HTTPS != "" && !address(r.HTTPS), r.Coordinator != "" && !address(r.Coordinator):
		return bad("https or coordinator: want host:port")
	case (r.Role == mfa.RoleWitness) != (r.Wrap == ""):
		return bad("wrap: a server names the key that the group's keys are wrapped to, a witness none")
	case r.Role == mfa.RoleWitness && r.HTTPS != "":
		return bad("https: a witness has no such port")
	case len(r.PublicKey) > 1024, len(r.Wrap) > 256, len(r.Version) > 64:
		return bad("a field is too long")
	}
	return nil
}

// address reports whether others can call s.
func address(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || port == "" || port == "0" || len(s) > 255 {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err != nil || !ip.IsUnspecified()
}

// Subject is whom the certificate of a server is made out to: its name and the hosts of
// its addresses.
func Subject(name string, addresses ...string) pki.Subject {
	s := pki.Subject{Name: name}
	add := func(host string) {
		if ip, err := netip.ParseAddr(host); err == nil {
			if ip = ip.Unmap().WithZone(""); !ip.IsUnspecified() && !slices.Contains(s.IPs, ip) {
				s.IPs = append(s.IPs, ip)
			}
		} else if host != "" && !slices.Contains(s.DNS, host) {
			s.DNS = append(s.DNS, host)
		}
	}
	add("localhost")
	add("127.0.0.1")
	add("::1")
	add(name)
	for _, a := range addresses {
		if host, _, err := net.SplitHostPort(a); err == nil {
			add(host)
		}
	}
	return s
}

func (s *Service) record(ctx context.Context, by, verb, object, detail string) error {
	act := mfa.Act{Time: s.Now(), Server: s.Server, By: by, Verb: verb, Object: object, Detail: detail}
	if err := s.Trail.Append(context.WithoutCancel(ctx), mfa.Record{Act: &act}); err != nil {
		return fmt.Errorf("%s %s was done, but could not be recorded in the trail: %w", verb, object, err)
	}
	return nil
}
