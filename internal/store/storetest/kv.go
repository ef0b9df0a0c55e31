package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/store"
)

// RunKV holds a KV to its contract. open returns an empty one; what it opens it closes with
// t.Cleanup.
func RunKV(t *testing.T, open func(t *testing.T) store.KV) {
	for name, test := range map[string]func(*testing.T, store.KV){
		"an absent key has revision 0":           absent,
		"commits are conditional":                conditional,
		"a commit is all or nothing":             atomic,
		"what cannot be written is refused":      refused,
		"a scan is in order, at one revision":    scan,
		"a scan goes over many pages":            scanMany,
		"one of many parallel commits wins":      race,
		"no increment is lost":                   increments,
		"a watch tells a copy, then each change": watch,
		"a watch ends when told":                 watchEnds,
		"a canceled context ends calls":          canceled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// must commits unconditionally.
func must(t *testing.T, kv store.KV, puts map[string]string, deletes ...string) int64 {
	t.Helper()
	rev, ok, err := commit(t.Context(), kv, nil, puts, deletes...)
	if err != nil || !ok {
		t.Fatalf("commit of %v, %v: %v, %v", puts, deletes, ok, err)
	}
	return rev
}

func commit(ctx context.Context, kv store.KV, ifRev map[string]int64, puts map[string]string, deletes ...string) (int64, bool, error) {
	b := map[string][]byte{}
	for k, v := range puts {
		b[k] = []byte(v)
	}
	return kv.Commit(ctx, ifRev, b, deletes)
}

func check(t *testing.T, kv store.KV, key, want string, wantRev int64) {
	t.Helper()
	value, rev, err := kv.Get(t.Context(), key)
	if err != nil || string(value) != want || rev != wantRev {
		t.Errorf("Get(%s) = %q at %d, %v, want %q at %d", key, value, rev, err, want, wantRev)
	}
}

func absent(t *testing.T, kv store.KV) {
	check(t, kv, "a", "", 0)
	must(t, kv, map[string]string{"b": "1"})
	check(t, kv, "a", "", 0)
	must(t, kv, nil, "b", "never")
	check(t, kv, "b", "", 0)
}

func conditional(t *testing.T, kv store.KV) {
	steps := []struct {
		name  string
		ifRev func(a int64) map[string]int64
		put   string
		want  bool
	}{
		{"must be absent, is", func(int64) map[string]int64 { return map[string]int64{"a": 0} }, "1", true},
		{"must be absent, is not", func(int64) map[string]int64 { return map[string]int64{"a": 0} }, "2", false},
		{"right revision", func(a int64) map[string]int64 { return map[string]int64{"a": a} }, "3", true},
		{"old revision", func(a int64) map[string]int64 { return map[string]int64{"a": a - 1} }, "4", false},
		{"future revision", func(a int64) map[string]int64 { return map[string]int64{"a": a + 1} }, "5", false},
		{"another key must be absent, is", func(a int64) map[string]int64 { return map[string]int64{"a": a, "z": 0} }, "6", true},
		{"one of two fails", func(a int64) map[string]int64 { return map[string]int64{"a": a, "z": 1} }, "7", false},
		{"no condition", func(int64) map[string]int64 { return nil }, "8", true},
	}
	var at int64
	want := ""
	for _, s := range steps {
		rev, ok, err := commit(t.Context(), kv, s.ifRev(at), map[string]string{"a": s.put})
		if err != nil || ok != s.want {
			t.Fatalf("%s: %v, %v, want %v", s.name, ok, err, s.want)
		}
		if ok {
			if rev <= at {
				t.Errorf("%s: revision %d after %d", s.name, rev, at)
			}
			at, want = rev, s.put
		}
		check(t, kv, "a", want, at)
	}
}

func atomic(t *testing.T, kv store.KV) {
	first := must(t, kv, map[string]string{"a": "1", "b": "1", "c": "1"})
	if _, ok, err := commit(t.Context(), kv, map[string]int64{"c": first, "b": 0}, map[string]string{"a": "2", "d": "2"}, "b"); ok || err != nil {
		t.Fatalf("commit with one wrong condition: %v, %v", ok, err)
	}
	check(t, kv, "a", "1", first)
	check(t, kv, "b", "1", first)
	check(t, kv, "d", "", 0)
	rev, ok, err := commit(t.Context(), kv, map[string]int64{"c": first}, map[string]string{"a": "2", "d": "2"}, "b")
	if !ok || err != nil {
		t.Fatalf("commit: %v, %v", ok, err)
	}
	check(t, kv, "a", "2", rev)
	check(t, kv, "b", "", 0)
	check(t, kv, "c", "1", first)
	check(t, kv, "d", "2", rev)
}

func refused(t *testing.T, kv store.KV) {
	many := map[string]string{}
	for i := range 600 {
		many[fmt.Sprint("k", i)] = "v"
	}
	for name, f := range map[string]func() error{
		"an empty value":           func() error { _, _, err := commit(t.Context(), kv, nil, map[string]string{"a": ""}); return err },
		"an empty key":             func() error { _, _, err := commit(t.Context(), kv, nil, map[string]string{"": "x"}); return err },
		"a key put and deleted":    func() error { _, _, err := commit(t.Context(), kv, nil, map[string]string{"a": "x"}, "a"); return err },
		"more operations than 512": func() error { _, _, err := commit(t.Context(), kv, nil, many); return err },
	} {
		if err := f(); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: error %v, want ErrInvalid", name, err)
		}
	}
	if n := len(keys(t, kv, "")); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

func keys(t *testing.T, kv store.KV, prefix string) []string {
	t.Helper()
	var list []string
	if _, err := kv.Scan(t.Context(), prefix, func(key string, _ []byte, _ int64) bool { list = append(list, key); return true }); err != nil {
		t.Fatal(err)
	}
	return list
}

func scan(t *testing.T, kv store.KV) {
	must(t, kv, map[string]string{"b/2": "2", "b/1": "1", "a": "a", "c": "c", "b": "no", "b/10": "10", "bb/": "no"})
	last := must(t, kv, map[string]string{"z": "z"})
	if got, want := keys(t, kv, "b/"), []string{"b/1", "b/10", "b/2"}; !slices.Equal(got, want) {
		t.Errorf("Scan(b/) = %q, want %q", got, want)
	}
	n := 0
	rev, err := kv.Scan(t.Context(), "", func(string, []byte, int64) bool { n++; return n < 2 })
	if n != 2 || rev != last || err != nil {
		t.Errorf("stopped scan: %d keys, revision %d, %v; want 2, %d", n, rev, err, last)
	}
	// What is committed while a scan runs does not show in it.
	var seen []string
	if _, err := kv.Scan(t.Context(), "", func(key string, _ []byte, _ int64) bool {
		seen = append(seen, key)
		if len(seen) == 1 {
			must(t, kv, map[string]string{"y": "new"}, "z")
		}
		return true
	}); err != nil || slices.Contains(seen, "y") || !slices.Contains(seen, "z") {
		t.Errorf("a scan with a commit in it saw %q, %v", seen, err)
	}
}

func scanMany(t *testing.T, kv store.KV) {
	const n = 11000 // more than two of cluster's pages
	for i := 0; i < n; i += 500 {
		puts := map[string]string{}
		for j := i; j < i+500; j++ {
			puts[fmt.Sprintf("k/%05d", j)] = "v"
		}
		must(t, kv, puts)
	}
	got := keys(t, kv, "k/")
	if len(got) != n || !slices.IsSorted(got) {
		t.Errorf("%d keys, sorted %v, want %d", len(got), slices.IsSorted(got), n)
	}
}

func race(t *testing.T, kv store.KV) {
	rev := must(t, kv, map[string]string{"a": "start"})
	var mu sync.Mutex
	wins := 0
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			_, ok, err := commit(t.Context(), kv, map[string]int64{"a": rev}, map[string]string{"a": fmt.Sprint(i)})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				wins++
			}
		})
	}
	wg.Wait()
	if wins != 1 {
		t.Errorf("%d of 32 commits on one revision won, want 1", wins)
	}
}

