package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A sole voter that was killed has its newest writes in its log alone, and raft answers the
// first read of a term of a group of one before that log counts as acknowledged.
func TestBarrierShowsAllThatWasAcknowledged(t *testing.T) {
	n := newNode(t)
	for i := range 12 {
		key := fmt.Sprintf("k%d", i)
		put(t, n, key, "1")
		dir := filepath.Join(t.TempDir(), "data") // as kill -9 leaves it
		must(t, os.CopyFS(dir, os.DirFS(n.o.DataDir)))
		o := n.o
		o.DataDir = dir
		killed, err := Open(t.Context(), o)
		must(t, err)
		_, err = killed.Barrier(t.Context())
		must(t, err)
		if v := localValue(t, killed, key); v != "1" {
			t.Errorf("write %d was acknowledged, and is not there after a kill", i)
		}
		killed.Close()
	}
}

// A sole voter is killed when it has just made another one a voter: what its folder knows of the
// members is older than its log. Started again without the other, it has nobody to wait for, for
// the two have no leader.
func TestRecallAfterThePromotionOfAnother(t *testing.T) {
	g := newGroup(t)
	a, b := g.server("a").found(), g.server("b")
	b.join(a)
	put(t, a.Node, "k", "1")
	old := filepath.Join(t.TempDir(), "old") // what the folder knew of the members before
	must(t, os.CopyFS(old, os.DirFS(a.o.DataDir)))
	must(t, a.Promote(t.Context(), b.id()))
	for _, wal := range logFiles(t, a.o.DataDir) { // the log is ahead of it
		must(t, os.CopyFS(filepath.Join(old, wal+".new"), os.DirFS(filepath.Join(a.o.DataDir, wal))))
		must(t, os.RemoveAll(filepath.Join(old, wal)))
		must(t, os.Rename(filepath.Join(old, wal+".new"), filepath.Join(old, wal)))
	}
	a.kill()
	b.kill()
	o := a.o
	o.DataDir = old
	n, err := Open(t.Context(), o)
	must(t, err)
	defer n.Close()
	if !n.alone() {
		t.Fatal("the folder knows of the other voter already")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	must(t, n.Recall(ctx))
	must(t, ctx.Err()) // it did not wait for a leader
	if n.alone() {
		t.Error("it is taken for the only voter still")
	}
	if v := localValue(t, n, "k"); v != "1" {
		t.Errorf("k = %q", v)
	}
}

// logFiles returns the folders of the log in a data folder, relative to it.
func logFiles(t *testing.T, dir string) []string {
	all, err := filepath.Glob(filepath.Join(dir, "db", "*", "member", "wal"))
	must(t, err)
	if len(all) == 0 {
		t.Fatalf("no log in %s", dir)
	}
	for i := range all {
		all[i], err = filepath.Rel(dir, all[i])
		must(t, err)
	}
	return all
}
