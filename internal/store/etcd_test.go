package store_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/keyring"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

func etcdOptions(dir string) cluster.Options {
	return cluster.Options{DataDir: dir, Name: "test", Group: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Sign:      func([]byte) ([]byte, error) { return []byte("signed"), nil },
		Verify:    func(_, _ []byte) error { return nil },
		Snapshots: -1, Ballast: -1}
}

// onEtcd founds a database in a new folder. With sync it is as durable as a server's.
func onEtcd(t testing.TB, sync bool) (*cluster.Node, string) {
	t.Helper()
	dir := t.TempDir()
	o := etcdOptions(dir)
	o.UnsafeNoFsync = !sync
	n, err := cluster.Found(context.WithoutCancel(t.Context()), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, dir
}

func TestOnEtcd(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.KV { n, _ := onEtcd(t, false); return n })
}

func TestAStolenDataFolderShowsNothing(t *testing.T) {
	n, dir := onEtcd(t, false)
	s, _ := withIdentity(t, n)
	id := writeSecrets(t, s)
	n.Close()
	seen := false
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, text := range clearTexts {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s shows %q", path, text)
			}
		}
		seen = seen || bytes.Contains(b, []byte(id))
		return err
	})
	if err != nil || !seen {
		t.Errorf("the files do not show what they must (%v): this test looks at the wrong thing", err)
	}
}

// BenchmarkImport imports 100 000 users without passwords into etcd, durably, and reports
// the rate, the time until a restarted server has read them, and what etcd, its log in
// memory and the view together keep on the heap for each user.
func BenchmarkImport(b *testing.B) {
	const many = 100000
	for b.Loop() {
		dir, ring := filepath.Join(b.TempDir(), "data"), newRing(b)
		before := heap()
		perUser := func() float64 { return float64(heap()-before) / many }
		session := func(open func(context.Context, cluster.Options) (*cluster.Node, error), work func(*store.Store)) {
			n, err := open(b.Context(), etcdOptions(dir))
			if err == nil {
				_, err = n.Barrier(b.Context())
			}
			if err != nil {
				b.Fatal(err)
			}
			s, stop := running(b, n, ring)
			work(s)
			stop()
			n.Close()
		}
		session(cluster.Found, func(s *store.Store) {
			users, began := people(many), time.Now()
			if _, err := s.CreateUsers(b.Context(), users); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(many/time.Since(began).Seconds(), "import-users/s")
			clear(users)
			b.ReportMetric(perUser(), "B/user")
		})
		began := time.Now()
		session(cluster.Open, func(s *store.Store) {
			b.ReportMetric(time.Since(began).Seconds(), "s/start")
			b.ReportMetric(perUser(), "B/user-restarted")
		})
	}
}

// running opens a store and waits until it is in step.
func running(b *testing.B, kv store.KV, ring *keyring.Ring) (*store.Store, func()) {
	ctx, stop := context.WithCancel(b.Context())
	s, done := start(b, ctx, kv, ring, store.Options{})
	if err := s.Sync(ctx); err != nil {
		b.Fatal(err)
	}
	return s, func() { stop(); <-done }
}
