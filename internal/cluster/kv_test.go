package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/store"
)

var _ store.KV = (*Node)(nil)

func TestCommitConditions(t *testing.T) {
	n := newNode(t)
	first := put(t, n, "a", "1")
	second := put(t, n, "b", "2")
	cases := []struct {
		name    string
		ifRev   map[string]int64
		puts    map[string][]byte
		deletes []string
		ok      bool
	}{
		{"absent key is there", map[string]int64{"a": 0}, map[string][]byte{"x": []byte("1")}, nil, false},
		{"older revision", map[string]int64{"b": first}, map[string][]byte{"x": []byte("1")}, nil, false},
		{"one of two fails", map[string]int64{"a": first, "b": first}, map[string][]byte{"x": []byte("1")}, []string{"a"}, false},
		{"revision of an absent key", map[string]int64{"none": first}, map[string][]byte{"x": []byte("1")}, nil, false},
		{"only conditions, false", map[string]int64{"a": 0}, nil, nil, false},
		{"only conditions, true", map[string]int64{"a": first, "b": second, "none": 0}, nil, nil, true},
		{"nothing at all", nil, nil, nil, true},
		{"delete of an absent key", nil, nil, []string{"none"}, true},
		{"all hold", map[string]int64{"a": first, "b": second, "c": 0}, map[string][]byte{"c": []byte("3")}, []string{"a"}, true},
	}
	for _, c := range cases {
		rev, ok, err := n.Commit(t.Context(), c.ifRev, c.puts, c.deletes)
		if err != nil || ok != c.ok {
			t.Errorf("%s: got %v, %v, want %v", c.name, ok, err, c.ok)
		}
		if rev < second {
			t.Errorf("%s: revision %d, want at least %d", c.name, rev, second)
		}
		if v, _ := get(t, n, "x"); v != "" {
			t.Fatalf("%s: wrote though a condition failed", c.name)
		}
	}
	if _, rev := get(t, n, "a"); rev != 0 {
		t.Error("a is still there")
	}
	if v, _ := get(t, n, "c"); v != "3" {
		t.Error("c is not there")
	}
}

func TestCommitRefusesWhatCannotBe(t *testing.T) {
	n := newNode(t)
	one := []byte("1")
	many := map[string][]byte{}
	for i := range maxTxnOps + 1 {
		many[fmt.Sprint(i)] = one
	}
	for _, c := range []struct {
		name    string
		ifRev   map[string]int64
		puts    map[string][]byte
		deletes []string
	}{
		{"empty key put", nil, map[string][]byte{"": one}, nil},
		{"empty key deleted", nil, nil, []string{""}},
		{"empty key compared", map[string]int64{"": 0}, nil, nil},
		{"negative revision", map[string]int64{"a": -1}, nil, nil},
		{"nil value", nil, map[string][]byte{"a": nil}, nil},
		{"empty value", nil, map[string][]byte{"a": {}}, nil},
		{"put and deleted", nil, map[string][]byte{"a": one}, []string{"a"}},
		{"too many", nil, many, nil},
		{"too large", nil, map[string][]byte{"a": make([]byte, maxTxnBytes)}, nil},
	} {
		before, _ := n.Barrier(t.Context())
		if _, _, err := n.Commit(t.Context(), c.ifRev, c.puts, c.deletes); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", c.name, err)
		}
		if after, _ := n.Barrier(t.Context()); after != before {
			t.Errorf("%s: something was written", c.name)
		}
	}
	delete(many, "0")
	if _, ok, err := n.Commit(t.Context(), nil, many, nil); !ok || err != nil {
		t.Errorf("%d puts: %v, %v", len(many), ok, err)
	}
	if _, ok, err := n.Commit(t.Context(), nil, map[string][]byte{"a": make([]byte, maxTxnBytes-100)}, nil); !ok || err != nil {
		t.Errorf("a large put: %v, %v", ok, err)
	}
	if _, ok, err := n.Commit(t.Context(), nil, nil, []string{"a", "a"}); !ok || err != nil {
		t.Errorf("a key deleted twice: %v, %v", ok, err)
	}
}

