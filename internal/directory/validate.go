package directory

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"

	"countersign/internal/mfa"
)

const (
	defaultTimeout = 5 * time.Second
	maxTimeout     = 60 * time.Second
	maxURLs        = 8
)

// Validate says whether d can be used, before it is saved. The error wraps mfa.ErrInvalid
// and names the setting.
func Validate(d mfa.Directory) error {
	_, err := compile(d)
	return err
}

// settings is a mfa.Directory whose settings were found good.
type settings struct {
	mfa.Directory
	addresses []address
	filter    filter // without values: none, a direct bind needs none
	roots     *x509.CertPool
	timeout   time.Duration
}

// direct reports whether users bind with their own name instead of being searched for.
func (s *settings) direct() bool { return s.BindDN == "" && s.UPNSuffix != "" }

// address is one server.
type address struct {
	url  string
	host string // as in the URL, for the certificate
	port string
	tls  bool // from the first byte
	up   bool // by StartTLS
}

func (a address) hostPort() string { return net.JoinHostPort(a.host, a.port) }

var (
	attribute = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9-]*|[0-9]+(\.[0-9]+)*)$`)
	suffix    = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$`)
)

func compile(d mfa.Directory) (*settings, error) {
	bad := func(setting, format string, args ...any) (*settings, error) {
		return nil, fmt.Errorf("directory %q: %s: %w: %w", d.Name, setting, mfa.ErrInvalid, fmt.Errorf(format, args...))
	}
	s := &settings{Directory: d, timeout: d.Timeout}
	switch {
	case d.Name == "" || d.Name == mfa.FirstFactorLocal || d.Name == mfa.FirstFactorNone:
		return bad("name", "%q is taken for a first factor without a directory", d.Name)
	case d.Kind != "ldap":
		return bad("kind", "%q, want ldap", d.Kind)
	case len(d.URLs) == 0:
		return bad("urls", "none; want at least one, as in ldaps://dc1.corp.example")
	case len(d.URLs) > maxURLs:
		return bad("urls", "%d, want at most %d", len(d.URLs), maxURLs)
	case d.Timeout < 0 || d.Timeout > maxTimeout:
		return bad("timeout_seconds", "%v, want 0 (that is %v) to %v", d.Timeout, defaultTimeout, maxTimeout)
	case d.BindDN != "" && d.BindPassword.Empty():
		return bad("bind_password", "empty, but bind_dn is set: a bind without a password proves nothing (RFC 4513 section 5.1.2)")
	case d.BindDN == "" && !d.BindPassword.Empty():
		return bad("bind_dn", "empty, but bind_password is set")
	case d.GroupAttr != "" && !attribute.MatchString(d.GroupAttr):
		return bad("group_attribute", "%q is not the name of an attribute", d.GroupAttr)
	case d.UPNSuffix != "" && !suffix.MatchString(d.UPNSuffix):
		return bad("upn_suffix", "%q, want a domain as in corp.example, without @", d.UPNSuffix)
	}
	if s.timeout == 0 {
		s.timeout = defaultTimeout
	}
	for _, u := range d.URLs {
		a, err := parseURL(u, d.StartTLS)
		if err != nil {
			return bad("urls", "%q: %w", u, err)
		}
		s.addresses = append(s.addresses, a)
	}
	if d.CAs != "" {
		s.roots = x509.NewCertPool()
		if !s.roots.AppendCertsFromPEM([]byte(d.CAs)) {
			return bad("ca_pem", "no certificate in it")
		}
	}
	searches := !s.direct() || d.GroupAttr != ""
	if searches || d.BaseDN != "" {
		if dn, err := ldap.ParseDN(d.BaseDN); err != nil || len(dn.RDNs) == 0 {
			return bad("base_dn", "%q is not a distinguished name, as in DC=corp,DC=example", d.BaseDN)
		}
	}
	if searches || d.UserFilter != "" {
		var err error
		if s.filter, err = parseFilter(d.UserFilter); err != nil {
			return bad("user_filter", "%w", err)
		}
	}
	return s, nil
}

// parseURL reads ldap://HOST[:PORT] or ldaps://HOST[:PORT]. Without TLS it takes
// loopback addresses only.
func parseURL(s string, startTLS bool) (address, error) {
	u, err := url.Parse(s)
	if err != nil {
		return address{}, fmt.Errorf("not a URL")
	}
	if u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" {
		return address{}, fmt.Errorf("want scheme, host and port only; base and filter are settings of their own")
	}
	a := address{url: s, host: u.Hostname(), port: u.Port()}
	if a.host == "" {
		return address{}, fmt.Errorf("no host")
	}
	switch u.Scheme {
	case "ldaps":
		a.tls = true
	case "ldap":
		a.up = startTLS
	default:
		return address{}, fmt.Errorf("scheme %q, want ldaps or ldap", u.Scheme)
	}
	switch {
	case a.port == "" && strings.HasSuffix(u.Host, ":"):
		return address{}, fmt.Errorf("a colon without a port")
	case a.port == "" && a.tls:
		a.port = ldap.DefaultLdapsPort
	case a.port == "":
		a.port = ldap.DefaultLdapPort
	default:
		if n, err := strconv.ParseUint(a.port, 10, 16); err != nil || n == 0 {
			return address{}, fmt.Errorf("port %q", a.port)
		}
	}
	if !a.tls && !a.up && !loopback(a.host) {
		return address{}, fmt.Errorf("passwords would cross the network in the clear: use ldaps://, or set start_tls")
	}
	return a, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
