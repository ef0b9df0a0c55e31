package group

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// Certify issues a new certificate (PEM) for the key that server name is on record with:
// for a witness, which cannot open the CA's key. On the master; where there is none, on any
// server that has the keys, because the witness may be the vote that a master needs, and
// nobody listens to it until its certificate is renewed. One that was taken out meanwhile gains
// nothing by it: only keys on record open the port.
func (s *Service) Certify(ctx context.Context, name string, publicKey []byte) ([]byte, error) {
	if !s.Cluster.Leads() && s.Cluster.Master() != "" {
		return nil, ErrNotMaster
	}
	if s.Witness {
		return nil, errWitness
	}
	m, err := s.member(name)
	if err != nil {
		return nil, err
	}
	if pki.KeyDigest(publicKey) != m.Key {
		return nil, fmt.Errorf("%w: certificate for server %s: the key is not the one on record", mfa.ErrInvalid, name)
	}
	ca, err := s.CA(ctx)
	if err != nil {
		return nil, err
	}
	cert, err := ca.Issue(ctx, m.Name, []string{m.Peer, m.HTTPS, m.Coordinator}, publicKey)
	if err != nil {
		return nil, err
	}
	s.Log.Info("a certificate was renewed", "server", name)
	return cert, nil
}
