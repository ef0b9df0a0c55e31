package web

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// caller is a connection that comes from an address.
type caller struct {
	net.Conn
	from net.Addr
}

func (c caller) RemoteAddr() net.Addr { return c.from }

// queue is a listener of prepared connections.
type queue chan net.Conn

func (q queue) Accept() (net.Conn, error) {
	c, ok := <-q
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (queue) Close() error   { return nil }
func (queue) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443} }

func TestDoor(t *testing.T) {
	var said strings.Builder
	q := make(queue, 1)
	d := &Door{Listener: q, Each: 2, All: 5, Proxies: Proxies{netip.MustParsePrefix("10.9.0.0/16")}, Log: slog.New(slog.NewTextHandler(&said, nil))}
	in := make(chan net.Conn)
	go func() {
		for {
			c, err := d.Accept()
			if err != nil {
				return
			}
			in <- c
		}
	}()
	defer close(q)
	// come reports the connection that is let in, or nil if it was closed.
	come := func(from string) net.Conn {
		t.Helper()
		near, far := net.Pipe()
		q <- caller{far, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from))}
		closed := make(chan struct{})
		go func() {
			if _, err := near.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
				close(closed)
			}
		}()
		select {
		case c := <-in:
			return c
		case <-closed:
			return nil
		}
	}
	first, second := come("203.0.113.7:1"), come("203.0.113.7:2")
	if first == nil || second == nil {
		t.Fatal("two of one address are refused")
	}
	if come("203.0.113.7:3") != nil || come("[::ffff:203.0.113.7]:4") != nil {
		t.Error("a third of one address is let in")
	}
	if !strings.Contains(said.String(), "trusted_proxies") || strings.Count(said.String(), "\n") != 1 {
		t.Errorf("logged %q", said.String())
	}
	if err := errors.Join(second.Close(), second.Close()); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		t.Error(err)
	}
	if come("203.0.113.7:5") == nil {
		t.Error("one left, and nobody may come for it")
	}
	if come("203.0.113.7:6") != nil {
		t.Error("one that was closed twice makes room for two")
	}
	var proxied []net.Conn
	for range 3 {
		c := come("10.9.0.1:1")
		if c == nil {
			t.Fatal("a proxy is limited as a person")
		}
		proxied = append(proxied, c)
	}
	if come("10.9.0.1:1") != nil || come("198.51.100.1:1") != nil {
		t.Error("more than there may be in all")
	}
	_ = proxied[0].Close()
	if come("[2001:db8::1]:1") == nil {
		t.Error("there is room, and nobody is let in")
	}
}
