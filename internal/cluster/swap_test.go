package cluster

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// acks are the writes that were acknowledged to writers at several servers.
type acks struct {
	mu   sync.Mutex
	keys []string
	wg   sync.WaitGroup
	stop context.CancelFunc
}

// write writes at n until the context ends; a server that is gone takes no more.
func (a *acks) write(ctx context.Context, n *Node) {
	a.wg.Go(func() {
		for i := 0; ctx.Err() == nil && n.ctx.Err() == nil; i++ {
			key := fmt.Sprintf("w/%p/%d", n, i)
			if _, ok, err := n.Commit(ctx, map[string]int64{key: 0}, map[string][]byte{key: []byte("x")}, nil); err == nil && ok {
				a.mu.Lock()
				a.keys = append(a.keys, key)
				a.mu.Unlock()
			}
		}
	})
}

func (a *acks) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.keys)
}

// changePlaces makes the steps of a planned promotion of a pair from a to b that are still
// to be made, as whoever leads. It reports whether there were none left.
func changePlaces(t *testing.T, a, b *testServer) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	switch m := masterOf(t, a, b); {
	case m == b:
		must(t, b.Remove(ctx, a.id()))
		return true
	case !memberOf(t, a, b).Voter:
		must(t, a.Promote(ctx, b.id()))
	default:
		must(t, a.MoveMaster(ctx, b.id()))
	}
	return false
}

// memberOf returns s as the server at knows it.
func memberOf(t *testing.T, at, s *testServer) Member {
	t.Helper()
	all, err := at.Members()
	must(t, err)
	for _, m := range all {
		if m.ID == s.id() {
			return m
		}
	}
	t.Fatalf("%s is no member: %+v", s.o.Name, all)
	return Member{}
}

// Two servers change places while both write; the old master is killed at each step, comes
// back, and the rest is done. Nothing that was acknowledged is lost, and each is what the
// other was.
func TestPairChangesPlaces(t *testing.T) {
	for _, crash := range []int{0, 1, 2} { // after so many steps the old master is killed; 0: never
		t.Run(fmt.Sprint(crash), func(t *testing.T) {
			t.Parallel() // they wait most of the time
			g := newGroup(t)
			a := g.server("a").found()
			b := g.server("b").join(a)
			ctx, stop := context.WithCancel(t.Context())
			w := acks{stop: stop}
			w.write(ctx, a.Node)
			w.write(ctx, b.Node)
			eventually(t, 10*time.Second, "writes", func() bool { return w.count() > 50 })
			began := time.Now()
			for step := 1; !changePlaces(t, a, b); step++ {
				if step == crash {
					a.crash()
					a.open()
					w.write(ctx, a.Node)
				}
			}
			t.Logf("a has no vote any more after %s", time.Since(began).Round(time.Millisecond))
			eventually(t, 10*time.Second, "the old master ends", func() bool {
				select {
				case <-a.Removed():
					return true
				default:
					return false
				}
			})
			a.kill()
			a.join(b)
			w.write(ctx, a.Node)
			n := w.count()
			eventually(t, 20*time.Second, "writes go on", func() bool { return w.count() > n+50 })
			stop()
			w.wg.Wait()
			if st := a.status(); st.Role != "replica" || st.Voter || st.Voters != 1 || st.Master != "b" {
				t.Errorf("the old master: %+v", st)
			}
			if st := b.status(); st.Role != "master" || !st.Voter {
				t.Errorf("the new master: %+v", st)
			}
			for _, s := range []*testServer{a, b} {
				_, err := s.Barrier(t.Context())
				must(t, err)
				for _, key := range w.keys {
					if localValue(t, s.Node, key) == "" {
						t.Fatalf("%s was acknowledged and is not at %s", key, s.o.Name)
					}
				}
			}
			t.Logf("%d writes, none lost", len(w.keys))
		})
	}
}
