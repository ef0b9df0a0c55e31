package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"countersign/internal/secret"
)

// Subject is whom a certificate is for. At least one of DNS and IPs must be set.
type Subject struct {
	Name string // of the server, for people
	DNS  []string
	IPs  []netip.Addr
}

// Pair is a certificate with its key, both PEM.
type Pair struct {
	CertPEM []byte
	KeyPEM  secret.Text
}

// Issue makes a key and a certificate for it: server and client authentication, 90 days
// from now, never longer than the CA itself.
func (c CA) Issue(s Subject, now time.Time) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, fmt.Errorf("pki: make key: %w", err)
	}
	der, err := c.issue(s, key.Public(), now)
	if err != nil {
		return Pair{}, err
	}
	return pair(der, key)
}

// IssueFor does so for a key made elsewhere: spki is its public half, an ECDSA key on
// P-256 in DER (RFC 5280 SubjectPublicKeyInfo). It returns the certificate in PEM.
func (c CA) IssueFor(s Subject, spki []byte, now time.Time) ([]byte, error) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrMalformed, err)
	}
	if e, ok := key.(*ecdsa.PublicKey); !ok || e.Curve != elliptic.P256() {
		return nil, fmt.Errorf("%w: public key: not ECDSA on P-256", ErrMalformed)
	}
	der, err := c.issue(s, key, now)
	if err != nil {
		return nil, err
	}
	return certPEM(der), nil
}

// NewKey makes a key for a certificate: the private half as PEM, the public one as DER.
func NewKey() (private secret.Text, spki []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("pki: make key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err == nil {
		spki, err = x509.MarshalPKIXPublicKey(key.Public())
	}
	if err != nil {
		return secret.Text{}, nil, fmt.Errorf("pki: marshal key: %w", err)
	}
	return secret.New(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), spki, nil
}

// PublicKey returns the public half, in DER, of a private key that NewKey has made.
func PublicKey(private secret.Text) ([]byte, error) {
	der, err := block(private.Expose(), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, ErrMalformed // the cause could quote the key
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: not an ECDSA key", ErrMalformed)
	}
	return x509.MarshalPKIXPublicKey(key.Public())
}

// KeyDigest names a public key (DER): its SHA-256 in 64 hexadecimal digits.
func KeyDigest(spki []byte) string {
	d := sha256.Sum256(spki)
	return hex.EncodeToString(d[:])
}

// issue signs a certificate for a public key and returns it in DER.
func (c CA) issue(s Subject, key crypto.PublicKey, now time.Time) ([]byte, error) {
	if c.cert == nil || c.key == nil {
		return nil, errors.New("pki: no CA to issue with")
	}
	if len(s.DNS) == 0 && len(s.IPs) == 0 {
		return nil, fmt.Errorf("pki: certificate for %q has neither a host name nor an address", s.Name)
	}
	now = now.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: s.Name, Organization: c.cert.Subject.Organization},
		DNSNames:              s.DNS,
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(leafLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	if template.NotAfter.After(c.cert.NotAfter) {
		template.NotAfter = c.cert.NotAfter
	}
	if !now.Before(template.NotAfter) {
		return nil, fmt.Errorf("pki: the group's CA expired on %s", c.cert.NotAfter.Format(time.DateOnly))
	}
	for _, ip := range s.IPs {
		template.IPAddresses = append(template.IPAddresses, net.IP(ip.Unmap().WithZone("").AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, c.cert, key, c.key)
	if err != nil {
		return nil, fmt.Errorf("pki: sign certificate for %q: %w", s.Name, err)
	}
	return der, nil
}

func pair(certDER []byte, key *ecdsa.PrivateKey) (Pair, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("pki: marshal key: %w", err)
	}
	return Pair{CertPEM: certPEM(certDER), KeyPEM: secret.New(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))}, nil
}

// TLS returns the pair for a listener or a dialler.
func (p Pair) TLS() (tls.Certificate, error) {
	cert, key, err := parsePair(p.CertPEM, p.KeyPEM.Expose())
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// Certificate returns the parsed certificate.
func (p Pair) Certificate() (*x509.Certificate, error) { return parseCert(p.CertPEM) }

// Due reports whether a certificate should be renewed at now: two thirds of its life
// are over.
func Due(c *x509.Certificate, now time.Time) bool {
	return now.After(c.NotAfter.Add(-c.NotAfter.Sub(c.NotBefore) / 3))
}

// Verify checks that cert is one of this CA's for host (a name or an address) at now.
func (c CA) Verify(cert *x509.Certificate, host string, now time.Time) error {
	_, err := cert.Verify(x509.VerifyOptions{Roots: c.Pool(), DNSName: host, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	if err != nil {
		return fmt.Errorf("pki: certificate of %q: %w", cert.Subject.CommonName, err)
	}
	return nil
}

// block returns the first PEM block of a type.
func block(b []byte, kind string) ([]byte, error) {
	for {
		var p *pem.Block
		if p, b = pem.Decode(b); p == nil {
			return nil, fmt.Errorf("%w: no PEM block %q", ErrMalformed, kind)
		}
		if p.Type == kind {
			return p.Bytes, nil
		}
	}
}

func parseCert(b []byte) (*x509.Certificate, error) {
	der, err := block(b, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return cert, nil
}

// parsePair reads a certificate and the key that belongs to it.
func parsePair(certs, keys []byte) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	cert, err := parseCert(certs)
	if err != nil {
		return nil, nil, err
	}
	der, err := block(keys, "PRIVATE KEY")
	if err != nil {
		return nil, nil, err
	}
	any, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, ErrMalformed // the cause could quote the key
	}
	key, ok := any.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%w: not an ECDSA key", ErrMalformed)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, nil, ErrMismatch
	}
	return cert, key, nil
}

// VerifyCaller checks the chain of the certificate that a client has shown, if it has shown
// one, as it was while that was valid, and reports whether it has expired by now.
func VerifyCaller(c tls.ConnectionState, roots *x509.CertPool, now time.Time) (expired bool, err error) {
	if len(c.PeerCertificates) == 0 {
		return false, nil
	}
	leaf := c.PeerCertificates[0]
	if expired = now.After(leaf.NotAfter); expired {
		now = leaf.NotAfter
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return expired, err
}
