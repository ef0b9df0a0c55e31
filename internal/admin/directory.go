package admin

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// ListDirectories returns all directories by name.
func (s *Service) ListDirectories(context.Context) (DirectoryList, error) {
	out := DirectoryList{Directories: []Directory{}}
	for _, d := range s.Directories.Directories() {
		out.Directories = append(out.Directories, directory(d))
	}
	slices.SortFunc(out.Directories, func(a, b Directory) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Directory returns one directory.
func (s *Service) Directory(_ context.Context, name string) (Directory, error) {
	d, err := s.Directories.Directory(name)
	return directory(d), err
}

// directory converts for the API.
func directory(d mfa.Directory) Directory {
	return Directory{Name: d.Name, Kind: d.Kind, URLs: list(d.URLs), StartTLS: d.StartTLS, CAs: d.CAs, BindDN: d.BindDN,
		BaseDN: d.BaseDN, UserFilter: d.UserFilter, GroupAttribute: d.GroupAttr, UPNSuffix: d.UPNSuffix,
		TimeoutSeconds: int(d.Timeout / time.Second), Created: d.Created, Changed: d.Changed}
}

// AddDirectory makes a directory.
func (s *Service) AddDirectory(ctx context.Context, by string, c DirectoryChange) (Directory, error) {
	if c.Name == nil {
		return Directory{}, invalid("name is missing")
	}
	d := mfa.Directory{Kind: "ldap", UserFilter: "(uid={login})", Created: s.Now(), Changed: s.Now()}
	if err := applyDirectory(&d, c); err != nil {
		return Directory{}, err
	}
	made, err := s.Directories.CreateDirectory(ctx, d)
	if err != nil {
		return Directory{}, err
	}
	if err := s.record(ctx, by, "directory add", made.Name, fields(contents(directory(made), longFields...))); err != nil {
		return Directory{}, err
	}
	return directory(made), nil
}

// SetDirectory changes a directory. Its name stays: applications and users hold it.
func (s *Service) SetDirectory(ctx context.Context, by, name string, c DirectoryChange) (Directory, error) {
	if c.Name != nil && *c.Name != name {
		return Directory{}, invalid("the name of a directory cannot change; add another one")
	}
	var before Directory
	changed, err := s.Directories.UpdateDirectory(ctx, name, func(d *mfa.Directory) error {
		before = directory(*d)
		if err := unchanged(c.IfMatch, before.ETag()); err != nil {
			return err
		}
		d.Changed = s.Now()
		had := *d
		if err := applyDirectory(d, c); err != nil {
			return err
		}
		return c.entrusted(had, *d)
	})
	if err != nil {
		return Directory{}, err
	}
	detail := difference(before, directory(changed), longFields...)
	if c.BindPassword != nil {
		detail = append(detail, "bind_password")
	}
	if err := s.record(ctx, by, "directory set", name, fields(detail)); err != nil {
		return Directory{}, err
	}
	return directory(changed), nil
}

// longFields of a directory would fill the trail with certificates.
var longFields = []string{"ca_pem"}

// RemoveDirectory deletes a directory that nothing names any more.
func (s *Service) RemoveDirectory(ctx context.Context, by, name string) error {
	d, err := s.Directories.Directory(name)
	if err != nil {
		return err
	}
	if err := s.Directories.RemoveDirectory(ctx, name); err != nil {
		return err
	}
	return s.record(ctx, by, "directory remove", name, fields(contents(directory(d), longFields...)))
}

// TestDirectory tries a directory step by step. It changes nothing, but it may send a
// user's password to the directory, so it is recorded.
func (s *Service) TestDirectory(ctx context.Context, by, name string, r DirectoryTest) (CheckList, error) {
	d, err := s.Directories.Directory(name)
	if err != nil {
		return CheckList{}, err
	}
	var password secret.Text
	if r.Password != nil {
		password = r.Password.Text
	}
	out := checkList(s.Tests.TestDirectory(ctx, d, r.Login, password))
	return out, s.record(ctx, by, "directory test", name, r.Login)
}

// checkList is good if every check is.
func checkList(checks []Check) CheckList {
	bad := slices.ContainsFunc(checks, func(c Check) bool { return !c.OK })
	return CheckList{OK: !bad, Checks: list(checks)}
}

// applyDirectory changes d as c says, or says what is bad about c.
func applyDirectory(d *mfa.Directory, c DirectoryChange) error {
	var bad error
	set(&bad, "name", &d.Name, c.Name, directoryName)
	set(&bad, "kind", &d.Kind, c.Kind, oneOf("ldap"))
	set(&bad, "urls", &d.URLs, c.URLs, each(8, ldapURL))
	set(&bad, "start_tls", &d.StartTLS, c.StartTLS, same[bool])
	set(&bad, "ca_pem", &d.CAs, c.CAs, certificates)
	set(&bad, "bind_dn", &d.BindDN, c.BindDN, line(1024))
	set(&bad, "bind_password", &d.BindPassword, c.BindPassword, func(w secret.Wire) (secret.Text, error) { return w.Text, nil })
	set(&bad, "base_dn", &d.BaseDN, c.BaseDN, line(1024))
	set(&bad, "user_filter", &d.UserFilter, c.UserFilter, userFilter)
	set(&bad, "group_attribute", &d.GroupAttr, c.GroupAttribute, line(64))
	set(&bad, "upn_suffix", &d.UPNSuffix, c.UPNSuffix, line(253))
	set(&bad, "timeout_seconds", &d.Timeout, c.TimeoutSeconds, func(n int) (time.Duration, error) {
		n, err := between(0, 60)(n)
		return time.Duration(n) * time.Second, err
	})
	if bad != nil {
		return bad
	}
	if len(d.URLs) == 0 || d.BaseDN == "" {
		return invalid("an ldap directory needs at least one url and a base_dn")
	}
	for _, one := range d.URLs {
		if u, err := url.Parse(one); err == nil && u.Scheme == "ldap" && !d.StartTLS && !loopback(u.Hostname()) {
			return invalid("urls: passwords would cross the network to %s in the clear: write ldaps://, or set start_tls (--start-tls)", u.Host)
		}
	}
	if d.BindDN != "" && d.BindPassword.Empty() {
		return invalid("bind_dn without bind_password: that would be an anonymous bind")
	}
	return nil
}

// loopback reports whether what goes to host stays on this machine.
func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

func directoryName(s string) (string, error) {
	if s == mfa.FirstFactorLocal || s == mfa.FirstFactorNone {
		return "", fmt.Errorf("%q is taken by the first factor of that name", s)
	}
	return objectName(s)
}

func ldapURL(s string) (string, error) {
	u, err := url.Parse(strings.TrimSpace(s))
	if err != nil || u.Scheme != "ldap" && u.Scheme != "ldaps" || u.Hostname() == "" || u.User != nil ||
		strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("%q: want ldaps://host or ldap://host, with :port if need be, and nothing else", clip(s))
	}
	return u.Scheme + "://" + u.Host, nil
}

func certificates(text string) (string, error) {
	rest := []byte(strings.TrimSpace(text))
	for n := 0; len(rest) > 0; n++ {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil || b.Type != "CERTIFICATE" {
			return "", fmt.Errorf("after %d certificates comes something that is no PEM certificate", n)
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return "", fmt.Errorf("certificate %d: %w", n+1, err)
		}
		rest = []byte(strings.TrimSpace(string(rest)))
	}
	return text, nil
}

func userFilter(s string) (string, error) {
	s, err := line(1024)(s)
	if err != nil {
		return "", err
	}
	if !strings.HasPrefix(s, "(") || !strings.HasSuffix(s, ")") || strings.Count(s, "(") != strings.Count(s, ")") ||
		!strings.ContainsRune(s, '{') || strings.ContainsAny(strings.NewReplacer("{login}", "", "{user}", "").Replace(s), "{}") {
		return "", fmt.Errorf("%q: want an LDAP filter in which {login} stands for the login and {user} for the same without its domain, for example (uid={login}) or (sAMAccountName={user})", s)
	}
	return s, nil
}
