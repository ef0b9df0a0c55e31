package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// freeradiusConf is a server that does rlm_totp and nothing else: no log of
// authentications, no delay of rejects, answers not kept for retransmits.
const freeradiusConf = `
prefix = /usr
raddbdir = %[1]s
logdir = %[1]s
run_dir = %[1]s
db_dir = %[1]s
libdir = /usr/lib/freeradius
pidfile = %[1]s/pid
max_request_time = 30
cleanup_delay = 0
max_requests = 65536
hostname_lookups = no
log {
	destination = files
	file = %[1]s/radius.log
	auth = no
}
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
}
proxy_requests = no
thread pool {
	start_servers = 4
	max_servers = 32
	min_spare_servers = 2
	max_spare_servers = 32
	max_requests_per_server = 0
	auto_limit_acct = no
}
client bench {
	ipaddr = 127.0.0.0/8
	secret = %[3]s
}
modules {
	files {
		usersfile = %[1]s/users
	}
	totp {
	}
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[2]d
		recv_buff = 4194304
	}
	authorize {
		files
		update request {
			&TOTP-Password := &User-Password
		}
		update control {
			&Auth-Type := totp
		}
	}
	authenticate {
		Auth-Type totp {
			totp
		}
	}
}
`

// freeradius starts FreeRADIUS with the code alone checked by rlm_totp, users in memory.
func freeradius(ctx context.Context, dir string, p population) (*system, error) {
	program, err := find("freeradius")
	if err != nil {
		return nil, err
	}
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "radiusd.conf"), fmt.Appendf(nil, freeradiusConf, dir, addr.Port(), sharedSecret), 0o600); err != nil {
		return nil, err
	}
	if err := writeLines(filepath.Join(dir, "users"), int(p), func(w *bufio.Writer, i int) {
		fmt.Fprintf(w, "%s TOTP-Secret := \"%s\"\n", p.login(i), p.base32(i))
	}); err != nil {
		return nil, err
	}
	s := &system{name: "freeradius", about: "rlm_totp, code alone, users in memory; remembers nothing"}
	if s.codes, err = newSupply(p, 0, true); err != nil {
		return nil, err
	}
	if s.server, err = launch(nil, program, "-f", "-d", dir, "-l", filepath.Join(dir, "radius.log")); err != nil {
		return nil, err
	}
	if _, err = s.server.await(ctx, func() bool { return statusServer(addr, readyWait) }); err != nil {
		return nil, err
	}
	dl := radiusDialect(p, false) // 3.2.1 signs no answer to PAP
	s.closed = func(c []passcode, n int) (volley, error) { return newClosedVolley(addr, dl, c, n) }
	s.open = func(c []passcode, rate float64) (volley, error) { return newOpenVolley(addr, dl, c, rate) }
	return s, nil
}

// writeLines writes a file of n parts.
func writeLines(path string, n int, part func(w *bufio.Writer, i int)) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		part(w, i)
	}
	if err := w.Flush(); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
