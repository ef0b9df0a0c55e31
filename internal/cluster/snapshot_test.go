package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// snapshotOf writes a snapshot of n to a file and returns its path and revision.
func snapshotOf(t testing.TB, n *Node) (string, int64) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rev, err := n.Snapshot(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	return path, rev
}

// contents returns every key with value and revision.
func contents(t *testing.T, n *Node) map[string]string {
	t.Helper()
	all := map[string]string{}
	_, err := n.Scan(t.Context(), "", func(key string, value []byte, rev int64) bool {
		all[key] = fmt.Sprintf("%s at %d", value, rev)
		return true
	})
	must(t, err)
	return all
}

func TestRestoreKeepsKeysAndRevisions(t *testing.T) {
	n := newNode(t)
	put(t, n, "gone", "1")
	for i := range 300 {
		put(t, n, fmt.Sprintf("u/%d", i%100), fmt.Sprint(i))
	}
	put(t, n, "u/seven", "old")
	if _, ok, err := n.Commit(t.Context(), nil, nil, []string{"gone"}); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, rev7 := get(t, n, "u/seven")
	want := contents(t, n)
	path, rev := snapshotOf(t, n)
	put(t, n, "later", "not in it")

	info, err := VerifySnapshot(path)
	if err != nil || info.Revision != rev || info.Keys != len(want) {
		t.Errorf("verify: %+v, %v, want revision %d and %d keys", info, err, rev, len(want))
	}

	old := n.o
	oldID := n.ClusterID()
	n.Close()
	r := Restore{Snapshot: path, Epoch: 2, DecidedBy: "restore by root"}
	must(t, RestoreInto(t.Context(), old, r))
	n, err = Open(t.Context(), old)
	must(t, err)
	t.Cleanup(n.Close)
	if n.Epoch() != 2 || n.ClusterID() == oldID || n.file.DecidedBy != r.DecidedBy {
		t.Errorf("epoch %d, cluster %s (was %s), decided by %q", n.Epoch(), n.ClusterID(), oldID, n.file.DecidedBy)
	}
	if got := contents(t, n); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := os.Stat(copyDir(old.DataDir, "epoch-1.1")); err != nil {
		t.Errorf("the old epoch's database: %v", err)
	}

	// A condition on an old revision holds; a new revision is far above every old one.
	now, ok, err := n.Commit(t.Context(), map[string]int64{"u/seven": rev7}, map[string][]byte{"u/seven": []byte("new")}, nil)
	if !ok || err != nil || now < rev+revisionBump {
		t.Errorf("condition on a revision of the old epoch: %v, %v, revision %d, want above %d", ok, err, now, rev+revisionBump)
	}
	next, stop := watch(t, n, "u/seven")
	expect(t, next, "reset", fmt.Sprintf("u/seven=new at %d", now), fmt.Sprintf("up to %d", now))
	after := put(t, n, "u/seven", "newer")
	expect(t, next, fmt.Sprintf("u/seven=newer at %d", after))
	stop()

	n.Close() // and it survives as any database does
	n, err = Open(t.Context(), old)
	must(t, err)
	defer n.Close()
	if v, _ := get(t, n, "u/seven"); v != "newer" {
		t.Errorf("after reopen: %q", v)
	}
}

func TestRestoreIntoAnEmptyFolder(t *testing.T) {
	n := newNode(t)
	put(t, n, "u/1", "alice")
	path, _ := snapshotOf(t, n)
	o := testOptions(filepath.Join(t.TempDir(), "new", "data"))
	o.Name = "lon1" // another machine
	must(t, RestoreInto(t.Context(), o, Restore{Snapshot: path, Epoch: 1001, DecidedBy: "restore"}))
	m, err := Open(t.Context(), o)
	must(t, err)
	defer m.Close()
	if v, _ := get(t, m, "u/1"); v != "alice" || m.Epoch() != 1001 {
		t.Errorf("got %q in epoch %d", v, m.Epoch())
	}
	put(t, m, "u/2", "bob")
}

func TestRestoreOverADamagedDatabase(t *testing.T) {
	n := newNode(t)
	put(t, n, "u/1", "alice")
	path, _ := snapshotOf(t, n)
	n.Close()
	must(t, os.RemoveAll(filepath.Join(copyDir(n.o.DataDir, "epoch-1.1"), "member", "wal")))
	must(t, RestoreInto(t.Context(), n.o, Restore{Snapshot: path, Epoch: 2, DecidedBy: "restore"}))
	m, err := Open(t.Context(), n.o)
	must(t, err)
	defer m.Close()
	if v, _ := get(t, m, "u/1"); v != "alice" {
		t.Errorf("got %q", v)
	}
}

