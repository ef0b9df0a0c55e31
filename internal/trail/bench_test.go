//go:build unix

package trail

import (
	"context"
	"fmt"
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
