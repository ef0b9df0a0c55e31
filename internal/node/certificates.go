package node

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"countersign/internal/config"
	"countersign/internal/pki"
)

const (
	certInterval = time.Minute         // between looks at the certificate's files
	certWarning  = 14 * 24 * time.Hour // before a certificate of the operator's expires
)

// certificates keeps the certificate of the https listener fresh: its own, or the files
// that the node file names.
type certificates struct {
	config config.Config
	part   string // of the settings: "" for tls.cert_file, "portal" for tls.portal_cert_file
	ca     pki.CA
	shared func() *tls.Certificate // that of the peer port, if the group's CA is elsewhere; or nil
	now    func() time.Time
	log    *slog.Logger

	current atomic.Pointer[tls.Certificate]
	read    time.Time // modification time of the file in use
}

// run renews until ctx is done.
func (c *certificates) run(ctx context.Context) error {
	tick := time.NewTicker(certInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.renew(); err != nil {
				c.log.Error("the https certificate could not be renewed; the old one stays in use", "error", err, "expires", c.expiry())
			}
		}
	}
}

// renew loads or issues a certificate if there is none, if it is due, or if the file is new.
func (c *certificates) renew() error {
	if c.files().CertFile != "" {
		return c.load()
	}
	if now := c.current.Load(); now != nil && c.shared == nil && !pki.Due(now.Leaf, c.now()) {
		return nil
	}
	if c.shared != nil {
		c.current.Store(c.shared())
		return nil
	}
	pair, err := c.ca.Issue(subject(c.config), c.now())
	if err != nil {
		return err
	}
	cert, err := pair.TLS()
	if err != nil {
		return err
	}
	c.current.Store(&cert)
	return nil
}

func (c *certificates) load() error {
	certFile, keyFile := c.files().CertFile, c.files().KeyFile
	info, err := os.Stat(certFile)
	if err != nil {
		return fmt.Errorf("%s: %w", c.setting("cert_file"), err)
	}
	if c.current.Load() != nil && info.ModTime().Equal(c.read) {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return fmt.Errorf("%s %s with %s %s: %w", c.setting("cert_file"), certFile, c.setting("key_file"), keyFile, err)
	}
	if cert.Leaf == nil {
		if cert.Leaf, err = x509.ParseCertificate(cert.Certificate[0]); err != nil {
			return fmt.Errorf("%s %s: %w", c.setting("cert_file"), certFile, err)
		}
	}
	c.read = info.ModTime()
	c.current.Store(&cert)
	return nil
}

// files are those that the node file names for this part.
func (c *certificates) files() config.Pair {
	switch c.part {
	case "console":
		return c.config.TLS.Console
	case "portal":
		return c.config.TLS.Portal
	}
	return config.Pair{CertFile: c.config.TLS.CertFile, KeyFile: c.config.TLS.KeyFile}
}

// setting is the name of a setting of this part.
func (c *certificates) setting(name string) string {
	return "tls." + strings.TrimPrefix(c.part+"_", "_") + name
}

// expiry is when the certificate in use expires.
func (c *certificates) expiry() time.Time {
	if now := c.current.Load(); now != nil {
		return now.Leaf.NotAfter
	}
	return time.Time{}
}

// warnings says what is wrong with the certificate.
func (c *certificates) warnings() []string {
	left := c.expiry().Sub(c.now())
	if c.files().CertFile == "" || left > certWarning {
		return nil
	}
	return []string{fmt.Sprintf("the %s certificate in %s expires on %s", cmp.Or(c.part, "https"), c.files().CertFile, c.expiry().Format(time.DateOnly))}
}

// tlsConfig is that of the https listener.
func (c *certificates) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c.files().CertFile == "" && c.shared != nil {
				return c.shared(), nil // renewed just now, perhaps
			}
			return c.current.Load(), nil
		},
	}
}

// subject collects the names and addresses under which this server is reached.
func subject(c config.Config) pki.Subject {
	s := pki.Subject{Name: c.Name}
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
	add(c.Name)
	if host, err := os.Hostname(); err == nil {
		add(host)
	}
	add("127.0.0.1")
	add("::1")
	for _, a := range []string{c.Listen.HTTPS, c.Advertise.HTTPS, c.Listen.Console, c.Advertise.Console, c.Listen.Portal, c.Advertise.Portal, c.Listen.Peer, c.Advertise.Peer} {
		if host, _, err := net.SplitHostPort(a); err == nil {
			add(host)
		}
	}
	return s
}
