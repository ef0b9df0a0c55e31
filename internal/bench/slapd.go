package bench

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// slapdConf is OpenLDAP with slapo-otp over back-mdb as it comes: a write is on the disk
// before it is answered.
const slapdConf = `
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile %[1]s/pid
modulepath /usr/lib/ldap
moduleload back_mdb
moduleload otp
loglevel 0
database mdb
suffix dc=bench
rootdn cn=root,dc=bench
directory %[1]s/db
maxsize 4294967296
index objectClass eq
overlay otp
access to * by anonymous auth by * none
`

// slapdPassword stands before each passcode: the overlay cuts the code off and leaves
// the rest to the ordinary check, which is a comparison here.
const slapdPassword = "pw"

const slapdBase = `dn: dc=bench
objectClass: dcObject
objectClass: organization
o: bench

dn: ou=people,dc=bench
objectClass: organizationalUnit

dn: cn=params,dc=bench
objectClass: device
objectClass: oathTOTPParams
oathOTPLength: 6
oathHMACAlgorithm: 1.2.840.113549.2.7
oathTOTPTimeStepPeriod: 30
oathTOTPTimeStepWindow: 1

`

func slapdDN(p population, user int) string { return "uid=" + p.login(user) + ",ou=people,dc=bench" }

// slapd starts OpenLDAP with slapo-otp. A user is its own token.
func slapd(ctx context.Context, dir string, p population) (*system, error) {
	program, err := find("slapd")
	if err != nil {
		return nil, err
	}
	adder, err := find("slapadd")
	if err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	conf, ldif := filepath.Join(dir, "slapd.conf"), filepath.Join(dir, "users.ldif")
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	if err := os.WriteFile(conf, fmt.Appendf(nil, slapdConf, dir), 0o600); err != nil {
		return nil, err
	}
	if err := writeLines(ldif, int(p)+1, func(w *bufio.Writer, i int) {
		if i == 0 {
			fmt.Fprint(w, slapdBase)
			return
		}
		dn := slapdDN(p, i-1)
		fmt.Fprintf(w, "dn: %s\nobjectClass: inetOrgPerson\nobjectClass: oathTOTPUser\nobjectClass: oathTOTPToken\ncn: %[2]s\nsn: %[2]s\n"+
			"userPassword: %s\noathTOTPToken: %[1]s\noathTOTPParams: cn=params,dc=bench\noathSecret:: %[4]s\n\n",
			dn, p.login(i-1), slapdPassword, base64.StdEncoding.EncodeToString(p.secret(i-1)))
	}); err != nil {
		return nil, err
	}
	if err := run(ctx, "", adder, "-q", "-f", conf, "-l", ldif); err != nil {
		return nil, err
	}
	s := &system{name: "slapo-otp", about: "OpenLDAP, slapo-otp over back-mdb, a sync for each bind; password and code, plain connections"}
	if s.codes, err = newSupply(p, 0, false); err != nil {
		return nil, err
	}
	if s.server, err = launch(nil, program, "-f", conf, "-h", "ldap://"+addr.String(), "-d", "0"); err != nil {
		return nil, err
	}
	if _, err = s.server.await(ctx, func() bool {
		c, err := net.DialTimeout("tcp", addr.String(), readyWait)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}); err != nil {
		return nil, err
	}
	s.closed = func(c []passcode, n int) (volley, error) {
		return newBindVolley(addr.String(), c, n, func(c passcode) string { return slapdDN(p, c.user) },
			func(c passcode) string { return slapdPassword + c.code })
	}
	return s, nil
}
