// Package logging sets up the server's log: slog as text or JSON, to standard error or to
// a file that rotates, with a level for each component that can be changed for a while.
// What must not be read in a log is redacted by its type, wherever it stands.
package logging

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"gopkg.in/natefinch/lumberjack.v2"
)

// Options says where the log goes and how much. Stderr and Levels must be set.
type Options struct {
	Format string // "json"; anything else is text
	File   string // empty: Stderr
	Stderr io.Writer
	Levels *Levels
}

const (
	maxMegabytes = 100 // of one log file
	maxFiles     = 10  // kept besides, compressed
)

// Log makes the loggers of the server's components.
type Log struct {
	handler slog.Handler
	levels  *Levels
	out     *gate
}

// New opens the log.
func New(o Options) (*Log, error) {
	l := &Log{levels: o.Levels}
	w := o.Stderr
	if o.File != "" {
		// Tried now, for one clear line instead of a silent log.
		f, err := os.OpenFile(o.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("log.file %s: %w (folder %s must exist and be writable)", o.File, err, filepath.Dir(o.File))
		}
		if err := f.Close(); err != nil {
			return nil, fmt.Errorf("log.file %s: %w", o.File, err)
		}
		rotating := &lumberjack.Logger{Filename: o.File, MaxSize: maxMegabytes, MaxBackups: maxFiles, Compress: true}
		w = rotating
	}
	l.out = &gate{w: w}
	// The level is decided before the handler is asked.
	ho := &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: redact}
	if o.Format == "json" {
		l.handler = slog.NewJSONHandler(l.out, ho)
	} else {
		l.handler = slog.NewTextHandler(l.out, ho)
	}
	return l, nil
}

// Logger returns the logger of a component. Its name stands in every line.
func (l *Log) Logger(component string) *slog.Logger {
	l.levels.add(component)
	return slog.New(&handler{
		Handler:   l.handler.WithAttrs([]slog.Attr{slog.String("component", component)}),
		component: component,
		levels:    l.levels,
	})
}

// Close closes the file. What is logged afterwards is dropped: a connection that ends late does
// not come after the error that the program ends with, nor open the file again.
func (l *Log) Close() error { return l.out.close() }

// gate passes on what is written until it is closed.
type gate struct {
	mu     sync.Mutex
	w      io.Writer
	closed bool
}

// Write implements io.Writer.
func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return len(p), nil
	}
	return g.w.Write(p)
}

func (g *gate) close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	g.closed = true
	if rotating, ok := g.w.(*lumberjack.Logger); ok {
		return rotating.Close()
	}
	return nil
}

// redact hides the passwords of URLs; secret.Text hides itself.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value.Any().(type) {
	case *url.URL:
		return slog.String(a.Key, v.Redacted())
	case url.URL:
		return slog.String(a.Key, v.Redacted())
	}
	return a
}
