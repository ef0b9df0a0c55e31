package mfatest

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/go-ldap/ldap/v3"
)

// AD is a running Active Directory domain controller (Samba) of the domain RIG,
// rig.test. Its users, all with the same password and a userPrincipalName
// LOGIN@rig.test: alice (in the group vpn), disabled, expired, mustchange, and locked,
// whom three wrong passwords lock out.
type AD struct {
	*Daemon
	Address       string // 127.x.y.z
	URL           string // ldap://ADDRESS, for StartTLS
	TLSURL        string // ldaps://ADDRESS
	CA            *CA
	BaseDN        string
	UPNSuffix     string
	Administrator string // a DN
	AdminPassword string
	Password      string // of the users
}

// SambaAD provisions and starts a domain controller, which takes about 15 s. It needs
// root, because its ports are below 1024 and cannot be changed.
func SambaAD(t testing.TB) *AD {
	t.Helper()
	programs := Need(t, "samba", "samba-tool")
	if os.Getuid() != 0 {
		Missing(t, "samba needs root for its ports")
	}
	if _, err := os.Stat("/usr/share/samba/setup"); err != nil {
		Missing(t, "samba-ad-provision is not installed; `make deps` installs it")
	}
	a := &AD{
		Address: freeLoopback(t), CA: NewCA(t), BaseDN: "DC=rig,DC=test", UPNSuffix: "rig.test",
		Administrator: "CN=Administrator,CN=Users,DC=rig,DC=test", AdminPassword: "Passw0rd!x", Password: "Secret0!pw",
	}
	a.URL, a.TLSURL = "ldap://"+a.Address, "ldaps://"+a.Address
	// A path of a socket holds 108 bytes, so not in t.TempDir.
	dir, err := os.MkdirTemp("", "ad")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ca, cert, key := a.CA.files(t, dir, a.Address, "dc1.rig.test")
	run(t, programs[1], "domain", "provision", "--realm=RIG.TEST", "--domain=RIG", "--server-role=dc", "--dns-backend=NONE",
		"--host-name=dc1", "--host-ip="+a.Address, "--adminpass="+a.AdminPassword, "--targetdir="+dir,
		"--option=interfaces="+a.Address+"/8", "--option=bind interfaces only=yes", "--option=server services=ldap cldap")
	conf := filepath.Join(dir, "etc", "smb.conf")
	text, err := os.ReadFile(conf) //nolint:gosec // made above
	if err != nil {
		t.Fatal(err)
	}
	own := fmt.Sprintf("[global]\n tls enabled = yes\n tls cafile = %s\n tls certfile = %s\n tls keyfile = %s\n", ca, cert, key)
	for _, d := range []string{"pid directory", "lock directory", "state directory", "cache directory", "ncalrpc dir"} {
		own += fmt.Sprintf(" %s = %s\n", d, filepath.Join(dir, strings.Fields(d)[0]))
	}
	writeFile(t, conf, strings.Replace(string(text), "[global]\n", own, 1))
	a.Daemon = Start(t, programs[0], "-F", "--no-process-group", "-s", conf)
	a.AwaitTCP(t, a.Address+":389", a.Address+":636")
	a.populate(t)
	return a
}

// freeLoopback returns an address of 127.0.0.0/8 on which nobody listens for LDAP.
func freeLoopback(t testing.TB) string {
	t.Helper()
	for range 20 {
		address := fmt.Sprintf("127.%d.%d.%d", 20+rand.IntN(200), rand.IntN(256), 1+rand.IntN(254))
		free := true
		for _, port := range []string{"389", "636", "3268", "3269"} {
			l, err := net.Listen("tcp", net.JoinHostPort(address, port))
			if err != nil {
				free = false
				break
			}
			_ = l.Close()
		}
		if free {
			return address
		}
	}
	Missing(t, "no loopback address with free ports 389, 636, 3268 and 3269 (something listens on all addresses?)")
	return ""
}

// Admin returns a connection that is bound as the administrator, until the test ends.
func (a *AD) Admin(t testing.TB) *ldap.Conn {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(a.CA.PEM))
	var c *ldap.Conn
	var err error
	for range 100 { // it listens before it answers
		c, err = ldap.DialURL(a.TLSURL, ldap.DialWithTLSConfig(&tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}))
		if err == nil {
			if err = c.Bind(a.Administrator, a.AdminPassword); err == nil {
				t.Cleanup(func() { _ = c.Close() })
				return c
			}
			_ = c.Close()
		}
		select {
		case <-a.done:
			t.Fatalf("rig: samba ended:\n%s", a.out.String())
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Fatalf("rig: bind to samba as administrator: %v", err)
	return nil
}

func (a *AD) populate(t testing.TB) {
	t.Helper()
	c := a.Admin(t)
	must := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("rig: samba: %s: %v", what, err)
		}
	}
	policy := ldap.NewModifyRequest(a.BaseDN, nil)
	policy.Replace("lockoutThreshold", []string{"3"})
	must("lockout", c.Modify(policy))
	const enabled, off = "512", "514"
	users := []struct{ login, control, expires, lastSet string }{
		{"alice", enabled, "0", "-1"},
		{"disabled", off, "0", "-1"},
		{"expired", enabled, "116444736000000001", "-1"}, // 1970
		{"mustchange", enabled, "0", "0"},
		{"locked", enabled, "0", "-1"},
	}
	for _, u := range users {
		add := ldap.NewAddRequest(a.DN(u.login), nil)
		add.Attribute("objectClass", []string{"user"})
		add.Attribute("sAMAccountName", []string{u.login})
		add.Attribute("userPrincipalName", []string{u.login + "@" + a.UPNSuffix})
		add.Attribute("unicodePwd", []string{unicodePwd(a.Password)})
		add.Attribute("userAccountControl", []string{u.control})
		add.Attribute("accountExpires", []string{u.expires})
		must("add "+u.login, c.Add(add))
		last := ldap.NewModifyRequest(a.DN(u.login), nil)
		last.Replace("pwdLastSet", []string{u.lastSet})
		must("pwdLastSet of "+u.login, c.Modify(last))
	}
	vpn := ldap.NewAddRequest(a.DN("vpn"), nil)
	vpn.Attribute("objectClass", []string{"group"})
	vpn.Attribute("sAMAccountName", []string{"vpn"})
	vpn.Attribute("member", []string{a.DN("alice")})
	must("add vpn", c.Add(vpn))
}

// DN returns the name of a user or group.
func (a *AD) DN(cn string) string { return "CN=" + cn + ",CN=Users," + a.BaseDN }

// unicodePwd returns a password as Active Directory takes it: quoted, UTF-16LE.
func unicodePwd(password string) string {
	var b []byte
	for _, u := range utf16.Encode([]rune(`"` + password + `"`)) {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return string(b)
}
