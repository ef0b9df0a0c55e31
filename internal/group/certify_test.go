package group

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// onlyMembers is a Store of which nothing else is asked.
type onlyMembers struct {
	Store
	members []mfa.Member
}

func (o onlyMembers) Members() []mfa.Member { return o.members }

// leading is a Cluster of which nothing else is asked.
type leading struct {
	Cluster
	leads  bool
	master string
}

func (l leading) Leads() bool    { return l.leads }
func (l leading) Master() string { return l.master }

// issuer is an Issuer with its key at hand.
type issuer struct{ pki.CA }

func (i issuer) Issue(_ context.Context, name string, addresses []string, publicKey []byte) ([]byte, error) {
	return i.IssueFor(Subject(name, addresses...), publicKey, time.Now())
}

// The master renews the certificate of a witness, for the key and the addresses on record
// only; a witness that leads issues none.
func TestCertify(t *testing.T) {
	ca, err := pki.NewCA("corp", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string][]byte{}
	for _, name := range []string{"w1", "other"} {
		if _, keys[name], err = pki.NewKey(); err != nil {
			t.Fatal(err)
		}
	}
	store := onlyMembers{members: []mfa.Member{{Name: "n1", Role: mfa.RoleServer}, {Name: "w1", Role: mfa.RoleWitness, Peer: "w1.corp.example:7443", Key: pki.KeyDigest(keys["w1"])}}}
	s := &Service{Server: "n1", Store: store, Cluster: leading{leads: true}, CA: func(context.Context) (Issuer, error) { return issuer{ca}, nil }, Now: time.Now,
		Log: slog.New(slog.DiscardHandler)}
	text, err := s.Certify(t.Context(), "w1", keys["w1"])
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(text)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || ca.Verify(cert, "w1.corp.example", time.Now()) != nil || pki.KeyDigest(cert.RawSubjectPublicKeyInfo) != store.members[1].Key {
		t.Errorf("certificate %v, %v", cert, err)
	}
	if _, err := s.Certify(t.Context(), "w1", keys["other"]); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("another key: %v", err)
	}
	if _, err := s.Certify(t.Context(), "w2", keys["w1"]); !errors.Is(err, mfa.ErrNotFound) {
		t.Errorf("nobody's name: %v", err)
	}
	s.Cluster = leading{} // no master: the vote of the witness may be what is missing
	if _, err := s.Certify(t.Context(), "w1", keys["w1"]); err != nil {
		t.Errorf("without a master: %v", err)
	}
	s.Cluster = leading{master: "n2"}
	if _, err := s.Certify(t.Context(), "w1", keys["w1"]); !errors.Is(err, ErrNotMaster) {
		t.Errorf("not the master: %v", err)
	}
	s.Cluster, s.Witness = leading{leads: true}, true
	if _, err := s.Certify(t.Context(), "w1", keys["w1"]); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a witness issues: %v", err)
	}
}

// The last server with the group's keys cannot be taken out.
func TestKeepsKeys(t *testing.T) {
	server, witness := mfa.Member{Name: "n1", Role: mfa.RoleServer}, mfa.Member{Name: "w1", Role: mfa.RoleWitness}
	s := &Service{Store: onlyMembers{members: []mfa.Member{server, witness}}}
	if err := s.keepsKeys(server); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("the last server: %v", err)
	}
	if err := s.keepsKeys(witness); err != nil {
		t.Errorf("a witness: %v", err)
	}
	s.Store = onlyMembers{members: []mfa.Member{server, witness, {Name: "n2", Role: mfa.RoleServer}}}
	if err := s.keepsKeys(server); err != nil {
		t.Errorf("one of two servers: %v", err)
	}
}
