package store_test

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)

// people returns n users with a TOTP credential each, as an import makes them.
func people(n int) []mfa.NewUser {
	users := make([]mfa.NewUser, n)
	for i := range users {
		u := mfa.User{ID: mfa.UserID(mfa.NewID(nil)), Login: fmt.Sprintf("user%06d", i), Name: fmt.Sprintf("Person Number %d", i),
			Email: fmt.Sprintf("user%06d@corp.example", i), State: mfa.StateProtected, Created: noon, Changed: noon}
		c := mfa.Credential{ID: mfa.CredentialID(mfa.NewID(nil)), User: u.ID, Method: mfa.MethodTOTP, Label: "imported",
			Secret: secret.FromString("12345678901234567890"), Algorithm: "SHA1", Digits: 6, Period: 30, Created: noon, Confirmed: noon, By: "root (unix socket)"}
		users[i] = mfa.NewUser{User: u, Credentials: []mfa.Credential{c}}
	}
	return users
}

// open returns a running store on kv.
func open(t testing.TB, kv store.KV, ring *keyring.Ring) *store.Store {
	t.Helper()
	return openAs(t, kv, ring, keyring.Identity{})
}

func openAs(t testing.TB, kv store.KV, ring *keyring.Ring, id keyring.Identity) *store.Store {
	t.Helper()
	return openNamed(t, kv, ring, id, "test")
}

func openNamed(t testing.TB, kv store.KV, ring *keyring.Ring, id keyring.Identity, server string) *store.Store {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s, done := start(t, ctx, kv, ring, store.Options{Server: server, Identity: id})
	t.Cleanup(func() { stop(); <-done })
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// start opens a store that runs until ctx is done.
func start(t interface{ Fatal(...any) }, ctx context.Context, kv store.KV, ring *keyring.Ring, o store.Options) (*store.Store, <-chan struct{}) {
	o.Epoch, o.Now, o.Log = 1, func() time.Time { return noon }, slog.New(slog.DiscardHandler)
	s, err := store.Open(ctx, kv, ring, o)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	return s, done
}

func newRing(t testing.TB) *keyring.Ring {
	t.Helper()
	k, err := keyring.New(nil, noon)
	if err != nil {
		t.Fatal(err)
	}
	return keyring.NewRing(k)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkView loads 100 000 users and reports the bytes that the view needs for each,
// and how long loading takes.
func BenchmarkView(b *testing.B) {
	const n = 100000
	kv, ring := &storetest.Memory{}, newRing(b)
	first := open(b, kv, ring)
	began := time.Now()
	errs, err := first.CreateUsers(b.Context(), people(n))
	if err != nil {
		b.Fatal(err, errs[0])
	}
	imported := time.Since(began)
	for b.Loop() {
		before := heap()
		began := time.Now()
		s := open(b, kv, ring)
		took := time.Since(began)
		b.ReportMetric(float64(heap()-before)/n, "B/user")
		b.ReportMetric(took.Seconds()/n*1e9, "ns/load-user")
		b.ReportMetric(n/imported.Seconds(), "import-users/s")
		if s.CountUsers() != n {
			b.Fatal("users missing:", s.CountUsers())
		}
	}
}

func BenchmarkAccount(b *testing.B) {
	s := open(b, &storetest.Memory{}, newRing(b))
	users := people(1000)
	if _, err := s.CreateUsers(b.Context(), users); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if _, err := s.Account(b.Context(), users[i%1000].User.ID, false); err != nil {
			b.Fatal(err)
		}
		i++
	}
}

func BenchmarkUserByForm(b *testing.B) {
	s := open(b, &storetest.Memory{}, newRing(b))
	if _, err := s.CreateUsers(b.Context(), people(1000)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.UserByForm(b.Context(), "user000500"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSettle(b *testing.B) {
	s := open(b, &storetest.Memory{}, newRing(b))
	users := people(1)
	if _, err := s.CreateUsers(b.Context(), users); err != nil {
		b.Fatal(err)
	}
	a, err := s.Account(b.Context(), users[0].User.ID, false)
	if err != nil {
		b.Fatal(err)
	}
	used := []mfa.CredentialID{users[0].Credentials[0].ID}
	b.ReportAllocs()
	for b.Loop() {
		rev, ok, err := s.Settle(b.Context(), a, used, a.Record)
		if err != nil || !ok {
			b.Fatal(ok, err)
		}
		a.RecordRev = rev
	}
}
