package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
)

// call is one call of a watch's yield.
type call struct {
	key   string
	value string
	nilV  bool
	rev   int64
}

func (c call) String() string {
	switch {
	case c.key == "" && c.rev == 0:
		return "reset"
	case c.key == "":
		return fmt.Sprintf("up to %d", c.rev)
	case c.nilV:
		return fmt.Sprintf("%s gone at %d", c.key, c.rev)
	}
	return fmt.Sprintf("%s=%s at %d", c.key, c.value, c.rev)
}

// watch starts a watch that hands over each call and waits until it is taken.
func watch(t *testing.T, n *Node, prefix string) (next func() string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	calls := make(chan call)
	done := make(chan error, 1)
	go func() {
		done <- n.Watch(ctx, prefix, func(key string, value []byte, rev int64) bool {
			select {
			case calls <- call{key, string(value), value == nil, rev}:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	next = func() string {
		select {
		case c := <-calls:
			return c.String()
		case err := <-done:
			t.Fatalf("the watch ended: %v", err)
			return ""
		}
	}
	stop = func() error { cancel(); return <-done }
	t.Cleanup(cancel)
	return next, stop
}

func expect(t *testing.T, next func() string, want ...string) {
	t.Helper()
	for _, w := range want {
		if got := next(); got != w {
			t.Fatalf("got %q, want %q", got, w)
		}
	}
}

func TestWatch(t *testing.T) {
	n := newNode(t)
	a := put(t, n, "u/a", "1")
	other := put(t, n, "x", "1")
	b := put(t, n, "u/b", "2")
	next, stop := watch(t, n, "u/")
	expect(t, next, "reset", fmt.Sprintf("u/a=1 at %d", a), fmt.Sprintf("u/b=2 at %d", b), fmt.Sprintf("up to %d", b))

	// One revision of several changes, in the order put, delete; then its end.
	rev, ok, err := n.Commit(t.Context(), map[string]int64{"u/a": a}, map[string][]byte{"u/d": []byte("4"), "u/c": []byte("3"), "y": []byte("9")}, []string{"u/a"})
	if !ok || err != nil {
		t.Fatal(ok, err)
	}
	expect(t, next, fmt.Sprintf("u/c=3 at %d", rev), fmt.Sprintf("u/d=4 at %d", rev), fmt.Sprintf("u/a gone at %d", rev), fmt.Sprintf("up to %d", rev))

	// What changes nothing under the prefix still tells its revision.
	rev, _, err = n.Commit(t.Context(), map[string]int64{"x": other}, nil, []string{"x"})
	must(t, err)
	expect(t, next, fmt.Sprintf("up to %d", rev))

	// A commit that was refused, or deleted nothing, makes no revision.
	if _, ok, err := n.Commit(t.Context(), map[string]int64{"u/b": 1}, map[string][]byte{"u/b": []byte("no")}, nil); ok || err != nil {
		t.Fatal(ok, err)
	}
	rev = put(t, n, "u/b", "5")
	expect(t, next, fmt.Sprintf("u/b=5 at %d", rev), fmt.Sprintf("up to %d", rev))
	if err := stop(); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("ended with %v", err)
	}
}

func TestWatchEndsWhenTold(t *testing.T) {
	n := newNode(t)
	put(t, n, "a", "1")
	put(t, n, "b", "1")
	for after, want := range []string{"reset", "a", "b", "synced", "change", "end of change"} {
		calls := 0
		err := n.Watch(t.Context(), "", func(_ string, _ []byte, rev int64) bool {
			calls++
			if calls == 4 {
				put(t, n, "a", "2")
			}
			return calls <= after
		})
		if err != nil || calls != after+1 {
			t.Errorf("stopped at %s: %d calls, %v, want %d", want, calls, err, after+1)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := n.Watch(ctx, "", func(string, []byte, int64) bool { cancel(); return true }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}

// TestWatchStartsOverAfterCompaction compacts the history that a reader needs next: in the
// middle of the local copy, and between the copy and the changes after it.
func TestWatchStartsOverAfterCompaction(t *testing.T) {
	compactNow := func(t *testing.T, n *Node) int64 {
		put(t, n, "a", "2")
		last := put(t, n, "a", "3")
		_, err := n.srv.Compact(t.Context(), &pb.CompactionRequest{Revision: last, Physical: true})
		must(t, err)
		return last
	}
	for name, when := range map[string]func(key string, rev int64) bool{
		"in the copy":    func(key string, rev int64) bool { return key == "a" },
		"after the copy": func(key string, rev int64) bool { return key == "" && rev > 0 },
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			put(t, n, "a", "1")
			for from := 0; from < pageSize; from += 500 { // more than one page with a
				puts := map[string][]byte{}
				for i := range 500 {
					puts[fmt.Sprintf("k/%d", from+i)] = []byte("x")
				}
				_, _, err := n.Commit(t.Context(), nil, puts, nil)
				must(t, err)
			}
			var last int64
			resets, keys, value := 0, 0, ""
			err := n.Watch(t.Context(), "", func(key string, v []byte, rev int64) bool {
				switch {
				case key == "" && rev == 0:
					resets, keys, value = resets+1, 0, ""
				case key == "a":
					value = string(v)
				case key != "":
					keys++
				}
				if last == 0 && when(key, rev) {
					last = compactNow(t, n)
					return true
				}
				return key != "" || rev == 0 || rev < last
			})
			if err != nil || resets != 2 || keys != pageSize || value != "3" {
				t.Errorf("got %d resets, %d keys, a=%s, %v; want 2, %d, 3", resets, keys, value, err, pageSize)
			}
		})
	}
}

// TestSlowWatchMissesNothing reads far slower than others write, so that etcd's buffers
// for it overflow.
func TestSlowWatchMissesNothing(t *testing.T) {
	n := newNode(t)
	next, _ := watch(t, n, "")
	expect(t, next, "reset", "up to 1")
	var want []string
	for i := range 2000 {
		rev := put(t, n, fmt.Sprint(i%7), fmt.Sprint(i))
		want = append(want, fmt.Sprintf("%d=%d at %d", i%7, i, rev), fmt.Sprintf("up to %d", rev))
	}
	expect(t, next, want...)
}

func TestPrefixRange(t *testing.T) {
	for prefix, want := range map[string][2]string{
		"": {"\x00", ""}, "a": {"a", "b"}, "a/": {"a/", "a0"}, "a\xff": {"a\xff", "b"}, "\xff\xff": {"\xff\xff", ""},
	} {
		from, end := prefixRange(prefix)
		if string(from) != want[0] || string(end) != want[1] || end == nil {
			t.Errorf("%q: got %q, %q", prefix, from, end)
		}
	}
}
