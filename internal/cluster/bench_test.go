//go:build unix

package cluster

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// BenchmarkCommit is the settlement's write: a condition on one key and a put of 200 bytes to it. It reports commits a second, the 99th percentile of one commit, and the CPU time
// of the process for one.
func BenchmarkCommit(b *testing.B) {
	for _, mode := range []struct {
		name  string
		lanes int
	}{{"single", 0}, {"lanes=1", 1}, {"lanes=2", 2}, {"lanes=4", 4}} {
		for _, callers := range []int{1, 16, 64, 256} {
			b.Run(fmt.Sprintf("%s/callers=%d", mode.name, callers), func(b *testing.B) {
				n := newNode(b, func(o *Options) { o.NoBatch, o.Batches = mode.lanes == 0, mode.lanes })
				benchmarkCommit(b, n, callers)
			})
		}
	}
}

func benchmarkCommit(b *testing.B, n *Node, callers int) {
	value := bytes.Repeat([]byte{'x'}, 200)
	type user struct {
		s  string
		rs int64
	}
	users := make([]user, callers)
	for i := range users {
		u := &users[i]
		id := fmt.Sprintf("%016d", i)
		u.s = "s/" + id
		rev, _, err := n.Commit(context.Background(), nil, map[string][]byte{u.s: value}, nil)
		if err != nil {
			b.Fatal(err)
		}
		u.rs = rev
	}
	var next atomic.Int64
	took := make([][]time.Duration, callers)
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuTime()
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			u := &users[i]
			for next.Add(1) <= int64(b.N) {
				start := time.Now()
				rev, ok, err := n.Commit(context.Background(), map[string]int64{u.s: u.rs}, map[string][]byte{u.s: value}, nil)
				if err != nil || !ok {
					b.Error(ok, err)
					return
				}
				u.rs = rev
				took[i] = append(took[i], time.Since(start))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	if len(all) > 0 {
		b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "commits/s")
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
		b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(len(all)), "cpu-us/op")
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkOpen is the time from Open to the first linearizable read of a small database.
func BenchmarkOpen(b *testing.B) {
	n := newNode(b)
	for i := range 1000 {
		put(b, n, fmt.Sprintf("u/%d", i), "x")
	}
	for b.Loop() {
		n = reopen(b, n)
	}
}

// BenchmarkFound is the time to create a database.
func BenchmarkFound(b *testing.B) {
	for b.Loop() {
		newNode(b).Close()
	}
}
