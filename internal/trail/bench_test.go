//go:build unix

package trail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// realSignIn is what one accepted RADIUS sign-in appends.
func realSignIn() []mfa.Record {
	id := mfa.NewAttemptID(nil)
	user, cred := mfa.UserID(mfa.NewID(nil)), mfa.CredentialID(mfa.NewID(nil))
	at := time.Date(2026, 11, 24, 8, 15, 42, 123456789, time.UTC)
	return []mfa.Record{
		{Settled: &mfa.Settled{Leg: mfa.LegID{1, 2, 3}, Attempt: id, User: user, Time: at, Server: "nyc1", Credential: cred,
			Floor: mfa.Floor{Next: 59324567}, Reason: mfa.OK, State: mfa.Committed, Epoch: 1, Revision: 1234567}},
		{Attempt: &mfa.Attempt{ID: id, Time: at, Server: "nyc1", Application: "vpn-gateway", FrontEnd: "radius", User: user, Login: "alice@corp.example",
			Source: "192.0.2.17", Peer: "10.0.0.20:51234", Verdict: mfa.Accept, Reason: mfa.OK, Method: mfa.MethodTOTP, Credential: cred, Duration: 1234567}},
	}
}

// BenchmarkAppend is one settlement and one attempt per operation, on the disk of
// TMPDIR; cpu-us/op is the whole process's.
func BenchmarkAppend(b *testing.B) {
	for _, callers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			o := onDisk(b)
			o.MaxSegment, o.fill = 0, 0
			tr, stop := run(b, o)
			records := realSignIn()
			bench(b, callers, func() error { return tr.Append(context.Background(), records...) })
			b.StopTimer()
			if err := stop(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkVerify is in bytes of trail.
func BenchmarkVerify(b *testing.B) {
	m, head := bigTrail(b)
	size := int64(0)
	for _, n := range m.files {
		size += int64(len(n.view))
	}
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if r, err := Verify(b.Context(), "/trail", VerifyOptions{FS: m, Head: head}); err != nil || !r.OK() {
			b.Fatal(r.Problems, err)
		}
	}
}

// BenchmarkReplay is per record.
func BenchmarkReplay(b *testing.B) {
	m, _ := bigTrail(b)
	tr, err := Open(bigOptions(m))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	n := 0
	for n < b.N {
		if err := tr.Replay(Position{}, func(Position, mfa.Record) error { n++; return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/record")
}

// BenchmarkIndex is per record, while a query waits.
func BenchmarkIndex(b *testing.B) {
	o := onDisk(b)
	o.MaxSegment, o.fill = 0, 0
	tr, err := Open(o)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	var wg sync.WaitGroup
	for c := range 64 {
		wg.Go(func() {
			for n := c; n < b.N/2+1; n += 64 {
				if err := tr.Append(ctx, signIn(n+1, 1000)...); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	x, err := OpenIndex(tr)
	if err != nil {
		b.Fatal(err)
	}
	before := cpu()
	b.ResetTimer()
	go func() { done <- x.Run(ctx) }()
	if _, _, err := x.Attempts(ctx, Filter{}); err != nil {
		b.Fatal(err)
	}
	b.StopTimer()
	b.ReportMetric(float64(cpu()-before)/1e3/float64(b.N), "cpu-us/op")
	cancel()
	if err := errors.Join(<-done, <-done); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkReport asks for a year by days, for two days by quarter-hours, and for those who
// passed without a second factor, of a million attempts within a year.
func BenchmarkReport(b *testing.B) {
	const attempts, year = 1_000_000, 365 * 24 * time.Hour
	o := onDisk(b)
	o.MaxSegment, o.fill = 0, 0
	tr, _ := run(b, o)
	r := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // a benchmark
	at, batch := start, make([]mfa.Record, 0, 1000)
	for n := range attempts {
		at = start.Add(time.Duration(n) * (year / attempts))
		if batch = append(batch, anyAttempt(r, at)); len(batch) == cap(batch) {
			if err := tr.Append(b.Context(), batch...); err != nil {
				b.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	x, err := OpenIndex(tr)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	if _, _, err := x.Attempts(ctx, Filter{}); err != nil { // waits for the index
		b.Fatal(err)
	}
	edges := func(from time.Time, step time.Duration, n int) (all []time.Time) {
		for i := range n + 1 {
			all = append(all, from.Add(time.Duration(i)*step))
		}
		return all
	}
	for _, q := range []struct {
		name  string
		edges []time.Time
	}{
		{"year/hours", edges(start.Truncate(time.Hour), 24*time.Hour, 365)},
		{"year/quarters", edges(start.Truncate(time.Hour).Add(30*time.Minute), 24*time.Hour, 365)},
		{"two-days", edges(at.Truncate(time.Hour).Add(-48*time.Hour), TallyStep, 192)},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if _, err := x.Tally(ctx, q.edges, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("people", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := x.People(ctx, []mfa.Reason{mfa.ExemptNetwork, mfa.ExemptUser}, "tap", Filter{Since: start}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func bigOptions(m FS) Options {
	o := options(m)
	o.MaxSegment, o.fill = 4<<20, 1<<20
	return o
}

// bigTrail is one of 40 000 records.
func bigTrail(b *testing.B) (*memFS, Position) {
	b.Helper()
	m := newMemFS()
	tr, stop := run(b, bigOptions(m))
	records := make([]mfa.Record, 0, 200)
	for range 100 {
		records = append(records, realSignIn()...)
	}
	for range 200 {
		if err := tr.Append(context.Background(), records...); err != nil {
			b.Fatal(err)
		}
	}
	if err := stop(); err != nil {
		b.Fatal(err)
	}
	return m, tr.Head()
}

// bench runs op b.N times in so many goroutines.
func bench(b *testing.B, callers int, op func() error) {
	b.ReportAllocs()
	runtime.GC()
	before := cpu()
	b.ResetTimer()
	var n atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n.Add(1) <= int64(b.N) {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(cpu()-before)/1e3/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "op/s")
}

func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
