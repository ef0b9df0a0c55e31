package cluster

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestRemoveAndJoinAgain(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b := g.server("b").join(a)
	ids := map[string]bool{b.id(): true}
	for round := range 5 {
		key := fmt.Sprintf("u/%d", round)
		must(t, a.Remove(t.Context(), b.id()))
		must(t, a.Remove(t.Context(), b.id())) // twice is no error
		select {
		case <-b.Removed():
		case <-time.After(10 * time.Second):
			t.Fatal("the removed server never heard of it")
		}
		if st := b.status(); st.Role != "removed" {
			t.Errorf("the removed server says %+v", st)
		}
		if _, _, err := b.Get(t.Context(), "x"); !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("a read on the removed server: %v", err)
		}
		b.kill()
		put(t, a.Node, key, "x")
		was := b.copyOnDisk()
		b.join(a)
		if localValue(t, b.Node, key) != "x" || ids[b.id()] {
			t.Fatalf("round %d: member %s, %q", round, b.id(), localValue(t, b.Node, key))
		}
		ids[b.id()] = true
		if now := b.copyOnDisk(); now == was {
			t.Errorf("round %d: still the folder %s", round, now)
		}
		if left, _ := filepath.Glob(filepath.Join(b.o.DataDir, dbDirName, "*")); len(left) != 1 {
			t.Errorf("round %d: databases left: %v", round, left)
		}
	}
}

func (s *testServer) copyOnDisk() string {
	f, err := readEpochFile(s.o.DataDir, s.o.Verify)
	must(s.g.t, err)
	return f.Copy
}

// TestInterruptedJoin stops a server while it joins; its folder is as before, and the next
// join begins anew.
func TestInterruptedJoin(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b")
	info, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	n, err := Join(t.Context(), b.o, info)
	b.up(n, err)
	b.kill()
	if _, err := Open(t.Context(), b.o); !errors.Is(err, ErrEmpty) {
		t.Errorf("open after an interrupted join: %v, want ErrEmpty", err)
	}
	if _, err := Found(t.Context(), b.o); err == nil {
		t.Error("a group was founded over an interrupted join")
	}
	if _, err := Join(t.Context(), b.o, JoinInfo{Group: "other", Epoch: 1, ClusterID: info.ClusterID}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("join another group: %v, want ErrInvalid", err)
	}
	b.join(a)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("after the second join: %q", v)
	}
	b.kill()
	b.open()
}

// TestTwoJoinAtOnce: the list of members that the first was told is out of date when it starts.
func TestTwoJoinAtOnce(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b, c := g.server("b"), g.server("c")
	infoB, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	infoC, err := a.AddLearner(t.Context(), "c", c.o.Peer)
	must(t, err)
	n, err := Join(t.Context(), b.o, infoB)
	b.up(n, err)
	m, err := Join(t.Context(), c.o, infoC)
	c.up(m, err)
	must(t, n.CatchUp(t.Context(), func(Progress) {}))
	must(t, m.CatchUp(t.Context(), func(Progress) {}))
}

// TestForeignPeer: a member of another cluster gets no further than the header.
func TestForeignPeer(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	conf, err := a.o.PeerTLS.info().ClientConfig()
	must(t, err)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, a.o.Peer+"/raft", nil)
	must(t, err)
	req.Header.Set(clusterHeader, "1234567890abcdef")
	resp, err := client.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusPreconditionFailed || a.status().Foreign != 1 {
		t.Errorf("status %s, %d counted, want 412 and 1", resp.Status, a.status().Foreign)
	}
}

// TestAddressOfTheFounder: a server that was founded alone gets a peer port later.
func TestAddressOfTheFounder(t *testing.T) {
	g := newGroup(t)
	a := g.server("a")
	alone := a.o
	alone.Peer, alone.PeerTLS = "", PeerTLS{}
	n, err := Found(t.Context(), alone)
	must(t, err)
	if _, err := n.AddLearner(t.Context(), "b", "https://127.0.0.1:1"); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("a server without peer port adds a member: %v, want ErrInvalid", err)
	}
	n.Close()
	a.open()
	must(t, a.UpdatePeerURL(t.Context()))
	members, err := a.Members()
	must(t, err)
	if len(members) != 1 || members[0].PeerURL != a.o.Peer {
		t.Errorf("members %+v, want the address %s", members, a.o.Peer)
	}
	b := g.server("b").join(a)
	put(t, b.Node, "u/1", "one")
}