func increments(t *testing.T, kv store.KV) {
	const callers, each = 8, 20
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := 0; n < each; {
				value, rev, err := kv.Get(t.Context(), "n")
				if err != nil {
					t.Error(err)
					return
				}
				i, _ := strconv.Atoi(string(value))
				_, ok, err := commit(t.Context(), kv, map[string]int64{"n": rev}, map[string]string{"n": strconv.Itoa(i + 1)})
				if err != nil {
					t.Error(err)
					return
				}
				if ok {
					n++
				}
			}
		})
	}
	wg.Wait()
	if value, _, _ := kv.Get(t.Context(), "n"); string(value) != strconv.Itoa(callers*each) {
		t.Errorf("counted to %s, want %d", value, callers*each)
	}
}

// told is one call of a watch's yield.
type told struct {
	key   string
	value string
	gone  bool
	rev   int64
}

// follow watches prefix until the test ends.
func follow(t *testing.T, kv store.KV, prefix string) <-chan told {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	c, done := make(chan told, 1000), make(chan struct{})
	go func() {
		defer close(done)
		_ = kv.Watch(ctx, prefix, func(key string, value []byte, rev int64) bool {
			c <- told{key, string(value), value == nil, rev}
			return true
		})
	}()
	t.Cleanup(func() { stop(); <-done })
	return c
}

