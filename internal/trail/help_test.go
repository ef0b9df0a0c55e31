package trail

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/mfatest"
)

var start = time.Date(2026, 11, 24, 8, 0, 0, 0, time.UTC)

// logs collects what was logged.
type logs struct{ mfatest.Output }

func (l *logs) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// options are those of a small trail on m.
func options(m FS) Options {
	return Options{Dir: "/trail", Server: "nyc1", Log: slog.New(slog.DiscardHandler), FS: m, Now: func() time.Time { return start }, MaxSegment: 4 << 10, fill: 1 << 10}
}

// act returns a record that says n.
func act(n int) mfa.Record {
	return mfa.Record{Act: &mfa.Act{Time: start, Server: "nyc1", By: "test", Verb: "count", Object: fmt.Sprint(n)}}
}

// run opens a trail and runs it; stop ends it and returns Run's error.
func run(t testing.TB, o Options) (tr *Trail, stop func() error) {
	t.Helper()
	tr, err := Open(o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	return tr, running(t, tr)
}

func running(t testing.TB, tr *Trail) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return stop
}

// objects returns what the acts of a trail after a position say.
func objects(t testing.TB, tr *Trail, after Position) []string {
	t.Helper()
	var got []string
	err := tr.Replay(after, func(_ Position, r mfa.Record) error {
		if r.Act != nil {
			got = append(got, r.Act.Object)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("Replay: %v", err)
	}
	return got
}

func numbers(from, to int) []string {
	var s []string
	for ; from <= to; from++ {
		s = append(s, fmt.Sprint(from))
	}
	return s
}

// append appends acts from..to, one by one.
func appendActs(t testing.TB, tr *Trail, from, to int) {
	t.Helper()
	for n := from; n <= to; n++ {
		if err := tr.Append(t.Context(), act(n)); err != nil {
			t.Fatalf("Append %d: %v", n, err)
		}
	}
}

// sound fails the test unless the trail in fs verifies against head.
func sound(t testing.TB, m FS, dir string, head Position) Report {
	t.Helper()
	r, err := Verify(t.Context(), dir, VerifyOptions{FS: m, Head: head})
	if err != nil {
		t.Fatalf("Verify: %v", err)
	}
	if !r.OK() {
		t.Errorf("Verify: got %v, want no problem", r.Problems)
	}
	return r
}

func equal(t testing.TB, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
