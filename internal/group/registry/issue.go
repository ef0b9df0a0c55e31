package registry

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"countersign/internal/group"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// Caller returns the server of group that has the certificate with that name and key. The
// caller has proven with the handshake that it has the key.
func (s *Service) Caller(ctx context.Context, groupName, name, keyDigest string) (Server, error) {
	if keyDigest == "" {
		return Server{}, fmt.Errorf("%w: no certificate of this coordinator", group.ErrNotMember)
	}
	m, rev, err := s.server(ctx, groupName, name)
	if err != nil {
		return Server{}, err
	}
	if rev == 0 || m.Key != keyDigest {
		return Server{}, fmt.Errorf("%w: this coordinator knows no server %s of group %s with that key", group.ErrNotMember, name, groupName)
	}
	return m, nil
}

// IssueRequest asks for a certificate: of the caller's own key anew, or for a server that
// the group admits.
type IssueRequest struct {
	Name      string   `json:"name"`
	Addresses []string `json:"addresses"` // host:port under which it is called
	PublicKey []byte   `json:"public_key"`
}

// Issue issues a certificate (PEM) to a server of the caller's group. That a server is
// admitted is the group's decision; here it is recorded.
func (s *Service) Issue(ctx context.Context, from Server, r IssueRequest) ([]byte, error) {
	if !group.ValidName(r.Name) || len(r.Addresses) > 16 || len(r.PublicKey) > 1024 {
		return nil, fmt.Errorf("%w: request for a certificate", mfa.ErrInvalid)
	}
	digest := pki.KeyDigest(r.PublicKey)
	if r.Name == from.Name && digest != from.Key {
		return nil, fmt.Errorf("%w: server %s has another key on record here", mfa.ErrInvalid, r.Name)
	}
	m, rev, err := s.server(ctx, from.Group, r.Name)
	if err != nil {
		return nil, err
	}
	if rev != 0 && m.Key != digest {
		return nil, fmt.Errorf("a server named %s of group %s is on record here with another key: %w; if it is gone for good, run `countersign group forget %s` on the master", r.Name, from.Group, mfa.ErrExists, r.Name)
	}
	cert, hosts, err := s.issue(ctx, from.Group, r.Name, r.Addresses, r.PublicKey)
	if err != nil {
		return nil, err
	}
	if rev == 0 {
		m = Server{V: schema, Group: from.Group, Name: r.Name, Role: mfa.RoleServer, Key: digest, Added: s.Now().UTC().Truncate(time.Second), By: "server " + from.Name}
	}
	m.Hosts, m.Addresses = hosts, r.Addresses
	b, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	key := serverKey(from.Group, r.Name)
	_, ok, err := s.KV.Commit(ctx, map[string]int64{key: rev}, map[string][]byte{key: b}, nil)
	if err == nil && !ok {
		err = mfa.ErrConflict
	}
	if err != nil {
		return nil, fmt.Errorf("record server %s: %w", r.Name, err)
	}
	s.Log.Info("issued a certificate", "group", from.Group, "server", r.Name, "for", from.Name, "hosts", hosts)
	return cert, nil
}

// issue makes the certificate. The groups have one authority: no server gets a name under
// which a server of another group is called. (A coordinator is told from a server on the
// same machine by the name in its certificate.)
func (s *Service) issue(ctx context.Context, groupName, name string, addresses []string, publicKey []byte) (cert []byte, hosts []string, err error) {
	subject := group.Subject(name, addresses...)
	for _, h := range hostsOf(addresses) {
		if !loopback(h) && !slices.Contains(hosts, h) {
			hosts = append(hosts, h)
		}
	}
	if !slices.Contains(hostsOf(addresses), name) { // a short name may be that of another group's server
		subject.DNS = slices.DeleteFunc(subject.DNS, func(h string) bool { return h == name })
	}
	others, err := s.Servers(ctx, "")
	if err != nil {
		return nil, nil, err
	}
	for _, h := range hosts {
		for _, o := range others {
			if o.Group != groupName && slices.ContainsFunc(o.Hosts, func(x string) bool { return strings.EqualFold(x, h) }) {
				return nil, nil, fmt.Errorf("%s is an address of server %s of group %s: %w; correct advertise.* in the node file, or retire that server with `countersign coordinator retire %s/%s`", h, o.Name, o.Group, mfa.ErrExists, o.Group, o.Name)
			}
		}
	}
	cert, err = s.CA.IssueFor(subject, publicKey, s.Now())
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	return cert, hosts, nil
}

// certificatePrefix begins the name in a coordinator's own certificate: no server can have
// such a name.
const certificatePrefix = "coordinator "

// OwnCertificate issues the certificate that the coordinator shows.
func (s *Service) OwnCertificate(now time.Time) (pki.Pair, error) {
	subject := group.Subject(s.Name, s.Addresses...)
	subject.Name = certificatePrefix + s.Name
	return s.CA.Issue(subject, now)
}

// CertifyColleague issues a certificate (PEM) for the peer port of the coordinator called
// name, which is reached at addresses, to its key (DER).
func (s *Service) CertifyColleague(name string, addresses []string, publicKey []byte) ([]byte, error) {
	subject := group.Subject(name, addresses...)
	subject.Name = certificatePrefix + name
	cert, err := s.CA.IssueFor(subject, publicKey, s.Now())
	if err != nil {
		return nil, fmt.Errorf("%w: %w", mfa.ErrInvalid, err)
	}
	return cert, nil
}

// IsCoordinator reports whether a certificate of the CA is a coordinator's.
func IsCoordinator(cert *x509.Certificate) bool {
	return strings.HasPrefix(cert.Subject.CommonName, certificatePrefix)
}

func hostsOf(addresses []string) (all []string) {
	for _, a := range addresses {
		if host, _, err := net.SplitHostPort(a); err == nil && host != "" {
			all = append(all, host)
		}
	}
	return all
}

// loopback reports whether a host means the machine that asks.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
