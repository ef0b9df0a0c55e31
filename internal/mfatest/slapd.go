package mfatest

import (
	"crypto/sha1" //nolint:gosec // {SSHA}
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// LDAP is a running OpenLDAP server with users user0 to userN-1. It takes passwords over
// TLS only.
type LDAP struct {
	*Daemon
	URL          string // ldap://127.0.0.1:PORT, for StartTLS
	TLSURL       string // ldaps://127.0.0.1:PORT
	CA           *CA
	BaseDN       string // ou=people,dc=test holds the users
	BindDN       string // may search
	BindPassword string
	LimitedDN    string // may search too, with BindPassword, and gets 500 entries at most, in pages or not
	Users        int
}

// Login returns the login (uid) of user i.
func (*LDAP) Login(i int) string { return fmt.Sprintf("user%d", i) }

// Password returns the password of user i.
func (*LDAP) Password(i int) string { return fmt.Sprintf("Secret-%d", i) }

// Slapd starts OpenLDAP with so many users and one person besides, uid twin, of whom
// there are two entries. Each user is in the group cn=all (by the attribute memberOf)
// and the even ones in cn=even.
func Slapd(t testing.TB, users int) *LDAP {
	t.Helper()
	programs := Need(t, "slapd", "slapadd")
	dir := t.TempDir()
	db := filepath.Join(dir, "db")
	if err := os.Mkdir(db, 0o700); err != nil {
		t.Fatal(err)
	}
	l := &LDAP{CA: NewCA(t), BaseDN: "dc=test", BindDN: "cn=service,dc=test", LimitedDN: "cn=limited,dc=test", BindPassword: "service-secret", Users: users}
	ca, cert, key := l.CA.files(t, dir, "127.0.0.1", "localhost")
	conf := filepath.Join(dir, "slapd.conf")
	writeFile(t, conf, fmt.Sprintf(`
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile %[1]s/pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload memberof
TLSCACertificateFile %[2]s
TLSCertificateFile %[3]s
TLSCertificateKeyFile %[4]s
security simple_bind=112
database mdb
suffix dc=test
rootdn cn=root,dc=test
directory %[1]s/db
maxsize 268435456
dbnosync
index objectClass,uid eq
limits dn.exact="cn=service,dc=test" size.prtotal=unlimited
limits dn.exact="cn=limited,dc=test" size=500
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="cn=service,dc=test" read by dn.exact="cn=limited,dc=test" read by self read by * none
`, dir, ca, cert, key))
	ldif := filepath.Join(dir, "users.ldif")
	writeFile(t, ldif, l.ldif())
	run(t, programs[1], "-q", "-f", conf, "-l", ldif)

	plain, tls := "127.0.0.1:"+FreePort(t), "127.0.0.1:"+FreePort(t)
	l.URL, l.TLSURL = "ldap://"+plain, "ldaps://"+tls
	l.Daemon = Start(t, programs[0], "-f", conf, "-h", l.URL+" "+l.TLSURL, "-d", "0")
	l.AwaitTCP(t, plain, tls)
	return l
}

// Addr returns host and port of URL.
func (l *LDAP) Addr() string {
	_, hostPort, _ := strings.Cut(l.URL, "://")
	if _, _, err := net.SplitHostPort(hostPort); err != nil {
		panic("mfatest: " + err.Error())
	}
	return hostPort
}

func (l *LDAP) ldif() string {
	var b strings.Builder
	b.WriteString("dn: dc=test\nobjectClass: dcObject\nobjectClass: organization\no: test\n\n")
	for _, ou := range []string{"people", "other"} {
		fmt.Fprintf(&b, "dn: ou=%s,dc=test\nobjectClass: organizationalUnit\n\n", ou)
	}
	for _, dn := range []string{l.BindDN, l.LimitedDN} {
		fmt.Fprintf(&b, "dn: %s\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\nuserPassword: %s\n\n", dn, ssha(l.BindPassword))
	}
	person := func(ou, uid, password string, groups ...string) {
		fmt.Fprintf(&b, "dn: uid=%[1]s,ou=%[2]s,dc=test\nobjectClass: inetOrgPerson\ncn: %[1]s\nsn: %[1]s\nmail: %[1]s@test.example\nuserPassword: %[3]s\n", uid, ou, ssha(password))
		for _, g := range groups {
			fmt.Fprintf(&b, "memberOf: cn=%s,dc=test\n", g)
		}
		b.WriteString("\n")
	}
	for i := range l.Users {
		groups := []string{"all", "even"}
		person("people", l.Login(i), l.Password(i), groups[:2-i%2]...)
	}
	person("people", "twin", "twin-secret")
	person("other", "twin", "twin-secret")
	return b.String()
}

func ssha(password string) string {
	const salt = "saltsalt"
	sum := sha1.Sum([]byte(password + salt)) //nolint:gosec // as above
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(sum[:], salt...))
}
