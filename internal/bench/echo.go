package bench

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// readyWait is how long a server that starts has for one answer.
const readyWait = 50 * time.Millisecond

// Echo sends every datagram at addr back, until ctx is done. It is the floor of every
// UDP service on the machine.
func Echo(ctx context.Context, addr string) error {
	a, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return err
	}
	conn, err := net.ListenUDP("udp4", a)
	if err != nil {
		return err
	}
	_ = conn.SetReadBuffer(4 << 20)
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	go echo(conn)
	echo(conn)
	return nil
}

func echo(conn *net.UDPConn) {
	var b [4096]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return
		}
		_, _ = conn.WriteToUDPAddrPort(b[:n], from)
	}
}

// echoDialect takes the request itself for an answer.
func echoDialect(p population) dialect {
	d := radiusDialect(p, false)
	d.judge = func(r *request, answer []byte) outcome {
		if string(answer) == string(r.packet) {
			return accepted
		}
		return unproven
	}
	return d
}

// udpEcho starts this program again as an echo server.
func udpEcho(ctx context.Context, self string, p population) (*system, error) {
	addr, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &system{name: "udp-echo", about: "the same datagrams sent back: no RADIUS, no passcode, nothing kept"}
	if s.codes, err = newSupply(p, 0, true); err != nil {
		return nil, err
	}
	if s.server, err = launch(nil, self, "echo", addr.String()); err != nil {
		return nil, err
	}
	if _, err = s.server.await(ctx, func() bool { return echoes(addr) }); err != nil {
		return nil, err
	}
	dl := echoDialect(p)
	s.closed = func(c []passcode, n int) (volley, error) { return newClosedVolley(addr, dl, c, n) }
	return s, nil
}

func echoes(addr netip.AddrPort) bool {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("?"))
	_ = conn.SetReadDeadline(time.Now().Add(readyWait))
	var b [1]byte
	_, err = conn.Read(b[:])
	return err == nil
}