// TestParallelConditionalCommits has many callers race for one revision, in both modes.
func TestParallelConditionalCommits(t *testing.T) {
	for name, single := range map[string]bool{"batched": false, "single": true} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, func(o *Options) { o.NoBatch = single })
			rev := put(t, n, "s", "0")
			for round := range 20 {
				var winners atomic.Int32
				var won string
				var wonRev int64
				var wg sync.WaitGroup
				for i := range 64 {
					wg.Go(func() {
						value := fmt.Sprintf("%d/%d", round, i)
						r, ok, err := n.Commit(t.Context(), map[string]int64{"s": rev}, map[string][]byte{"s": []byte(value)}, nil)
						if err != nil {
							t.Error(err)
						}
						if ok {
							winners.Add(1)
							won, wonRev = value, r
						}
					})
				}
				wg.Wait()
				if winners.Load() != 1 {
					t.Fatalf("round %d: %d winners, want 1", round, winners.Load())
				}
				v, got := get(t, n, "s")
				if v != won || got != wonRev {
					t.Fatalf("round %d: the database says %s at %d, the winner wrote %s at %d", round, v, got, won, wonRev)
				}
				rev = got
			}
		})
	}
}

// TestParallelIncrements is a counter raised conditionally by many: none may be lost,
// whatever shares a batch.
func TestParallelIncrements(t *testing.T) {
	n := newNode(t)
	const callers, each, counters = 32, 20, 3
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for range each {
				key := fmt.Sprint("n", i%counters)
				for {
					v, rev, err := n.Get(t.Context(), key)
					if err != nil {
						t.Error(err)
						return
					}
					_, ok, err := n.Commit(t.Context(), map[string]int64{key: rev}, map[string][]byte{key: append(v, '+')}, nil)
					if err != nil {
						t.Error(err)
						return
					}
					if ok {
						break
					}
				}
			}
		})
	}
	wg.Wait()
	sum := 0
	for i := range counters {
		v, _ := get(t, n, fmt.Sprint("n", i))
		sum += len(v)
	}
	if sum != callers*each {
		t.Errorf("counted %d, want %d", sum, callers*each)
	}
}

