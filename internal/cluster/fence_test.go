package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// A pair loses its master; the replica forks a new epoch from its copy; the old master comes
// back with a write that nobody else has, joins the new epoch, and its copy is parked.
func TestForkAndPark(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b").join(a)
	first := b.Folder()
	if first.Epoch != 1 || first.Highest != 1 || first.Rival != "" || first.ClusterID != a.ClusterID() {
		t.Fatalf("folder of the replica: %+v", first)
	}
	b.kill()
	put(t, a.Node, "u/2", "only at a")
	a.crash()
	b.open()
	if err := b.Fork(t.Context(), Restore{Epoch: 2, DecidedBy: "operator"}); err == nil {
		t.Fatal("forked a database that decides")
	}

	b.Fence(errors.New("a promotion"))
	if _, _, err := b.Commit(t.Context(), nil, map[string][]byte{"x": []byte("1")}, nil); !errors.Is(err, mfa.ErrUnavailable) || !strings.Contains(err.Error(), "a promotion") {
		t.Errorf("a write behind the fence: %v", err)
	}
	if _, _, err := b.Get(t.Context(), "u/1"); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("a read behind the fence: %v", err)
	}
	must(t, b.SawEpoch(1001))
	must(t, b.SawEpoch(7))
	if err := b.Fork(t.Context(), Restore{Epoch: 1001, DecidedBy: "operator"}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("forked an epoch that is known already: %v", err)
	}
	if f, err := Look(b.o); err != nil || f.Epoch != 1 || f.Highest != 1001 {
		t.Errorf("after a refused fork the folder says %+v %v", f, err)
	}
	receipt := json.RawMessage(`{"by": "root"}`)
	must(t, b.Fork(t.Context(), Restore{Epoch: 1002, DecidedBy: "operator", Unconfirmed: true, Receipt: receipt}))
	if b.Epoch() != 1 {
		t.Errorf("the database that is open is of epoch %d now", b.Epoch())
	}
	fork := b.status().Revision
	b.kill()
	b.open()
	f := b.Folder()
	if f.Epoch != 1002 || f.Highest != 1002 || f.Previous != first.ClusterID || f.Fork != fork || !f.Unconfirmed || f.ClusterID == first.ClusterID {
		t.Errorf("folder of the new epoch: %+v, forked at %d", f, fork)
	}
	var kept struct{ By string }
	if err := json.Unmarshal(f.Receipt, &kept); err != nil || kept.By != "root" {
		t.Errorf("receipt %s: %v", f.Receipt, err)
	}
	eventually(t, 10*time.Second, "a master of the new epoch", func() bool { return b.status().Role == "master" })
	if _, err := b.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v, _ := get(t, b.Node, "u/1"); v != "one" {
		t.Errorf("the new epoch has %q", v)
	}
	if v, _ := get(t, b.Node, "u/2"); v != "" {
		t.Errorf("the new epoch has %q, which it never heard of", v)
	}
	put(t, b.Node, "u/3", "three")

	a.open()
	must(t, a.SawEpoch(1002))
	must(t, a.SawRival("00000000deadbeef"))
	a.kill()
	a.open()
	if f := a.Folder(); f.Highest != 1002 || f.Rival != "00000000deadbeef" || f.Epoch != 1 {
		t.Errorf("after a restart the old master knows %+v", f)
	}
	a.kill()
	a.join(b)
	if v := localValue(t, a.Node, "u/3"); v != "three" {
		t.Errorf("the old master has %q of the new epoch", v)
	}
	if f := a.Folder(); f.Epoch != 1002 || f.Rival != "" {
		t.Errorf("after it joined: %+v", f)
	}
	all, err := ParkedCopies(a.o.DataDir, a.Folder().Copy)
	if err != nil || len(all) != 1 || all[0].Copy != "epoch-1.1" || all[0].ClusterID != first.ClusterID || all[0].Next != 1002 || all[0].NextID != f.ClusterID {
		t.Fatalf("parked: %+v %v", all, err)
	}
	if id, err := clusterOf(all[0].Path(a.o.DataDir)); err != nil || id != first.ClusterID {
		t.Errorf("the parked copy is of cluster %s: %v", id, err)
	}
	if none, err := ParkedCopies(a.o.DataDir, "epoch-1.1"); err != nil || len(none) != 0 {
		t.Errorf("a copy that counts is listed as parked: %+v %v", none, err)
	}
	must(t, DropParked(a.o.DataDir, all[0]))
	if none, err := ParkedCopies(a.o.DataDir, ""); err != nil || len(none) != 0 {
		t.Errorf("after it was dropped: %+v %v", none, err)
	}
}

// A write that was on its way when the fence went up may lack in the new epoch: its outcome
// is not known.
func TestFenceDuringCommit(t *testing.T) {
	a := newGroup(t).server("a").found()
	send := a.queue.send
	a.queue.send = func(ctx context.Context, req *pb.TxnRequest) (*pb.TxnResponse, error) {
		defer a.Fence(errors.New("a promotion"))
		return send(ctx, req)
	}
	if _, ok, err := a.Commit(t.Context(), nil, map[string][]byte{"u/1": []byte("one")}, nil); ok || !errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("acknowledged behind the fence: %v %v", ok, err)
	}
}
