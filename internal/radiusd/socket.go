package radiusd

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// udp is what a socket needs of *net.UDPConn.
type udp interface {
	ReadFromUDPAddrPort(b []byte) (n int, addr netip.AddrPort, err error)
	ReadMsgUDPAddrPort(b, oob []byte) (n, oobn, flags int, addr netip.AddrPort, err error)
	WriteMsgUDPAddrPort(b, oob []byte, addr netip.AddrPort) (n, oobn int, err error)
	SetReadDeadline(time.Time) error
	Close() error
}

// socket is one bound port of one address family.
type socket struct {
	conn    udp
	index   uint16
	acct    bool
	name    string // its address, for the log
	address netip.AddrPort
	v6      bool
	any     bool // bound to every address: the kernel tells which one was asked
}

// receiveBuffer is asked of the kernel for each socket, in bytes; it may give less.
const receiveBuffer = 4 << 20

// Listen binds every address. On an error nothing stays bound, and the error names the
// address and the setting.
func (s *Server) Listen() error {
	s.prepare()
	for _, l := range []struct {
		setting   string
		acct      bool
		addresses []string
	}{{"listen.radius", false, s.Auth}, {"listen.radius_accounting", true, s.Acct}} {
		for _, address := range l.addresses {
			if err := s.bind(l.setting, address, l.acct); err != nil {
				return errors.Join(err, s.Close())
			}
		}
	}
	return nil
}

// AuthAddrs returns what the authentication sockets are bound to.
func (s *Server) AuthAddrs() []netip.AddrPort { return s.addresses(false) }

// AcctAddrs returns what the accounting sockets are bound to.
func (s *Server) AcctAddrs() []netip.AddrPort { return s.addresses(true) }

func (s *Server) addresses(acct bool) (all []netip.AddrPort) {
	for _, k := range s.sockets {
		if k.acct == acct {
			all = append(all, k.address)
		}
	}
	return all
}

// bind opens address. An empty host is two sockets, one a family, so that every socket
// has plain addresses of its own family.
func (s *Server) bind(setting, address string, acct bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s: %q is not host:port: %w", setting, address, err)
	}
	if host != "" {
		a, err := net.ResolveUDPAddr("udp", address)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", setting, address, err)
		}
		_, err = s.open(setting, a, acct)
		return err
	}
	a, err := net.ResolveUDPAddr("udp4", "0.0.0.0:"+port)
	if err != nil {
		return fmt.Errorf("%s: %s: %w", setting, address, err)
	}
	got, err := s.open(setting, a, acct)
	if err != nil {
		return err
	}
	_, err = s.open(setting, &net.UDPAddr{IP: net.IPv6unspecified, Port: int(got)}, acct)
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		s.Log.Info("this machine has no IPv6; listening on IPv4 only", "setting", setting, "address", address)
		return nil
	}
	return err
}

func (s *Server) open(setting string, a *net.UDPAddr, acct bool) (port uint16, err error) {
	v6 := a.IP.To4() == nil
	network := map[bool]string{false: "udp4", true: "udp6"}[v6]
	conn, err := net.ListenUDP(network, a)
	if err != nil {
		return 0, fmt.Errorf("%s: cannot listen on udp %s: %w%s", setting, a, cause(err), advice(err, a.Port, setting))
	}
	_ = conn.SetReadBuffer(receiveBuffer) // the kernel's limit is the kernel's
	bound := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	bound = netip.AddrPortFrom(bound.Addr().Unmap(), bound.Port())
	k := &socket{conn: conn, index: uint16(len(s.sockets)), acct: acct, name: bound.String(), address: bound, v6: v6}
	if k.any = bound.Addr().IsUnspecified(); k.any {
		if v6 {
			err = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
		} else {
			err = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		}
		if err != nil {
			k.any = false
			s.Log.Warn("this system does not tell which address was asked: on a machine with several addresses, "+
				"answers may leave from another one; list the addresses in the setting", "setting", setting, "error", err)
		}
	}
	s.sockets = append(s.sockets, k)
	return bound.Port(), nil
}

// cause drops what the caller says itself.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

func advice(err error, port int, setting string) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("; another program has this port (`ss -lunp sport = :%d` names it): stop it or change %s", port, setting)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Sprintf("; this machine has no such address (`ip addr` lists them): change %s", setting)
	}
	return ""
}

// receive reads the next datagram into j. What is longer than 4096 bytes is cut: RADIUS
// packets are not (RFC 2865 section 3), and the rest would be padding.
func (k *socket) receive(j *job) (n int, err error) {
	if k.any {
		n, j.told, _, j.from, err = k.conn.ReadMsgUDPAddrPort(j.in[:], j.control[:])
	} else {
		n, j.from, err = k.conn.ReadFromUDPAddrPort(j.in[:])
	}
	j.socket = k
	j.from = netip.AddrPortFrom(j.from.Addr().Unmap(), j.from.Port())
	j.addr = j.from.Addr().WithZone("")
	return n, err
}

// send sends b from the address that j was sent to. Clients drop answers that come from
// another one.
func (k *socket) send(j *job, b []byte) error {
	var control []byte
	if k.any {
		control = k.source(j.control[:j.told])
	}
	_, _, err := k.conn.WriteMsgUDPAddrPort(b, control, j.from)
	return err
}

// source turns the control message of a datagram into that of its answer; nil leaves the
// choice to the kernel.
func (k *socket) source(told []byte) []byte {
	if k.v6 {
		var in ipv6.ControlMessage
		if in.Parse(told) != nil || in.Dst == nil {
			return nil
		}
		out := ipv6.ControlMessage{Src: in.Dst}
		if in.Dst.IsLinkLocalUnicast() {
			out.IfIndex = in.IfIndex
		}
		return out.Marshal()
	}
	var in ipv4.ControlMessage
	if in.Parse(told) != nil || in.Dst == nil {
		return nil
	}
	return (&ipv4.ControlMessage{Src: in.Dst}).Marshal()
}