func TestRestoreRefused(t *testing.T) {
	n := newNode(t)
	put(t, n, "u/1", "alice")
	good, _ := snapshotOf(t, n)
	goodBytes, err := os.ReadFile(good)
	must(t, err)
	changed := func(t *testing.T, change func(b []byte) []byte) string {
		path := filepath.Join(t.TempDir(), "bad")
		must(t, os.WriteFile(path, change(bytes.Clone(goodBytes)), 0o600))
		return path
	}
	cases := []struct {
		name   string
		change func(t *testing.T, o *Options, r *Restore)
		want   string
	}{
		{"no such file", func(t *testing.T, _ *Options, r *Restore) { r.Snapshot = filepath.Join(t.TempDir(), "none") }, "no such file"},
		{"a bit flipped", func(t *testing.T, _ *Options, r *Restore) {
			r.Snapshot = changed(t, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		}, "checksum"},
		{"cut short", func(t *testing.T, _ *Options, r *Restore) {
			r.Snapshot = changed(t, func(b []byte) []byte { return b[:len(b)-4096] })
		}, "checksum"},
		{"checksum gone", func(t *testing.T, _ *Options, r *Restore) {
			r.Snapshot = changed(t, func(b []byte) []byte { return b[:len(b)-32] })
		}, "cut short"},
		{"empty", func(t *testing.T, _ *Options, r *Restore) {
			r.Snapshot = changed(t, func(b []byte) []byte { return nil })
		}, "cut short"},
		{"epoch 0", func(_ *testing.T, _ *Options, r *Restore) { r.Epoch = 0 }, "Epoch"},
		{"epoch not above", func(_ *testing.T, _ *Options, r *Restore) { r.Epoch = 1 }, "knows epoch 1"},
		{"nobody decided", func(_ *testing.T, _ *Options, r *Restore) { r.DecidedBy = "" }, "DecidedBy"},
		{"other group's folder", func(_ *testing.T, o *Options, _ *Restore) { o.Group = "other" }, "belongs to group"},
		{"foreign folder", func(t *testing.T, o *Options, _ *Restore) {
			o.DataDir = t.TempDir()
			must(t, os.WriteFile(filepath.Join(o.DataDir, "x"), nil, 0o600))
		}, "not a data folder"},
		{"nobody can sign", func(_ *testing.T, o *Options, _ *Restore) {
			o.Sign = func([]byte) ([]byte, error) { return nil, errors.New("no key") }
		}, "no key"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := closedFolder(t)
			r := Restore{Snapshot: good, Epoch: 2, DecidedBy: "restore"}
			c.change(t, &o, &r)
			before := contentsOfTree(tree(t, o.DataDir))
			err := RestoreInto(t.Context(), o, r)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			if after := contentsOfTree(tree(t, o.DataDir)); !maps.Equal(before, after) {
				t.Errorf("the folder changed:\n%v\n%v", before, after)
			}
		})
	}
	t.Run("folder in use", func(t *testing.T) {
		if err := RestoreInto(t.Context(), n.o, Restore{Snapshot: good, Epoch: 2, DecidedBy: "restore"}); !errors.Is(err, ErrLocked) {
			t.Errorf("got %v, want ErrLocked", err)
		}
	})
}

// contentsOfTree leaves out folders (whose times change with what comes and goes in them)
// and the lock.
func contentsOfTree(all map[string]string) map[string]string {
	out := map[string]string{}
	for path, text := range all {
		if text[0] != 'd' && filepath.Base(path) != lockFileName {
			out[path] = text
		}
	}
	return out
}

