package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
)

func TestThreeServers(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b").join(a)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("the learner that has caught up has %q", v)
	}
	if st := b.status(); st.Role != "replica" || st.Voter || st.Voters != 1 || st.Master != "a" || !st.Quorum || st.LastContact.IsZero() {
		t.Errorf("a learner says %+v", st)
	}
	rev := put(t, b.Node, "u/2", "two") // relayed
	if v, got := get(t, b.Node, "u/2"); v != "two" || got != rev {
		t.Errorf("the learner reads %q at %d of its own write at %d", v, got, rev)
	}
	must(t, a.Promote(t.Context(), b.id()))
	c := g.server("c").voter(a)
	eventually(t, 5*time.Second, "three voters", func() bool { return c.status().Voters == 3 && c.status().Voter })
	members, err := c.Members()
	must(t, err)
	for i, name := range []string{"a", "b", "c"} {
		if len(members) != 3 || members[i].Name != name || !members[i].Voter || members[i].Master != (name == "a") {
			t.Fatalf("members %+v", members)
		}
	}

	// The master dies while all write. What is acknowledged stays.
	var mu sync.Mutex
	acked := map[string]bool{}
	var gap, last atomic.Int64
	last.Store(time.Now().UnixNano())
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var count atomic.Int64
	for _, s := range []*testServer{a, b, c} {
		n := s.Node
		for w := range 4 {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("w/%s/%d/%d", n.o.Name, w, i)
					_, ok, err := n.Commit(ctx, map[string]int64{key: 0}, map[string][]byte{key: []byte("x")}, nil)
					if err == nil && ok {
						mu.Lock()
						acked[key] = true
						mu.Unlock()
						now := time.Now().UnixNano()
						if was := last.Swap(now); now-was > gap.Load() {
							gap.Store(now - was)
						}
						count.Add(1)
					} else if errors.Is(err, mfa.ErrUnavailable) && n.ctx.Err() != nil {
						return // the killed one
					}
				}
			})
		}
	}
	await := func(n int64) { eventually(t, 20*time.Second, "writes go on", func() bool { return count.Load() > n }) }
	await(300)
	a.crash()
	await(count.Load() + 300)
	m := masterOf(t, b, c)
	cancel()
	wg.Wait()
	t.Logf("the longest gap in writes: %s; %d acknowledged", time.Duration(gap.Load()).Round(time.Millisecond), len(acked))
	a.open()
	if _, err := a.Barrier(t.Context()); err != nil {
		t.Fatal(err)
	}
	for key := range acked {
		if localValue(t, a.Node, key) == "" {
			t.Fatalf("%s was acknowledged and is not on the restarted server", key)
		}
	}
	if st := a.status(); st.Role != "replica" || !st.Voter || st.Master != m.o.Name {
		t.Errorf("the old master says %+v", st)
	}

	// Planned: the master moves, and goes back.
	must(t, m.MoveMaster(t.Context(), a.id()))
	eventually(t, 5*time.Second, "a leads", func() bool { return a.status().Role == "master" && m.status().Role == "replica" })
	put(t, m.Node, "u/3", "three")
	if _, err := m.AddLearner(t.Context(), "d", "https://127.0.0.1:1"); !errors.Is(err, ErrNotMaster) {
		t.Errorf("a replica adds a member: %v, want ErrNotMaster", err)
	}

	// All but one are gone, and that one is restarted.
	b.kill()
	a.kill()
	took := eventually(t, 3*time.Second, "the probe says that there is no master", func() bool { return !c.status().Quorum })
	t.Logf("no quorum noticed after %s", took.Round(time.Millisecond))
	refusedSoon(t, c.Node)
	c.kill()
	start := time.Now()
	c.open()
	t.Logf("opened alone in %s", time.Since(start).Round(time.Millisecond))
	if v := localValue(t, c.Node, "u/1"); v != "one" {
		t.Errorf("restarted alone it has %q", v)
	}
	if st := c.status(); st.Role != "replica" || !st.Voter || st.Voters != 3 || !st.LastContact.IsZero() {
		t.Errorf("restarted alone it says %+v", st)
	}
	refusedSoon(t, c.Node)
	b.open()
	eventually(t, 20*time.Second, "two of three are enough", func() bool { return c.status().Quorum && !c.status().LastContact.IsZero() })
	if v, _ := get(t, c.Node, "u/3"); v != "three" {
		t.Errorf("what two have acknowledged: %q", v)
	}
	put(t, c.Node, "u/4", "four")
}

// refusedSoon checks that a write without a master is refused, and surely not written.
func refusedSoon(t *testing.T, n *Node) {
	t.Helper()
	start := time.Now()
	_, _, err := n.Commit(t.Context(), nil, map[string][]byte{"never": []byte("x")}, nil)
	if took := time.Since(start); !errors.Is(err, mfa.ErrUnavailable) || took > 2500*time.Millisecond {
		t.Errorf("without a master: %v after %s, want ErrUnavailable within 2 s", err, took)
	}
}

func TestLearnerWithDeadMaster(t *testing.T) {
	g := newGroup(t)
	a := g.server("a").found()
	put(t, a.Node, "u/1", "one")
	b := g.server("b").join(a)
	eventually(t, 5*time.Second, "b knows its master", func() bool { return b.status().Quorum && b.status().Master == "a" })
	a.crash()
	start := time.Now()
	_, _, err := b.Commit(t.Context(), nil, map[string][]byte{"never": []byte("x")}, nil)
	if took := time.Since(start); took > 2500*time.Millisecond || !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrUnknownOutcome) {
		t.Errorf("a write as the master dies: %v after %s", err, took)
	}
	took := eventually(t, 3*time.Second, "the probe says that there is no master", func() bool { return !b.status().Quorum })
	t.Logf("no quorum noticed after %s more", took.Round(time.Millisecond))
	refusedSoon(t, b.Node)
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("the local copy has %q", v)
	}
	b.kill()
	b.open()
	if v := localValue(t, b.Node, "u/1"); v != "one" {
		t.Errorf("restarted alone, the local copy has %q", v)
	}
	if st := b.status(); st.Role != "replica" || st.Voter || !st.LastContact.IsZero() {
		t.Errorf("restarted alone, it says %+v", st)
	}
	refusedSoon(t, b.Node)
	a.open()
	eventually(t, 20*time.Second, "the master is found again", func() bool { return b.status().Quorum && b.lost() == nil && !b.status().LastContact.IsZero() })
	put(t, b.Node, "u/2", "two")
	if v, _ := get(t, a.Node, "u/2"); v != "two" {
		t.Errorf("the master has %q", v)
	}
}
