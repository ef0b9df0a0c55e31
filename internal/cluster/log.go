package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// floodInterval is how often one message of etcd is let through.
const floodInterval = 10 * time.Second

// bridge hands etcd's log to ours. What etcd calls info is detail to an operator; warnings
// and errors are let through once in floodInterval each, with a count of those left out
// (a returning old member alone makes 25 a second).
type bridge struct {
	log    *slog.Logger
	now    func() time.Time
	fields []zapcore.Field
	calm   bool // warnings are detail: a parked copy misses its group, as it should

	floods *floods // shared by all that descend from one bridge
}

// harmless are messages that etcd writes as warnings or errors about what is as it should
// be here: there is no client port for tokens or gRPC, a member that has not written a
// snapshot yet cannot tell the version of its schema, one that joins has not told its own,
// and a read that was asked again is answered twice. An operator should not see them.
var harmless = map[string]bool{
	"Running http and grpc server on single port. This is not recommended for production.": true,
	"simple token is not cryptographically signed":                                         true,
	"Failed to detect schema version":                                                      true,
	"failed to update storage version":                                                     true,

	"failed to parse server version of remote member": true,

	"ignored out-of-date read index response; local node read indexes queueing up and waiting to be in sync with leader": true,
}

// tooEarly ends the message, with member and term before it, of a member that would lead
// before it has read back who the members are; it tries again a moment later.
const tooEarly = "since there are still pending configuration changes to apply"

type floods struct {
	mu   sync.Mutex
	seen map[string]flood
}

type flood struct {
	last    time.Time
	dropped int
}

// newZap returns a logger for etcd. What etcd cannot go on after, whether it would exit or
// panic, goes to end, which must not return. parked says that it reads a copy.
func newZap(log *slog.Logger, now func() time.Time, end func(reason string), parked bool) *zap.Logger {
	core := &bridge{log: log.With("part", "etcd"), now: now, calm: parked, floods: &floods{seen: map[string]flood{}}}
	return zap.New(core, zap.WithFatalHook(endHook(end)), zap.WithPanicHook(endHook(end)))
}

type endHook func(reason string)

// OnWrite implements zapcore.CheckWriteHook.
func (h endHook) OnWrite(ce *zapcore.CheckedEntry, fields []zapcore.Field) {
	h(describe(ce, fields))
}

// describe returns a message of etcd with the error it carries.
func describe(ce *zapcore.CheckedEntry, fields []zapcore.Field) string {
	for _, f := range fields {
		if err, ok := f.Interface.(error); ok && f.Type == zapcore.ErrorType {
			return fmt.Sprintf("%s: %v", ce.Message, err)
		}
	}
	return ce.Message
}

func (b *bridge) level(l zapcore.Level) slog.Level {
	switch {
	case l >= zapcore.ErrorLevel:
		return slog.LevelError
	case l == zapcore.WarnLevel && !b.calm:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

// Enabled implements zapcore.LevelEnabler.
func (b *bridge) Enabled(l zapcore.Level) bool {
	return b.log.Enabled(context.Background(), b.level(l))
}

// With implements zapcore.Core.
func (b *bridge) With(fields []zapcore.Field) zapcore.Core {
	c := *b
	c.fields = append(append([]zapcore.Field(nil), b.fields...), fields...)
	return &c
}

// Check implements zapcore.Core.
func (b *bridge) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if b.Enabled(e.Level) {
		return ce.AddCore(e, b)
	}
	return ce
}

// Write implements zapcore.Core.
func (b *bridge) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := b.level(e.Level)
	if harmless[e.Message] || strings.HasSuffix(e.Message, tooEarly) {
		if level = slog.LevelDebug; !b.log.Enabled(context.Background(), level) {
			return nil
		}
	}
	dropped := 0
	if level >= slog.LevelWarn && e.Level <= zapcore.ErrorLevel {
		var pass bool
		if pass, dropped = b.floods.pass(e.Message, b.now()); !pass {
			return nil
		}
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range append(append([]zapcore.Field(nil), b.fields...), fields...) {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields)+1)
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	if dropped > 0 {
		attrs = append(attrs, slog.Int("left_out", dropped))
	}
	b.log.LogAttrs(context.Background(), level, e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (b *bridge) Sync() error { return nil }

// pass reports whether message may be logged now, and how many were not since the last.
func (f *floods) pass(message string, now time.Time) (ok bool, dropped int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, known := f.seen[message]
	if since := now.Sub(s.last); known && since >= 0 && since < floodInterval {
		s.dropped++
		f.seen[message] = s
		return false, 0
	}
	if len(f.seen) > 1000 { // etcd's messages are constants; this is for those that are not
		clear(f.seen)
	}
	f.seen[message] = flood{last: now}
	return true, s.dropped
}
