package directory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// queue lets each key in keys wait in this order, behind one holder of the only slot, and
// returns the order in which they are served.
func serve(t *testing.T, g *gate, keys []string) []string {
	t.Helper()
	hold, err := g.acquire(t.Context(), "holder")
	if err != nil {
		t.Fatal(err)
	}
	var served []string
	var mu sync.Mutex
	var all sync.WaitGroup
	for _, k := range keys {
		all.Go(func() {
			release, err := g.acquire(t.Context(), k)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				served = append(served, "busy "+k)
				return
			}
			served = append(served, k)
			release()
		})
		synctest.Wait()
	}
	hold()
	all.Wait()
	return served
}

func TestGateServesInTurn(t *testing.T) {
	tests := []struct {
		name         string
		room, perKey int
		keys, want   []string
	}{
		{"one key: first come, first served", 9, 9, []string{"a", "a"}, []string{"a", "a"}},
		{"a flood of one key delays others by one turn", 9, 9, []string{"a", "a", "a", "a", "b", "c"}, []string{"a", "b", "c", "a", "a", "a"}},
		{"one key may wait so often and no more", 9, 2, []string{"a", "a", "a", "b"}, []string{"busy a", "a", "b", "a"}},
		{"full: the longest queue gives way", 3, 9, []string{"a", "a", "a", "b"}, []string{"busy a", "a", "b", "a"}},
		{"full of single ones: the newcomer is refused", 3, 9, []string{"a", "b", "c", "d"}, []string{"busy d", "a", "b", "c"}},
		{"full: who makes the queue long is refused", 3, 9, []string{"a", "b", "b", "b"}, []string{"busy b", "a", "b", "b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGate(1, tt.room, tt.perKey)
				if got := serve(t, g, tt.keys); !slices.Equal(got, tt.want) {
					t.Errorf("served %v, want %v", got, tt.want)
				}
				idle(t, g)
			})
		})
	}
}

func idle(t *testing.T, g *gate) {
	t.Helper()
	if g.free != g.slots || g.waiting != 0 || len(g.queues) != 0 || len(g.turn) != 0 {
		t.Errorf("afterwards: %d of %d slots free, %d waiting, queues %v, turns %v", g.free, g.slots, g.waiting, g.queues, g.turn)
	}
}

func TestGateBusyIsOurFault(t *testing.T) {
	g := newGate(1, 1, 1)
	g.free = 0
	if _, err := g.enter("a"); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"a", "b"} {
		if _, err := g.acquire(t.Context(), key); !errors.Is(err, ErrBusy) {
			t.Errorf("key %s: got %v, want ErrBusy", key, err)
		}
	}
}

func TestGateWaiterLeavesWhenItsTimeIsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 9, 9)
		hold, _ := g.acquire(t.Context(), "holder")
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if _, err := g.acquire(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Errorf("after %v: got %v, want the deadline at 3s", time.Since(start), err)
		}
		if g.waiting != 0 {
			t.Errorf("%d still wait", g.waiting)
		}
		if _, err := g.acquire(ctx, "a"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a second time: got %v, want the deadline", err)
		}
		hold()
		idle(t, g)
	})
}

// A slot that is given in the moment in which its waiter leaves is not lost.
func TestGateSlotGivenToOneWhoLeaves(t *testing.T) {
	g := newGate(1, 9, 9)
	hold, err := g.acquire(t.Context(), "holder")
	if err != nil {
		t.Fatal(err)
	}
	w, err := g.enter("a")
	if err != nil {
		t.Fatal(err)
	}
	hold()
	g.leave("a", w)
	idle(t, g)
}

// Whatever the order of comings and goings: no more holders than slots, no slot lost.
func TestGateNeverLosesASlot(t *testing.T) {
	const slots = 3
	g := newGate(slots, 20, 4)
	var inside, most, got, refused atomic.Int64
	var all sync.WaitGroup
	for i := range 400 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(2000))*time.Microsecond)
			defer cancel()
			release, err := g.acquire(ctx, fmt.Sprint(i%11))
			if err != nil {
				refused.Add(1)
				return
			}
			got.Add(1)
			for n := inside.Add(1); ; {
				m := most.Load()
				if n <= m || most.CompareAndSwap(m, n) {
					break
				}
			}
			for range rand.IntN(1000) {
				_ = ctx.Err()
			}
			inside.Add(-1)
			release()
		})
	}
	all.Wait()
	if most.Load() > slots {
		t.Errorf("%d inside at once, want at most %d", most.Load(), slots)
	}
	if got.Load() == 0 || got.Load()+refused.Load() != 400 {
		t.Errorf("%d got in, %d did not, of 400", got.Load(), refused.Load())
	}
	idle(t, g)
}