// TestSnapshotUnderLoad restores a snapshot that was taken while others wrote, and checks
// that it is one moment: each commit wrote two keys, and no key is newer than what its
// revision says.
func TestSnapshotUnderLoad(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	begun := make(chan struct{})
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				v := []byte(fmt.Sprint(i))
				_, _, err := n.Commit(t.Context(), nil, map[string][]byte{fmt.Sprintf("a/%d", w): v, fmt.Sprintf("b/%d", w): v}, nil)
				if err != nil {
					t.Error(err)
				}
				if w == 0 && i == 50 {
					close(begun)
				}
			}
		})
	}
	<-begun
	path, rev := snapshotOf(t, n)
	cancel()
	wg.Wait()
	o := testOptions(filepath.Join(t.TempDir(), "data"))
	must(t, RestoreInto(t.Context(), o, Restore{Snapshot: path, Epoch: 2, DecidedBy: "restore"}))
	m, err := Open(t.Context(), o)
	must(t, err)
	defer m.Close()
	all := contents(t, m)
	for w := range 8 {
		if a, b := all[fmt.Sprintf("a/%d", w)], all[fmt.Sprintf("b/%d", w)]; a != b {
			t.Errorf("writer %d: half a commit: %s and %s", w, a, b)
		}
	}
	info, err := VerifySnapshot(path)
	if err != nil || info.Revision < rev {
		t.Errorf("verify: %+v, %v, want at least revision %d", info, err, rev)
	}
}

func TestSnapshotEndsWithItsContext(t *testing.T) {
	n := newNode(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Snapshot(ctx, &bytes.Buffer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	full := errors.New("full")
	if _, err := n.Snapshot(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full })); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

func TestLocalSnapshots(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	n := newNode(t, func(o *Options) { o.Now = func() time.Time { return now }; o.Snapshots = 3 })
	dir := filepath.Join(n.o.DataDir, snapshotDirName)
	names := func() string {
		entries, _ := os.ReadDir(dir)
		var all []string
		for _, e := range entries {
			all = append(all, strings.TrimSuffix(e.Name(), ".snapshot"))
		}
		return strings.Join(all, " ")
	}
	tick := func() { t.Helper(); must(t, n.snaps.tick(t.Context())) }

	tick()
	if got := names(); got != "20261125T100000Z-1" {
		t.Errorf("at the start: %s", got)
	}
	put(t, n, "a", "1") // revision 2
	now = now.Add(59 * time.Minute)
	tick()
	if got := names(); got != "20261125T100000Z-1" {
		t.Errorf("before the hour is over: %s", got)
	}
	now = now.Add(time.Minute)
	tick()
	now = now.Add(2 * time.Hour) // nothing has changed
	tick()
	if got := names(); got != "20261125T100000Z-1 20261125T110000Z-2" {
		t.Errorf("after the hour: %s", got)
	}
	put(t, n, "a", "2")
	now = now.Add(-24 * time.Hour) // the clock jumps back: one is made, and is the newest
	must(t, os.WriteFile(filepath.Join(dir, "123.tmp"), []byte("half"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "notes.txt"), nil, 0o600))
	tick()
	if got := names(); got != "20261124T130000Z-3 20261125T100000Z-1 20261125T110000Z-2 notes.txt" {
		t.Errorf("after a jump back: %s", got)
	}
	put(t, n, "a", "3")
	now = now.Add(time.Hour)
	tick()
	if got := names(); got != "20261124T130000Z-3 20261124T140000Z-4 20261125T110000Z-2 notes.txt" {
		t.Errorf("only 3 are kept, the oldest revisions go: %s", got)
	}
	info, err := VerifySnapshot(filepath.Join(dir, "20261124T140000Z-4.snapshot"))
	if err != nil || info.Revision != 4 || info.Keys != 1 {
		t.Errorf("the last one: %+v, %v", info, err)
	}

	put(t, n, "a", "4")
	now = now.Add(time.Hour)
	n.disk.space = func(string) (int64, int64, error) { return 0, 1 << 30, nil }
	if err := n.snaps.tick(t.Context()); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("on a full disk: %v", err)
	}
	n.snaps.keep = 0
	tick()
}

// TestRun has Run do its work on its own clock: the first snapshot, the look at the disk.
func TestRun(t *testing.T) {
	log := messages{slog.DiscardHandler, make(chan string, 1<<20)}
	n := newNode(t, func(o *Options) { o.Log = slog.New(log) })
	var mu sync.Mutex
	free := int64(1 << 40)
	n.disk.space = func(string) (int64, int64, error) { mu.Lock(); defer mu.Unlock(); return free, 1 << 40, nil }
	set := func(v int64) { mu.Lock(); free = v; mu.Unlock() }
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- n.Run(ctx) }()
	set(0)
	log.await(t, "changes are refused")
	set(1 << 40)
	log.await(t, "changes are allowed")
	cancel()
	if err := <-ran; err != nil {
		t.Errorf("run ended with %v", err)
	}
}
