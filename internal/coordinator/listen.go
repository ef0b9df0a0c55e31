package coordinator

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// ServerTLS is what an independent coordinator listens with. Strangers come without a
// certificate; who shows one must have it from ca. One that has expired gets as far as
// Independent, which looks for its key on record, renews it and refuses all else: otherwise a group that was without its
// coordinator, or switched off, for longer than its certificates last could never go on.
func ServerTLS(ca *x509.Certificate, shown func() *tls.Certificate) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"}, ClientAuth: tls.RequestClientCert,
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return shown(), nil },
		VerifyConnection: func(s tls.ConnectionState) error { _, err := pki.VerifyCaller(s, roots, time.Now()); return err }}
}

// current refuses a caller whose certificate has expired everything but path PathIssue, and
// ends its connection, so that it comes again with a new one.
func (c caller) current(w http.ResponseWriter, path string) error {
	if !c.expired {
		return nil
	}
	w.Header().Set("Connection", "close")
	if path == PathIssue {
		return nil
	}
	return fmt.Errorf("the certificate of server %.64q has expired; it is to have that renewed first, which it does by itself: %w", c.name, mfa.ErrUnavailable)
}
