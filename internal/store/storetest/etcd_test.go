package storetest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"countersign/internal/cluster"
	"countersign/internal/store"
)

func etcdOptions(dir string) cluster.Options {
	return cluster.Options{DataDir: dir, Name: "test", Group: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Sign:      func([]byte) ([]byte, error) { return []byte("signed"), nil },
		Verify:    func(_, _ []byte) error { return nil },
		Snapshots: -1, Ballast: -1, UnsafeNoFsync: true}
}

// onEtcd founds a database in a new folder.
func onEtcd(t testing.TB) (*cluster.Node, string) {
	t.Helper()
	dir := t.TempDir()
	n, err := cluster.Found(context.Background(), etcdOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n, dir
}

func TestOnEtcd(t *testing.T) {
	Run(t, func(t *testing.T) store.KV { n, _ := onEtcd(t); return n })
}