func watch(t *testing.T, kv store.KV) {
	must(t, kv, map[string]string{"w/2": "2"})
	before := must(t, kv, map[string]string{"w/1": "1", "other": "x"})
	c := follow(t, kv, "w/")
	if got := <-c; got != (told{gone: true}) {
		t.Fatalf("first it says %+v, want forget everything", got)
	}
	state := map[string]told{}
	upTo := func(rev int64) {
		t.Helper()
		last := int64(0)
		for got := range c {
			switch {
			case got.key == "" && got.rev >= rev:
				return
			case got.key == "":
				last = got.rev
			case got.rev <= last && last != 0:
				t.Fatalf("%+v after revision %d was complete", got, last)
			case got.gone:
				delete(state, got.key)
			default:
				state[got.key] = got
			}
		}
	}
	upTo(before)
	if len(state) != 2 || state["w/1"] != (told{"w/1", "1", false, before}) || state["w/2"].value != "2" {
		t.Fatalf("the copy is %+v", state)
	}
	must(t, kv, map[string]string{"w/3": "3", "w/1": "one"})
	must(t, kv, map[string]string{"w/3": "three"}, "w/1")
	upTo(must(t, kv, map[string]string{"unrelated": "x"}, "w/2"))
	if len(state) != 1 || state["w/3"].value != "three" {
		t.Errorf("after changes it is %+v, want w/3 alone", state)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				if _, ok, err := commit(t.Context(), kv, nil, map[string]string{fmt.Sprintf("w/p%d", i): fmt.Sprint(j)}); !ok || err != nil {
					t.Error(ok, err)
				}
			}
		})
	}
	wg.Wait()
	upTo(must(t, kv, map[string]string{"w/end": "x"}))
	for i := range 8 {
		if got := state[fmt.Sprintf("w/p%d", i)]; got.value != "9" {
			t.Errorf("after parallel changes: %+v, want the last", got)
		}
	}
}

func watchEnds(t *testing.T, kv store.KV) {
	must(t, kv, map[string]string{"a": "1"})
	if err := kv.Watch(t.Context(), "", func(string, []byte, int64) bool { return false }); err != nil {
		t.Errorf("yield returned false: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err := kv.Watch(ctx, "", func(key string, _ []byte, rev int64) bool {
		if key == "" && rev != 0 {
			stop()
		}
		return true
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: error %v, want the context's", err)
	}
}

func canceled(t *testing.T, kv store.KV) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if rev, ok, err := commit(ctx, kv, nil, map[string]string{"a": "1"}); err == nil {
		if !ok {
			t.Error("an unconditional commit was not done, without an error")
		}
		check(t, kv, "a", "1", rev) // it may be done nevertheless
	}
	if _, err := kv.Scan(ctx, "", func(string, []byte, int64) bool { return true }); err == nil {
		t.Error("scan with a canceled context: no error")
	}
}
