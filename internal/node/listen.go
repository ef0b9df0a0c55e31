package node

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"countersign/internal/adminapi"
	"countersign/internal/config"
)

// listeners are the TCP and unix sockets of the front-ends; nil: off.
type listeners struct {
	socket, coordinator, metrics net.Listener

	sites map[string]net.Listener // by kind
}

// listen opens every socket, or none.
func (s *server) listen() (l listeners, err error) {
	defer func() {
		if err != nil {
			for _, one := range append(slices.Collect(maps.Values(l.sites)), l.socket, l.coordinator, l.metrics) {
				if one != nil {
					_ = one.Close()
				}
			}
		}
	}()
	c := s.Config.Listen
	if l.sites, err = s.listenSites(); err != nil {
		return l, err
	}
	if s.peers != nil {
		s.bound.Peer = s.peers.port.Addr().String()
		if l.coordinator, err = s.listenTCP("listen.coordinator", c.Coordinator); err != nil {
			return l, err
		}
	}
	if l.coordinator != nil {
		s.bound.Coordinator = l.coordinator.Addr().String()
		l.coordinator = tls.NewListener(l.coordinator, &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return s.peers.certificate() }})
	}
	if l.metrics, err = s.listenTCP("listen.metrics", c.Metrics); err != nil {
		return l, err
	}
	if l.metrics != nil {
		s.bound.Metrics = l.metrics.Addr().String()
	}
	if l.socket, err = adminapi.ListenSocket(SocketPath(s.Config.DataDir)); err != nil {
		return l, err
	}
	s.bound.Socket = SocketPath(s.Config.DataDir)
	if s.radius == nil {
		return l, nil
	}
	if err := s.radius.Listen(); err != nil {
		return l, err
	}
	s.bound.RADIUS, s.bound.Accounting = texts(s.radius.AuthAddrs()), texts(s.radius.AcctAddrs())
	return l, nil
}

func texts(all []netip.AddrPort) (out []string) {
	for _, a := range all {
		out = append(out, a.String())
	}
	return out
}

// listenTCP opens the address of a setting; nothing if it is empty.
func (s *server) listenTCP(setting, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, s.explain(fmt.Errorf("%s: %s: %w", setting, address, cause(err)))
	}
	return l, nil
}

// cause is what the operating system said, without the address that it repeats.
func cause(err error) error {
	if sys := (*os.SyscallError)(nil); errors.As(err, &sys) {
		return sys.Err
	}
	return err
}

// explain adds the next step to an error of a listener.
func (s *server) explain(err error) error {
	where := "a node file (--config FILE)"
	if s.Config.Path != "" {
		where = s.Config.Path
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w (stop what uses the port, see `ss -lntup`, or choose another one in %s)", err, where)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w (ports below 1024 need CAP_NET_BIND_SERVICE, which the systemd unit gives; or choose another one in %s)", err, where)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w (no interface of this machine has that address; correct it in %s)", err, where)
	}
	return err
}

// noSuchFront refuses a front-end that the node file asks for and this program does not have:
// somebody counts on it.
func noSuchFront(c config.Config) error {
	if len(c.Listen.LDAP) == 0 {
		return nil
	}
	where := c.Path
	if where == "" {
		where = "the node file"
	}
	return fmt.Errorf("listen.ldap %s: this version has no LDAP front-end; take the setting out of %s", c.Listen.LDAP[0], where)
}
