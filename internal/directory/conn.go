package directory

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

// maxAnswer is the most that one operation may read, in bytes: an entry or two with
// 1500 groups. A server that sends more loses the connection.
const maxAnswer = 4 << 20

// conn is one LDAP connection, held by one goroutine at a time.
type conn struct {
	ldap   *ldap.Conn
	wire   *wire
	broken bool
	idle   time.Time // since when
}

// wire is the network below TLS. It bounds what is read for one operation.
type wire struct {
	net.Conn
	left  atomic.Int64
	ended atomic.Bool // the server closed the connection
}

func (w *wire) Read(b []byte) (int, error) {
	left := w.left.Load()
	if left <= 0 {
		return 0, fmt.Errorf("more than %d bytes for one operation", maxAnswer)
	}
	if int64(len(b)) > left {
		b = b[:left]
	}
	n, err := w.Conn.Read(b)
	w.left.Add(int64(-n))
	if errors.Is(err, io.EOF) {
		w.ended.Store(true)
	}
	return n, err
}

// dialTCP opens a connection to a. Name lookup is part of it.
func dialTCP(ctx context.Context, hostPort string) (*wire, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", hostPort)
	if err != nil {
		return nil, err
	}
	w := &wire{Conn: c}
	w.left.Store(maxAnswer)
	return w, nil
}

// requestStartTLS asks for TLS (RFC 4511 section 4.14). It reads the answer byte for byte, so
// that nothing sent in the clear behind it counts as sent under TLS.
func requestStartTLS(ctx context.Context, w *wire) error {
	defer deadline(ctx, w)()
	request := ber.NewSequence("LDAP Request")
	request.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 1, "MessageID"))
	op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationExtendedRequest, nil, "Start TLS")
	op.AppendChild(ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, "1.3.6.1.4.1.1466.20037", "OID"))
	request.AppendChild(op)
	if _, err := w.Write(request.Bytes()); err != nil {
		return err
	}
	p, err := ber.ReadPacket(w)
	if err != nil {
		return err
	}
	if len(p.Children) < 2 || p.Children[1].ClassType != ber.ClassApplication || p.Children[1].Tag != ldap.ApplicationExtendedResponse {
		return errors.New("answered with something else than an extended response")
	}
	return classify(ldap.GetLDAPError(p))
}

// handshake starts TLS on w as a client of host.
func handshake(ctx context.Context, w *wire, s *settings, host string) (*tls.Conn, error) {
	c := tls.Client(w, &tls.Config{ServerName: host, RootCAs: s.roots, MinVersion: tls.VersionTLS12})
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// dial opens a connection to a, under TLS if a says so, within ctx and s.timeout. Every
// error is a lostError.
func dial(ctx context.Context, s *settings, a address) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	w, err := dialTCP(ctx, a.hostPort())
	if err != nil {
		return nil, lostError{fmt.Errorf("connecting to %s: %w", a.url, timedOut(err, s.timeout))}
	}
	if a.up {
		if err := requestStartTLS(ctx, w); err != nil {
			_ = w.Close()
			return nil, lostError{fmt.Errorf("StartTLS with %s: %w", a.url, timedOut(err, s.timeout))}
		}
	}
	if !a.tls && !a.up {
		return newConn(w, w, false), nil
	}
	t, err := handshake(ctx, w, s, a.host)
	if err != nil {
		_ = w.Close()
		return nil, lostError{fmt.Errorf("TLS with %s: %w (check ca_pem and the name in urls)", a.url, timedOut(err, s.timeout))}
	}
	return newConn(t, w, true), nil
}

func newConn(c net.Conn, w *wire, isTLS bool) *conn {
	l := ldap.NewConn(c, isTLS)
	l.Start()
	return &conn{ldap: l, wire: w}
}

// do runs one operation within ctx and timeout. The error is an answerError, or a
// lostError, after which the connection is broken.
func (c *conn) do(ctx context.Context, timeout time.Duration, op func(*ldap.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c.wire.left.Store(maxAnswer)
	free := deadline(ctx, c.wire)
	err := op(c.ldap)
	free()
	if ctx.Err() != nil {
		c.broken = true // an answer may be on its way, and the deadline is over
	}
	err = classify(err)
	if !lost(err) {
		return err
	}
	c.broken = true
	switch {
	case ctx.Err() != nil:
		return lostError{timedOut(ctx.Err(), timeout)}
	case c.wire.ended.Load():
		return lostError{errClosed}
	}
	return err
}

func (c *conn) close() {
	_ = c.wire.Close()
	_ = c.ldap.Close()
}

// deadline makes w's operations fail when ctx ends, until the returned func is called.
func deadline(ctx context.Context, w *wire) (free func()) {
	stop := context.AfterFunc(ctx, func() { _ = w.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

// timedOut says in words what a deadline did.
func timedOut(err error, timeout time.Duration) error {
	var n net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout() {
		return fmt.Errorf("no answer within %v or what was left of the attempt: %w", timeout, context.DeadlineExceeded)
	}
	if errors.Is(err, io.EOF) {
		return errClosed
	}
	return err
}

var errClosed = errors.New("the server closed the connection without an answer")
