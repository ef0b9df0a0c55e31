package logging

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Components are all parts of the program that have a logger of their own, in order: a level is set for each.
var Components = []string{"alarm", "api", "authn", "call", "callback", "clock", "cluster", "console", "coordinator", "device", "directory", "gateway", "group", "http",
	"ledger", "node", "parking", "peer", "portal", "push", "radius", "session", "store", "tls", "trail"}

// Levels holds how much each component says. It is safe for concurrent use. A level that
// was set for a while goes back by itself: there is no timer to stop.
type Levels struct {
	now func() time.Time

	mu         sync.RWMutex
	base       slog.Level
	components map[string]slog.Level // as configured
	names      map[string]bool       // components that have a logger
	until      map[string]override   // "" is all of them
}

// override is a level set at run time.
type override struct {
	level slog.Level
	until time.Time // zero: until the next start
}

// NewLevels returns levels as the node file has them.
func NewLevels(base slog.Level, components map[string]slog.Level, now func() time.Time) *Levels {
	return &Levels{now: now, base: base, components: maps.Clone(components), names: map[string]bool{}, until: map[string]override{}}
}

func (l *Levels) add(component string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.names[component] = true
}

// Set sets the level of a component ("" for all) for a while, or until the next start if
// during is 0. It replaces what was set before; for all, that of every component.
func (l *Levels) Set(component string, level slog.Level, during time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if component != "" && !l.names[component] {
		return fmt.Errorf("log component %q is not known; known are %s", component, strings.Join(slices.Sorted(maps.Keys(l.names)), ", "))
	}
	o := override{level: level}
	if during > 0 {
		o.until = l.now().Add(during)
	}
	if component == "" {
		clear(l.until)
	}
	l.until[component] = o
	return nil
}

// Of returns the level of a component now.
func (l *Levels) Of(component string) slog.Level {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, name := range [2]string{component, ""} {
		if o, ok := l.until[name]; ok && (o.until.IsZero() || l.now().Before(o.until)) {
			return o.level
		}
	}
	if level, ok := l.components[component]; ok {
		return level
	}
	return l.base
}

// handler asks the levels before it lets a record through.
type handler struct {
	slog.Handler
	component string
	levels    *Levels
}

// Enabled implements slog.Handler.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.levels.Of(h.component)
}

// WithAttrs implements slog.Handler.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{Handler: h.Handler.WithAttrs(attrs), component: h.component, levels: h.levels}
}

// WithGroup implements slog.Handler.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{Handler: h.Handler.WithGroup(name), component: h.component, levels: h.levels}
}
