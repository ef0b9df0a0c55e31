package cluster

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

func TestBridge(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	log := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelInfo}))
	z := newZap(log, func() time.Time { return now }, func(string) {}, false)
	lines := func() []string {
		defer out.Reset()
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}

	z.Info("detail", zap.String("a", "b"))
	if got := lines(); got[0] != "" {
		t.Errorf("info of etcd at level info: %q, want none", got)
	}
	z.Warn("a267b26a173033ec cannot campaign at term 1 since there are still pending configuration changes to apply")
	z.Warn("simple token is not cryptographically signed")
	if got := lines(); got[0] != "" {
		t.Errorf("warnings about what is as it should be: %q, want none", got)
	}
	z.With(zap.String("member", "m1")).Warn("slow", zap.Duration("took", time.Second), zap.Error(errors.New("why")))
	got := lines()[0]
	for _, want := range []string{"level=WARN", "part=etcd", "msg=slow", "member=m1", "took=1s", "error=why"} {
		if !strings.Contains(got, want) {
			t.Errorf("line %q has no %s", got, want)
		}
	}

	for range 25 { // a flood
		z.Warn("cluster ID mismatch")
	}
	z.Error("another")
	if got := lines(); len(got) != 2 || strings.Contains(got[0], "left_out") {
		t.Errorf("a flood of 25 and another: %q, want 2 lines", got)
	}
	now = now.Add(floodInterval)
	z.Warn("cluster ID mismatch")
	if got := lines(); len(got) != 1 || !strings.Contains(got[0], "left_out=24") {
		t.Errorf("after the interval: %q, want left_out=24", got)
	}
	now = now.Add(-time.Hour) // a clock that jumps back must not silence
	z.Warn("cluster ID mismatch")
	if got := lines(); got[0] == "" {
		t.Error("silenced by a clock that jumped back")
	}
}

func TestBridgeHooks(t *testing.T) {
	var heard string
	z := newZap(slog.New(slog.DiscardHandler), time.Now, func(m string) { heard = m; panic("the end") }, false)
	for _, c := range []struct {
		say  func()
		want string
	}{
		{func() { z.Fatal("failed to commit tx", zap.Error(errors.New("no space left on device"))) }, "failed to commit tx: no space left on device"},
		{func() { z.Panic("unexpected", zap.String("a", "b")) }, "unexpected"},
		{func() { z.Sugar().Panicf("tocommit(%d) is out of range", 7) }, "tocommit(7) is out of range"}, // raft's way
	} {
		func() {
			defer func() {
				if r := recover(); r != "the end" || heard != c.want {
					t.Errorf("recovered %v, heard %q, want %q", r, heard, c.want)
				}
			}()
			c.say()
		}()
	}
}
