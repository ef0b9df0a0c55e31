package adminapi

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are in memory, so that time can be made to pass.
type pipes struct {
	open chan net.Conn
	done chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.open:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error   { close(p.done); return nil }
func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// Whoever is slow, in whatever, is let go after a fixed time: a client that dribbles holds no
// connection for longer than one that says nothing.
func TestSlowClients(t *testing.T) {
	dribble := func(c net.Conn, start string) {
		_, _ = io.WriteString(c, start)
		for {
			time.Sleep(time.Second)
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
		}
	}
	big := strings.Repeat("x", 1<<20)
	for name, c := range map[string]struct {
		client func(c net.Conn)
		ends   time.Duration
	}{
		"says nothing":      {func(net.Conn) {}, headerTimeout},
		"dribbles a header": {func(c net.Conn) { dribble(c, "GET / HTTP/1.1\r\nHost: a\r\nX: ") }, headerTimeout},
		"dribbles a form":   {func(c net.Conn) { dribble(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n") }, readTimeout},
		"is idle": {func(c net.Conn) {
			_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		}, idleTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancel(t.Context())
				l := pipes{make(chan net.Conn), make(chan struct{})}
				ended := make(chan error, 1)
				go func() {
					ended <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						_, err := io.Copy(io.Discard, r.Body)
						fmt.Fprintf(w, "%v", err)
					}), slog.New(slog.DiscardHandler))
				}()
				client, server := net.Pipe()
				l.open <- server
				began := time.Now()
				done := make(chan struct{})
				go func() { defer close(done); c.client(client) }()
				_, _ = io.Copy(io.Discard, client) // until the server lets go
				if took := time.Since(began); took < c.ends || took > c.ends+2*time.Second {
					t.Errorf("let go after %s, want %s", took, c.ends)
				}
				_ = client.Close()
				<-done
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
	t.Run("does not read", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			l := pipes{make(chan net.Conn), make(chan struct{})}
			ended, written := make(chan error, 1), make(chan error, 1)
			go func() {
				ended <- Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					_, err := io.WriteString(w, big)
					written <- err
				}), slog.New(slog.DiscardHandler))
			}()
			client, server := net.Pipe()
			l.open <- server
			began := time.Now()
			_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			if err := <-written; err == nil {
				t.Error("all was written to somebody who reads nothing")
			}
			if took := time.Since(began); took < writeTimeout || took > writeTimeout+2*time.Second {
				t.Errorf("the answer was given up after %s, want %s", took, writeTimeout)
			}
			_ = client.Close()
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	})
}

// A flood of header is cut off, before a handler sees it.
func TestHeaderFlood(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	l := pipes{make(chan net.Conn), make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it came through") }), slog.New(slog.DiscardHandler))
	}()
	client, server := net.Pipe()
	l.open <- server
	sent := make(chan int, 1)
	go func() {
		n, _ := io.WriteString(client, "GET / HTTP/1.1\r\nHost: a\r\n")
		for i := 0; ; i++ {
			m, err := fmt.Fprintf(client, "X-%d: %s\r\n", i, strings.Repeat("x", 1000))
			if n += m; err != nil || n > 10*maxHeader {
				sent <- n
				return
			}
		}
	}()
	res, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if err == nil {
		_ = res.Body.Close()
		if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("it is answered by %s", res.Status)
		}
	}
	_ = client.Close()
	if n := <-sent; n > 3*maxHeader {
		t.Errorf("%d bytes of header were taken, of at most %d", n, maxHeader)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
