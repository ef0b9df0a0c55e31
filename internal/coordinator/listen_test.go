package coordinator

import (
	"crypto/tls"
	"errors"
	"testing"
	"time"

	"countersign/internal/group"
	"countersign/internal/group/registry"
	"countersign/internal/mfa"
	"countersign/internal/pki"
)

// A server whose certificate has expired, as all of a group's have that was switched off for
// long, has it renewed, and nothing else done until then; on the very connections that it has.
func TestExpiredCertificateIsRenewed(t *testing.T) {
	r := newRig(t)
	m, _ := r.founded("a")
	r.Now = func() time.Time { return time.Now().AddDate(0, 0, -91) }
	cert, err := r.link(m, "a").Issue(t.Context(), registry.IssueRequest{Name: "n1", PublicKey: m.request.PublicKey})
	if err != nil {
		t.Fatal(err)
	}
	r.Now = time.Now
	use := func(pem []byte) *tls.Certificate {
		t.Helper()
		c, err := tls.X509KeyPair(pem, m.private.Expose())
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}
	now := use(cert)
	if !now.Leaf.NotAfter.Before(time.Now()) {
		t.Fatalf("the certificate is good until %s", now.Leaf.NotAfter)
	}
	l := NewLink("a", []string{r.url}, r.CA.Certificate(), func() (*tls.Certificate, error) { return now, nil })
	t.Cleanup(l.Close)
	if _, _, err := l.Report(t.Context(), beat("n1", "a", 1)); !errors.Is(err, mfa.ErrUnavailable) || errors.Is(err, group.ErrNotMember) {
		t.Errorf("a report with a certificate that has expired: %v", err)
	}
	if cert, err = l.Issue(t.Context(), registry.IssueRequest{Name: "n1", PublicKey: m.request.PublicKey}); err != nil {
		t.Fatalf("renewed: %v", err)
	}
	if now = use(cert); time.Until(now.Leaf.NotAfter) < 24*time.Hour {
		t.Errorf("renewed until %s", now.Leaf.NotAfter)
	}
	if _, _, err := l.Report(t.Context(), beat("n1", "a", 1)); err != nil {
		t.Errorf("a report with the new certificate: %v", err)
	}
	// Of another authority, expired or not, it opens nothing.
	other, err := pki.NewCA("x", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{time.Now(), time.Now().AddDate(0, 0, -91)} {
		pair, err := other.Issue(pki.Subject{Name: "n1", DNS: []string{"n1"}}, at)
		if err != nil {
			t.Fatal(err)
		}
		foreign := r.pair(pair)
		l := NewLink("a", []string{r.url}, r.CA.Certificate(), func() (*tls.Certificate, error) { return &foreign, nil })
		if _, err := l.Issue(t.Context(), registry.IssueRequest{Name: "n1", PublicKey: m.request.PublicKey}); err == nil || errors.Is(err, group.ErrNotMember) {
			t.Errorf("a certificate of another CA: %v", err)
		}
		l.Close()
	}
}
