package pki

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfatest"
	"countersign/internal/secret"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 999, time.UTC)

func newCA(t *testing.T) CA {
	t.Helper()
	ca, err := NewCA("corp", now)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func issue(t *testing.T, ca CA, at time.Time) Pair {
	t.Helper()
	p, err := ca.Issue(Subject{Name: "nyc1", DNS: []string{"localhost", "nyc1.example.net"},
		IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1"), netip.MustParseAddr("::ffff:10.0.0.1")}}, at)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestIssueAndVerify(t *testing.T) {
	ca := newCA(t)
	p := issue(t, ca, now)
	cert, err := p.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	for _, c := range []struct {
		name, host string
		at         time.Time
		ok         bool
	}{
		{"name", "nyc1.example.net", now, true},
		{"localhost", "localhost", now, true},
		{"IPv4", "127.0.0.1", now, true},
		{"IPv6", "::1", now, true},
		{"IPv4 that came mapped", "10.0.0.1", now, true},
		{"other name", "nyc2.example.net", now, false},
		{"other address", "10.0.0.2", now, false},
		{"a little before", "localhost", now.Add(-4 * time.Minute), true},
		{"long before", "localhost", now.Add(-time.Hour), false},
		{"last day", "localhost", now.Add(89 * day), true},
		{"expired", "localhost", now.Add(91 * day), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := ca.Verify(cert, c.host, c.at); (err == nil) != c.ok {
				t.Errorf("got %v, want ok=%v", err, c.ok)
			}
		})
	}
	if err := newCA(t).Verify(cert, "localhost", now); err == nil {
		t.Error("another CA of the same name verifies it")
	}
	if cert.PublicKeyAlgorithm != x509.ECDSA || cert.IsCA || len(cert.ExtKeyUsage) != 2 {
		t.Errorf("certificate is %v, CA %v, usages %v", cert.PublicKeyAlgorithm, cert.IsCA, cert.ExtKeyUsage)
	}
}

func TestDue(t *testing.T) {
	cert, _ := issue(t, newCA(t), now).Certificate()
	for days, want := range map[int]bool{0: false, 59: false, 61: true, 200: true} {
		if got := Due(cert, now.AddDate(0, 0, days)); got != want {
			t.Errorf("after %d days: %v, want %v", days, got, want)
		}
	}
}

func TestIssueStaysInsideTheCA(t *testing.T) {
	ca := newCA(t)
	late := ca.Certificate().NotAfter.Add(-24 * time.Hour)
	cert, _ := issue(t, ca, late).Certificate()
	if !cert.NotAfter.Equal(ca.Certificate().NotAfter) {
		t.Errorf("ends %v, the CA %v", cert.NotAfter, ca.Certificate().NotAfter)
	}
	if _, err := ca.Issue(Subject{Name: "x", DNS: []string{"x"}}, late.AddDate(1, 0, 0)); err == nil {
		t.Error("an expired CA issues")
	}
	for name, c := range map[string]CA{"zero": {}, "good": ca} {
		if _, err := c.Issue(Subject{Name: "x"}, now); err == nil {
			t.Errorf("%s CA: issued for nobody", name)
		}
	}
}

// The CA's constraints hold: no authority below it, no mail addresses, no URIs.
func TestConstraints(t *testing.T) {
	ca := newCA(t)
	sign := func(template *x509.Certificate) error {
		template.NotBefore, template.NotAfter = now, now.Add(time.Hour)
		leaf, _ := issue(t, ca, now).Certificate()
		der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, leaf.PublicKey, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		_, err = cert.Verify(x509.VerifyOptions{Roots: ca.Pool(), CurrentTime: now.Add(time.Minute), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
		return err
	}
	u, _ := url.Parse("https://example.net/")
	if err := sign(&x509.Certificate{DNSNames: []string{"a.example.net"}}); err != nil {
		t.Errorf("host name: %v", err)
	}
	if err := sign(&x509.Certificate{EmailAddresses: []string{"root@example.net"}}); err == nil {
		t.Error("mail address passes")
	}
	if err := sign(&x509.Certificate{URIs: []*url.URL{u}}); err == nil {
		t.Error("URI passes")
	}
	if !ca.cert.MaxPathLenZero || ca.cert.MaxPathLen != 0 {
		t.Error("path length is not 0")
	}
}

func TestMarshal(t *testing.T) {
	ca := newCA(t)
	text, err := ca.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseCA(text)
	if err != nil || !again.cert.Equal(ca.cert) || !again.key.Equal(ca.key) {
		t.Fatalf("round trip: %v", err)
	}
	cert, _ := issue(t, again, now).Certificate()
	if err := ca.Verify(cert, "localhost", now); err != nil {
		t.Error(err)
	}

	leaf := issue(t, ca, now)
	other := issue(t, ca, now)
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"empty":         {nil, ErrMalformed},
		"rubbish":       {[]byte("rubbish"), ErrMalformed},
		"no key":        {ca.CertificatePEM(), ErrMalformed},
		"leaf":          {append(append([]byte{}, leaf.CertPEM...), leaf.KeyPEM.Expose()...), ErrMalformed},
		"key of others": {append(append([]byte{}, ca.CertificatePEM()...), other.KeyPEM.Expose()...), ErrMismatch},
		"half":          {text.Expose()[:text.Len()/2], ErrMalformed},
	} {
		if _, err := ParseCA(secret.New(c.in)); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	if _, err := (Pair{CertPEM: leaf.CertPEM, KeyPEM: other.KeyPEM}).TLS(); !errors.Is(err, ErrMismatch) {
		t.Errorf("pair of two: %v", err)
	}
}

// A handshake both ways, as between two servers.
func TestMutualTLS(t *testing.T) {
	ca := newCA(t)
	cert, err := issue(t, ca, now).TLS()
	if err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return now }
	a, b := net.Pipe()
	server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13, Time: clock})
	client := tls.Client(b, &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), ServerName: "localhost", MinVersion: tls.VersionTLS13, Time: clock})
	done := make(chan error, 1)
	go func() {
		_, err := server.Write([]byte("hello"))
		done <- errors.Join(err, server.Close())
	}()
	got, err := io.ReadAll(client)
	if err != nil || string(got) != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := <-done; err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
}

