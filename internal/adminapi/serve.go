package adminapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// The time-outs of every connection. Streams set their own as they go.
const (
	headerTimeout = 10 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second // doctor and directory test try things that time out themselves
	idleTimeout   = 2 * time.Minute
	graceTimeout  = 5 * time.Second
	maxHeader     = 32 << 10
	maxSocketPath = 107 // bytes that the kernel's address holds
)

type stoppingKey struct{}

// Serve answers HTTP on l until ctx is done; then it lets running requests end for a
// short while. h may be an API or a mux that holds one.
func Serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	stopping := make(chan struct{})
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			ctx = context.WithValue(ctx, stoppingKey{}, stopping)
			if u, ok := c.(*net.UnixConn); ok {
				ctx = context.WithValue(ctx, peerKey{}, peerOf(u))
			}
			return ctx
		},
	}
	srv.RegisterOnShutdown(func() { close(stopping) })
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("http on %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http on %s: %w", l.Addr(), err)
	}
	return nil
}

// CheckSocket refuses a path that no socket can have.
func CheckSocket(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("admin socket %s: the path has %d bytes and the system allows %d; choose a shorter data_dir", path, len(path), maxSocketPath)
	}
	return nil
}

// ListenSocket opens the unix socket at path, for its owner only. The caller holds the
// lock on the data folder, so a socket that lies there is a dead server's.
func ListenSocket(path string) (net.Listener, error) {
	if err := CheckSocket(path); err != nil {
		return nil, err
	}
	if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSocket == 0 {
		return nil, fmt.Errorf("admin socket %s: something that is no socket is there; move it away", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	// Until the mode is set the kernel's word on the peer already keeps others out.
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	return l, nil
}