func TestScan(t *testing.T) {
	n := newNode(t)
	const users = 2*pageSize + 1 // three pages
	for from := 0; from < users; from += 500 {
		puts := map[string][]byte{}
		for i := from; i < min(from+500, users); i++ {
			puts[fmt.Sprintf("u/%06d", i)] = []byte(fmt.Sprint(i))
		}
		if _, ok, err := n.Commit(t.Context(), nil, puts, nil); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	put(t, n, "t/z", "before")
	last := put(t, n, "u0", "after")
	put(t, n, "\xff\xff", "end")

	i := 0
	rev, err := n.Scan(t.Context(), "u/", func(key string, value []byte, r int64) bool {
		if key != fmt.Sprintf("u/%06d", i) || string(value) != fmt.Sprint(i) || r == 0 || r > last {
			t.Fatalf("key %d: got %s = %s at %d", i, key, value, r)
		}
		if i == pageSize/2 { // later changes are not seen
			put(t, n, fmt.Sprintf("u/%06d", users-1), "changed")
			put(t, n, fmt.Sprintf("u/%06d", users), "new")
		}
		i++
		return true
	})
	if err != nil || rev != last+1 || i != users {
		t.Errorf("got %d keys at %d, %v, want %d at %d", i, rev, err, users, last+1)
	}
	for prefix, want := range map[string]int{"": users + 4, "t/": 1, "none/": 0, "\xff": 1, "\xff\xff": 1, "u": users + 2} {
		i := 0
		if _, err := n.Scan(t.Context(), prefix, func(string, []byte, int64) bool { i++; return true }); err != nil || i != want {
			t.Errorf("prefix %q: got %d keys, %v, want %d", prefix, i, err, want)
		}
	}
	i = 0
	if _, err := n.Scan(t.Context(), "u/", func(string, []byte, int64) bool { i++; return i < 3 }); err != nil || i != 3 {
		t.Errorf("yield was called %d times after it said stop at 3 (%v)", i, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if _, err := n.Scan(ctx, "u/", func(string, []byte, int64) bool { cancel(); return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
}

func TestGetGivesTheCallerItsOwnBytes(t *testing.T) {
	n := newNode(t)
	put(t, n, "a", "value")
	v, _, _ := n.Get(t.Context(), "a")
	v[0] = 'X'
	if v, _ := get(t, n, "a"); v != "value" {
		t.Errorf("got %q", v)
	}
	if v, rev, err := n.Get(t.Context(), "none"); v != nil || rev != 0 || err != nil {
		t.Errorf("absent: got %v, %d, %v", v, rev, err)
	}
}

func TestNoMasterIsRefusedAtOnce(t *testing.T) {
	n := newNode(t)
	n.misses.Store(lostAfter)
	_, _, err := n.Get(t.Context(), "a")
	if !errors.Is(err, mfa.ErrUnavailable) || !strings.Contains(err.Error(), "master") {
		t.Errorf("get: %v", err)
	}
	if _, err := n.Scan(t.Context(), "", nil); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("scan: %v", err)
	}
	if _, _, err := n.Commit(t.Context(), nil, map[string][]byte{"a": []byte("1")}, nil); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("commit: %v", err)
	}
	if s, err := n.Status(); err != nil || s.Quorum {
		t.Errorf("status: %+v, %v", s, err)
	}
	n.probe(t.Context()) // the probe finds the master again
	put(t, n, "a", "1")
	if _, rev := get(t, n, "a"); rev == 0 {
		t.Error("nothing was written")
	}
}

func TestClosedNode(t *testing.T) {
	n := newNode(t)
	watching := make(chan struct{})
	watched := make(chan error, 1)
	go func() {
		var once sync.Once
		watched <- n.Watch(context.Background(), "", func(_ string, _ []byte, rev int64) bool {
			if rev > 0 {
				once.Do(func() { close(watching) })
			}
			return true
		})
	}()
	ran := make(chan error, 1)
	go func() { ran <- n.Run(context.Background()) }()
	<-watching
	var wg sync.WaitGroup
	var mu sync.Mutex
	acked := map[string]bool{}
	halfway := make(chan struct{})
	for i := range 16 {
		wg.Go(func() {
			for j := 0; ; j++ {
				if i == 0 && j == 100 {
					close(halfway)
				}
				key := fmt.Sprintf("w/%d/%d", i, j)
				_, ok, err := n.Commit(context.Background(), nil, map[string][]byte{key: []byte("1")}, nil)
				if err != nil {
					if !errors.Is(err, mfa.ErrUnavailable) && !errors.Is(err, mfa.ErrUnknownOutcome) {
						t.Errorf("commit while closing: %v", err)
					}
					return
				}
				if ok {
					mu.Lock()
					acked[key] = true
					mu.Unlock()
				}
			}
		})
	}
	<-halfway
	start := time.Now()
	n.Close()
	t.Logf("closed in %v", time.Since(start))
	wg.Wait()
	if err := <-watched; !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("watch ended with %v", err)
	}
	if err := <-ran; err != nil {
		t.Errorf("run ended with %v", err)
	}
	n.Close() // twice is harmless
	for name, err := range map[string]error{
		"get":    second(n.Get(t.Context(), "a")),
		"status": func() error { _, err := n.Status(); return err }(),
		"watch":  n.Watch(t.Context(), "", nil),
		"barrier": func() error {
			_, err := n.Barrier(t.Context())
			return err
		}(),
	} {
		if !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("%s after close: %v", name, err)
		}
	}
	m, err := Open(t.Context(), n.o)
	must(t, err)
	defer m.Close()
	found := 0
	if _, err := m.Scan(t.Context(), "w/", func(key string, _ []byte, _ int64) bool {
		if acked[key] {
			found++
		}
		return true
	}); err != nil || found != len(acked) {
		t.Errorf("%d of %d acknowledged commits are there (%v)", found, len(acked), err)
	}
}

func second(_ []byte, _ int64, err error) error { return err }
