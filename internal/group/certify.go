package group

import (
	"context"
	"fmt"

	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// Certify issues a new certificate (PEM) for the key that server name is on record with:
// for a witness, which cannot open the CA's key. On the master only.
func (s *Service) Certify(ctx context.Context, name string, publicKey []byte) ([]byte, error) {
	if !s.Cluster.Leads() {
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