// OpenSSL agrees.
func TestOpenSSL(t *testing.T) {
	openssl := mfatest.Need(t, "openssl")[0]
	dir := t.TempDir()
	ca := newCA(t)
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	caFile := write("ca.pem", ca.CertificatePEM())
	leaf := write("leaf.pem", issue(t, ca, now).CertPEM)
	verify := func(args ...string) (string, error) {
		args = append([]string{"verify", "-x509_strict", "-attime", "1772366500", "-CAfile", caFile}, args...)
		out, err := exec.Command(openssl, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := verify("-purpose", "sslserver", "-verify_hostname", "nyc1.example.net", leaf); err != nil {
		t.Errorf("server: %v\n%s", err, out)
	}
	if out, err := verify("-purpose", "sslclient", "-verify_ip", "10.0.0.1", leaf); err != nil {
		t.Errorf("client: %v\n%s", err, out)
	}
	if out, err := verify("-verify_hostname", "other.example.net", leaf); err == nil || !strings.Contains(out, "ostname mismatch") {
		t.Errorf("other host: %v\n%s", err, out)
	}
}

func FuzzParseCA(f *testing.F) {
	ca, err := NewCA("corp", now)
	if err != nil {
		f.Fatal(err)
	}
	text, _ := ca.Marshal()
	f.Add(text.Expose())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		ca, err := ParseCA(secret.New(b))
		if err != nil {
			return
		}
		text, err := ca.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseCA(text)
		if err != nil || !again.cert.Equal(ca.cert) {
			t.Errorf("round trip: %v", err)
		}
	})
}
