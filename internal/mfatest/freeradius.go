package mfatest

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
)

// FreeRADIUS starts FreeRADIUS as a proxy in front of a RADIUS server at 127.0.0.1, with
// one shared secret on both sides. It returns the address at which that listens.
func FreeRADIUS(t testing.TB, to netip.AddrPort, secret string) (*Daemon, netip.AddrPort) {
	t.Helper()
	program := Need(t, "freeradius")[0]
	dir := t.TempDir()
	listen := netip.MustParseAddrPort("127.0.0.1:" + FreePort(t))
	writeFile(t, filepath.Join(dir, "dictionary"), "$INCLUDE /usr/share/freeradius/dictionary\n")
	writeFile(t, filepath.Join(dir, "radiusd.conf"), fmt.Sprintf(`
name = freeradius
prefix = /usr
raddbdir = %[1]s
logdir = %[1]s
run_dir = %[1]s
libdir = /usr/lib/freeradius
max_request_time = 10
proxy_requests = yes
security {
	max_attributes = 200
	reject_delay = 0
	status_server = yes
}
proxy server {
	default_fallback = no
}
home_server countersign {
	type = auth
	ipaddr = 127.0.0.1
	port = %[2]d
	secret = %[4]s
	response_window = 8
	status_check = status-server
}
home_server_pool countersign {
	home_server = countersign
}
realm countersign {
	auth_pool = countersign
	nostrip
}
client local {
	ipaddr = 127.0.0.1
	secret = %[4]s
}
modules {
}
server default {
	listen {
		type = auth
		ipaddr = 127.0.0.1
		port = %[3]d
	}
	authorize {
		update control {
			&Proxy-To-Realm := countersign
		}
	}
	authenticate {
	}
}
`, dir, to.Port(), listen.Port(), secret))
	d := Start(t, program, "-X", "-d", dir, "-n", "radiusd")
	d.AwaitOutput(t, "Ready to process requests")
	return d, listen
}
