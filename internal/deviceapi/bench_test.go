//go:build unix

package deviceapi_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"countersign/internal/admin"
	"countersign/internal/device"
	"countersign/internal/mfa"
	"countersign/internal/secret"
)

// waiters is how many requests wait at once.
const waiters = 10_000

// BenchmarkWaiting has as many requests wait for their users at one server, and looks at what that
// takes: memory for each, and processor time in a second in which nothing happens.
func BenchmarkWaiting(b *testing.B) {
	r := newRig(b)
	s := r.all[0]
	name, kind, address, methods, waiting, none := "many", "radius", []string{"192.0.2.9"}, []string{"push"}, "inside", "none"
	if _, err := s.admin.AddApplication(b.Context(), "root", admin.ApplicationChange{Name: &name, Kind: &kind, Addresses: &address, FirstFactor: &none,
		Secret: secret.NewWire("a shared secret"), Methods: &methods, Waiting: &waiting}); err != nil {
		b.Fatal(err)
	}
	app, err := s.db.ApplicationByName(name)
	must(b, err)
	key := newPhone(r)
	public, err := key.key.PublicKey.Bytes()
	must(b, err)
	for i := range waiters {
		_, err := s.db.CreateUser(b.Context(), mfa.User{Login: fmt.Sprintf("user%d", i), State: mfa.StateProtected},
			[]mfa.Credential{{ID: mfa.CredentialID(mfa.NewID(nil)), Method: mfa.MethodPush, Label: "Phone", Secret: device.Device{Key: public}.Secret(), Created: noon, Confirmed: noon}})
		must(b, err)
	}
	must(b, s.db.Sync(b.Context()))
	for b.Loop() {
		before := footprint()
		ctx, stop := context.WithCancel(b.Context())
		var wg, parked sync.WaitGroup
		parked.Add(waiters)
		began := time.Now()
		for i := range waiters {
			wg.Go(func() {
				_, _ = s.engine.Authenticate(ctx, mfa.Request{Application: app.ID, FrontEnd: "radius", Login: fmt.Sprintf("user%d", i), Caps: mfa.CanPrompt,
					Peer: netip.MustParseAddrPort("192.0.2.9:1812"), Patient: true, Waits: sync.OnceFunc(parked.Done)})
			})
		}
		parked.Wait()
		b.ReportMetric(float64(waiters)/time.Since(began).Seconds(), "asked/s")
		b.ReportMetric(float64(footprint()-before)/waiters, "B/waiting")
		cpu, at := processor(), time.Now()
		time.Sleep(time.Second)
		b.ReportMetric(100*(processor()-cpu).Seconds()/time.Since(at).Seconds(), "%cpu")
		stop()
		wg.Wait()
		r.advance(10 * time.Minute) // those are over
	}
}

// footprint is the memory in use, stacks included.
func footprint() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// processor is the processor time of this process so far.
func processor() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