// TestJoinBySnapshot: the log of a group that was restored begins at a snapshot, so that a
// new member gets the whole database as a file.
func TestJoinBySnapshot(t *testing.T) {
	g := newGroup(t)
	source := newNode(t)
	big := make([]byte, 1000)
	for i := range 200 {
		puts := map[string][]byte{}
		for j := range 50 {
			puts[fmt.Sprintf("u/%d/%d", i, j)] = big
		}
		if _, ok, err := source.Commit(t.Context(), nil, puts, nil); err != nil || !ok {
			t.Fatal(ok, err)
		}
	}
	file := filepath.Join(t.TempDir(), "snapshot")
	f, err := os.Create(file)
	must(t, err)
	_, err = source.Snapshot(t.Context(), f)
	must(t, err)
	must(t, f.Close())

	a := g.server("a")
	must(t, RestoreInto(t.Context(), a.o, Restore{Snapshot: file, Epoch: 7, DecidedBy: "restore"}))
	a.open()
	rev := put(t, a.Node, "last", "one")
	b := g.server("b")
	info, err := a.AddLearner(t.Context(), "b", b.o.Peer)
	must(t, err)
	if info.Epoch != 7 || info.Records != 10001 || info.Bytes < 10_000_000 || info.Revision != rev {
		t.Errorf("told to join %+v", info)
	}
	n, err := Join(t.Context(), b.o, info)
	b.up(n, err)
	var told []Progress
	must(t, n.CatchUp(t.Context(), func(p Progress) { told = append(told, p) }))
	if end := told[len(told)-1]; end.Records != info.Records || end.TotalRecords != info.Records || end.Revision < end.Target {
		t.Errorf("at the end the progress was %+v", end)
	}
	if b.Epoch() != 7 || localValue(t, b.Node, "last") != "one" || len(localValue(t, b.Node, "u/199/49")) != 1000 {
		t.Error("the copy is not complete")
	}
	must(t, a.Promote(t.Context(), b.id()))
	put(t, b.Node, "more", "two")
	b.kill()
	b.open()
	if localValue(t, b.Node, "more") == "" {
		if _, err := b.Barrier(t.Context()); err != nil || localValue(t, b.Node, "more") == "" {
			t.Error("after a restart a write is missing", err)
		}
	}
}

// TestReplicated: in a pair the master knows what the replica has on its disk.
func TestReplicated(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	if put(t, a.Node, "u/0", "x"); !a.Replicated(t.Context(), time.Minute) {
		t.Error("a server that is alone waits for nobody")
	}
	b := g.server("b").join(a)
	a.kill()
	a.open() // started last: in this process it is its progress that can be read
	soon := func() bool { return a.Replicated(t.Context(), 200*time.Millisecond) }
	eventually(t, 10*time.Second, "the replica follows", func() bool { put(t, a.Node, "u/1", "x"); return soon() })
	if f := a.Followers(); len(f) != 1 || f[0].ID != b.id() || f[0].Behind != 0 || !f[0].Active {
		t.Errorf("followers %+v", f)
	}
	if f := b.Followers(); f != nil {
		t.Errorf("a replica tells followers: %+v", f)
	}
	b.kill()
	put(t, a.Node, "u/2", "x")
	if soon() {
		t.Error("replicated to a replica that is gone")
	}
	// Nobody waits for it again.
	began := time.Now()
	for range 20 {
		if put(t, a.Node, "u/2", "x"); a.Replicated(t.Context(), time.Minute) {
			t.Error("replicated to a replica that is gone")
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("20 times it took %s", took)
	}
	a.kill()
}

// TestMovedAddress: a voter comes back under another address, and the others find it.
func TestMovedAddress(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	b := g.server("b").voter(a)
	eventually(t, 5*time.Second, "b votes", func() bool { return b.status().Voter })
	b.kill()
	other := g.server("other") // whose address b takes
	b.addr, b.o.Peer = other.addr, other.o.Peer
	b.open()
	eventually(t, 20*time.Second, "a knows the new address of b", func() bool {
		members, err := a.Members()
		must(t, err)
		return len(members) == 2 && members[1].PeerURL == b.o.Peer
	})
	put(t, b.Node, "u/1", "x") // needs both
	put(t, a.Node, "u/2", "x")
}
