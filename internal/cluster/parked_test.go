package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// fork makes epoch 2 of a server's database while the old copy stays and goes on: it returns
// the new epoch's node, the options of the old copy's folder, its name and the last revision
// that both have.
func fork(t *testing.T, old *Node) (next *Node, at int64) {
	t.Helper()
	path, at := snapshotOf(t, old)
	o := testOptions(filepath.Join(t.TempDir(), "data"))
	must(t, RestoreInto(t.Context(), o, Restore{Snapshot: path, Epoch: 2, DecidedBy: "an operator"}))
	next, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(next.Close)
	return next, at
}

func TestParkedShowsWhatOnlyItAcknowledged(t *testing.T) {
	n := newNode(t)
	put(t, n, "u/1", "before")
	put(t, n, "u/2", "stays")
	put(t, n, "u/3", "goes")
	next, at := fork(t, n)
	for i := range 50 {
		put(t, n, fmt.Sprintf("w/%02d", i), "lost")
	}
	put(t, n, "u/1", "after")
	_, _, err := n.Commit(t.Context(), nil, nil, []string{"u/3"})
	must(t, err)
	last := put(t, n, "w/50", "the very last")
	n.Close()

	p, err := OpenParked(t.Context(), n.o, "epoch-1.1")
	must(t, err)
	defer p.Close()
	if p.Revision() < last || p.ClusterID() != n.ClusterID() {
		t.Errorf("revision %d, cluster %s, want at least %d and %s", p.Revision(), p.ClusterID(), last, n.ClusterID())
	}
	changed := 0
	must(t, p.Scan(t.Context(), "", func(key string, value []byte, rev int64) bool {
		if rev > at {
			changed++
		}
		return true
	}))
	if changed != 52 {
		t.Errorf("%d keys are newer than the fork, want 52", changed)
	}
	for key, want := range map[string]string{"u/1": "before", "u/2": "stays", "u/3": "goes", "w/00": ""} {
		got, rev, known, err := p.At(t.Context(), key, at)
		if err != nil || !known || string(got) != want || (rev == 0) != (want == "") {
			t.Errorf("%s at the fork: %q of revision %d, %t, %v, want %q", key, got, rev, known, err, want)
		}
		if now, _ := get(t, next, key); now != want {
			t.Errorf("the new epoch has %s = %q, want %q", key, now, want)
		}
	}
	for key, before := range map[string]bool{"u/1": true, "w/00": false} {
		if rev, err := p.Created(t.Context(), key); err != nil || rev == 0 || (rev <= at) != before {
			t.Errorf("%s was created at %d, %v, want before the fork at %d: %t", key, rev, err, at, before)
		}
	}
	if _, rev, known, err := p.At(t.Context(), "u/3", p.Revision()); rev != 0 || !known || err != nil {
		t.Errorf("u/3 now: revision %d, %t, %v, want it gone", rev, known, err)
	}
}

// A member that is not the only voter is read without one that leads it.
func TestParkedReplica(t *testing.T) {
	g := newGroup(t)
	a, b := g.server("a").found(), g.server("b")
	b.join(a)
	rev := put(t, a.Node, "u/1", "x")
	waitRevision(t, b.Node, rev)
	b.kill()
	put(t, a.Node, "u/1", "y") // by the master alone
	a.kill()
	for _, c := range []struct {
		s    *testServer
		copy string
		want string
	}{{b, "epoch-1.1", "x"}, {a, "epoch-1.1", "y"}} {
		p, err := OpenParked(t.Context(), c.s.o, c.copy)
		must(t, err)
		if v, _, _, err := p.At(t.Context(), "u/1", p.Revision()); string(v) != c.want || err != nil {
			t.Errorf("%s: got %q, %v, want %q", c.s.o.Name, v, err, c.want)
		}
		p.Close()
	}
}

// A copy that is read leaves the servers alone that it knows.
func TestParkedIsQuiet(t *testing.T) {
	g := newGroup(t)
	a, b := g.server("a").found(), g.server("b")
	b.join(a)
	b.kill()
	a.kill()
	l, err := net.Listen("tcp", b.addr)
	must(t, err)
	defer l.Close()
	var calls atomic.Int32
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			calls.Add(1)
			c.Close()
		}
	}()
	p, err := OpenParked(t.Context(), a.o, "epoch-1.1")
	must(t, err)
	defer p.Close()
	<-time.After(500 * time.Millisecond) // fifty heartbeats
	if n := calls.Load(); n > 0 {
		t.Errorf("%d calls at the other server's port", n)
	}
}

func TestParkedHistoryIsGone(t *testing.T) {
	n := newNode(t)
	at := put(t, n, "u/1", "1")
	last := put(t, n, "u/1", "2")
	_, err := n.srv.Compact(t.Context(), &pb.CompactionRequest{Revision: last, Physical: true})
	must(t, err)
	n.Close()
	p, err := OpenParked(t.Context(), n.o, "epoch-1.1")
	must(t, err)
	defer p.Close()
	if v, rev, known, err := p.At(t.Context(), "u/1", at); known || err != nil {
		t.Errorf("got %q at %d, %t, %v, want not known", v, rev, known, err)
	}
}

func waitRevision(t *testing.T, n *Node, rev int64) {
	t.Helper()
	for n.srv.KV().Rev() < rev {
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func TestParkedDamaged(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"no database file": func(dir string) error { return os.Remove(filepath.Join(dir, "member", "snap", "db")) },
		"no log":           func(dir string) error { return os.RemoveAll(filepath.Join(dir, "member", "wal")) },
		"not there":        os.RemoveAll,
		"a database of zeros": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "member", "snap", "db"), make([]byte, 1<<16), 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			put(t, n, "u/1", "x")
			n.Close()
			must(t, spoil(copyDir(n.o.DataDir, "epoch-1.1")))
			if p, err := OpenParked(t.Context(), n.o, "epoch-1.1"); !errors.Is(err, ErrDamaged) {
				t.Errorf("got %v, %v, want ErrDamaged", p, err)
			}
		})
	}
}

// A sole voter that was killed shows everything that it acknowledged, opened to be read or
// after a barrier. A read of etcd's alone does not wait for the newest of it.
func TestKilledShowsWhatItAcknowledged(t *testing.T) {
	o := closedFolder(t)
	acked := make([]int, childWriters)
	for range 4 {
		runAndKill(t, o.DataDir, 40, acked)
		p, err := OpenParked(t.Context(), o, "epoch-1.1")
		must(t, err)
		for w, want := range acked {
			v, _, _, err := p.At(t.Context(), fmt.Sprintf("counter/%d", w), p.Revision())
			must(t, err)
			if got, _ := strconv.Atoi(string(v)); got < want {
				t.Errorf("writer %d was acknowledged %d, the copy says %d", w, want, got)
			}
		}
		p.Close()

		runAndKill(t, o.DataDir, 40, acked)
		n, err := Open(t.Context(), o)
		must(t, err)
		_, err = n.Barrier(t.Context())
		must(t, err)
		if got := n.srv.AppliedIndex(); got < n.logged {
			t.Errorf("after the barrier entry %d of %d is applied", got, n.logged)
		}
		n.Close()
	}
}
