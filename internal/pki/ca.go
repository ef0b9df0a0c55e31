// Package pki is the group's own certificate authority: it makes the authority, issues
// certificates to the group's servers and checks them. It is pure: time comes in as an
// argument, keys and certificates go in and out as bytes. Randomness is that of
// crypto/rand.
package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"countersign/internal/secret"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour
	// backdate lets a certificate pass on a machine whose clock is a little behind.
	backdate = 5 * time.Minute
	// noDomain is what mail addresses and URIs are constrained to: nothing that exists
	// (RFC 6761 section 6.4), so that whoever trusts this CA trusts it for hosts only.
	noDomain = "invalid"
)

// Sentinels that callers branch on.
var (
	// ErrMalformed: bytes that nothing here has written.
	ErrMalformed = errors.New("pki: malformed key or certificate")
	// ErrMismatch: the key does not belong to the certificate.
	ErrMismatch = errors.New("pki: the private key does not belong to the certificate")
)

// CA is a certificate authority. The zero CA issues nothing.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewCA makes the authority of a group: ECDSA P-256, valid from now for ten years,
// for no further authority below it and for no mail addresses or URIs.
func NewCA(group string, now time.Time) (CA, error) {
	if group == "" {
		return CA{}, errors.New("pki: a CA needs the name of its group")
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return CA{}, fmt.Errorf("pki: make CA key: %w", err)
	}
	now = now.UTC().Truncate(time.Second)
	template := &x509.Certificate{
		Subject:                     pkix.Name{CommonName: "Countersign CA of " + group, Organization: []string{group}},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.Add(caLife),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true,
		PermittedEmailAddresses:     []string{noDomain},
		PermittedURIDomains:         []string{noDomain},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return CA{}, fmt.Errorf("pki: sign CA certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return CA{}, fmt.Errorf("pki: read back CA certificate: %w", err)
	}
	return CA{cert: cert, key: key}, nil
}

// Certificate returns the CA's own certificate; nil for the zero CA.
func (c CA) Certificate() *x509.Certificate { return c.cert }

// CertificatePEM returns the certificate that clients are to trust.
func (c CA) CertificatePEM() []byte { return certPEM(c.cert.Raw) }

// Pool returns a pool with this CA alone.
func (c CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	if c.cert != nil {
		p.AddCert(c.cert)
	}
	return p
}

// Marshal returns certificate and key in PEM, to be sealed.
func (c CA) Marshal() (secret.Text, error) {
	p, err := pair(c.cert.Raw, c.key)
	if err != nil {
		return secret.Text{}, err
	}
	return secret.New(append(bytes.Clone(p.CertPEM), p.KeyPEM.Expose()...)), nil
}

// ParseCA reads what Marshal returned. The error wraps ErrMalformed or ErrMismatch.
func ParseCA(t secret.Text) (CA, error) {
	cert, key, err := parsePair(t.Expose(), t.Expose())
	if err != nil {
		return CA{}, err
	}
	if !cert.IsCA || !cert.BasicConstraintsValid || cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return CA{}, fmt.Errorf("%w: not the certificate of an authority", ErrMalformed)
	}
	return CA{cert: cert, key: key}, nil
}

// CertificatePEM writes a certificate in PEM.
func CertificatePEM(c *x509.Certificate) []byte { return certPEM(c.Raw) }

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
