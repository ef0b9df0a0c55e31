package trail

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"countersign/internal/mfa"
)

func TestMain(m *testing.M) {
	childMain() // does not return in a child of TestKill
	goleak.VerifyTestMain(m)
}

// TestAppendConcurrently: every caller's records are there once, in the caller's order,
// and those of one Append have nothing in between.
func TestAppendConcurrently(t *testing.T) {
	const callers, each = 32, 40
	for _, onSystem := range []bool{false, true} {
		t.Run(fmt.Sprintf("system=%v", onSystem), func(t *testing.T) {
			o := options(newMemFS())
			if onSystem {
				o = onDisk(t)
			}
			o.MaxSegment = 32 << 10
			tr, stop := run(t, o)
			var wg sync.WaitGroup
			for c := range callers {
				wg.Go(func() {
					for i := range each {
						first, second := act(c*1000+i), act(c*1000+i)
						second.Act.Verb = "second"
						if err := tr.Append(t.Context(), first, second); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			next := make([]int, callers)
			var pair string
			var seq uint64
			err := tr.Replay(Position{}, func(p Position, r mfa.Record) error {
				if p.Seq <= seq {
					t.Errorf("seq %d after %d", p.Seq, seq)
				}
				seq = p.Seq
				if r.Act.Verb != "second" {
					pair = r.Act.Object
					return nil
				}
				if r.Act.Object != pair {
					t.Errorf("%s stands between the records of one Append", pair)
				}
				n, _ := strconv.Atoi(pair)
				if next[n/1000] != n%1000 {
					t.Errorf("caller %d: got record %d, want %d", n/1000, n%1000, next[n/1000])
				}
				next[n/1000]++
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			for c, n := range next {
				if n != each {
					t.Errorf("caller %d: %d of %d records", c, n, each)
				}
			}
			sound(t, o.FS, o.Dir, tr.Head())
		})
	}
}

func TestAppendRefuses(t *testing.T) {
	m := newMemFS()
	tr, stop := run(t, options(m))
	head := tr.Head()
	if err := tr.Append(t.Context()); err != nil {
		t.Errorf("no record: %v", err)
	}
	if err := tr.Append(t.Context(), act(1), mfa.Record{}); !errors.Is(err, mfa.ErrInvalid) {
		t.Errorf("an empty record: got %v, want %v", err, mfa.ErrInvalid)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tr.Append(cancelled, act(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: got %v", err)
	}
	if tr.Head() != head {
		t.Error("something was written")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := tr.Append(t.Context(), act(1)); !errors.Is(err, ErrClosed) {
		t.Errorf("after Run: got %v, want %v", err, ErrClosed)
	}
}

// TestAppendWaits: while the disk does not answer Append ends with its context, a
// bounded amount waits, and Run writes at its end what still waits.
func TestAppendWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		tr, err := Open(options(m))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := tr.Append(ctx, act(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody writes: got %v, want %v", err, context.DeadlineExceeded)
		}
		big := mfa.Record{Act: &mfa.Act{Detail: strings.Repeat("x", 200<<10)}}
		waiting, giveUp := context.WithCancel(t.Context())
		for range maxPending/(200<<10) + 1 {
			go func() { _ = tr.Append(waiting, big) }()
		}
		synctest.Wait()
		if err := tr.Append(t.Context(), act(2)); !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("too much waits: got %v, want %v", err, mfa.ErrUnavailable)
		}
		giveUp()
		synctest.Wait()
		done, end := context.WithCancel(t.Context())
		end()
		if err := tr.Run(done); err != nil {
			t.Fatal(err)
		}
		if got := objects(t, tr, Position{}); got[0] != "1" || len(got) != maxPending/(200<<10)+2 {
			t.Errorf("%d records were written at the end, the first %q", len(got), got[0])
		}
	})
}

func TestReplayFromEachPosition(t *testing.T) {
	m, _ := filled(t)
	tr, stop := run(t, options(m))
	var all []string
	var at []Position
	if err := tr.Replay(Position{}, func(p Position, r mfa.Record) error {
		all, at = append(all, r.Act.Object), append(at, p)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	equal(t, "all", all, numbers(1, len(all)))
	for i, p := range at {
		equal(t, fmt.Sprintf("after record %d", p.Seq), objects(t, tr, p), all[i+1:])
		if held, err := tr.Holds(p); err != nil || !held {
			t.Errorf("Holds(%v): %v, %v", p, held, err)
		}
	}
	for name, p := range map[string]Position{
		"another hash":   {Segment: at[3].Segment, Seq: at[3].Seq, Hash: Hash{1}},
		"beyond the end": {Segment: 3, Seq: 1000, Hash: Hash{1}},
		"no such file":   {Segment: 9, Seq: 1000, Hash: Hash{1}},
		"wrong file":     {Segment: 2, Seq: at[3].Seq, Hash: at[3].Hash},
	} {
		equal(t, name, objects(t, tr, p), all)
		if held, err := tr.Holds(p); err != nil || held {
			t.Errorf("%s: Holds: %v, %v, want false", name, held, err)
		}
	}
	stopped := errors.New("stopped")
	if err := tr.Replay(Position{}, func(Position, mfa.Record) error { return stopped }); !errors.Is(err, stopped) {
		t.Errorf("Replay returned %v, want the error of yield", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

func TestSetMerged(t *testing.T) {
	m := newMemFS()
	tr, stop := run(t, options(m))
	appendActs(t, tr, 1, 5)
	older := tr.Head()
	appendActs(t, tr, 6, 9)
	newer := tr.Head()
	for _, p := range []Position{newer, older, {}} {
		if err := tr.SetMerged(p); err != nil {
			t.Fatal(err)
		}
		if got := tr.Merged(); got != newer {
			t.Errorf("Merged: got %v, want %v", got, newer)
		}
	}
	if err := tr.SetMerged(Position{Segment: 1, Seq: newer.Seq + 1}); err == nil {
		t.Error("a position beyond the head was taken")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	after := m.cut(cutNothing, nil)
	tr, err := Open(options(after))
	if err != nil {
		t.Fatal(err)
	}
	if got := tr.Merged(); got != newer {
		t.Errorf("after a power cut: got %v, want %v", got, newer)
	}
	for name, content := range map[string]string{
		"empty": "", "rubbish": "rubbish", "zeros": strings.Repeat("\x00", 90),
		"ahead of the trail": `{"segment":1,"seq":1000,"hash":"` + newer.Hash.String() + `"}`,
	} {
		after.files["/trail/"+mergedName].view = []byte(content)
		tr, err := Open(options(after))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := tr.Merged(); got != (Position{}) {
			t.Errorf("%s: Merged: got %v, want none, so that everything is read back", name, got)
		}
	}
}

// TestSaveHead: each second if it moved, again after an error, and once at the end.
func TestSaveHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := Open(options(newMemFS()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- tr.Run(ctx) }()
		var mu sync.Mutex
		var saved []uint64
		var fail error
		answer := func(err error) {
			mu.Lock()
			defer mu.Unlock()
			fail = err
		}
		go func() {
			done <- tr.SaveHead(ctx, func(_ context.Context, p Position) error {
				mu.Lock()
				defer mu.Unlock()
				if fail != nil {
					return fail
				}
				saved = append(saved, p.Seq)
				return nil
			})
		}()
		seconds := func(n int) { time.Sleep(time.Duration(n)*time.Second + time.Millisecond); synctest.Wait() } // of the bubble's clock
		seconds(3)
		appendActs(t, tr, 1, 2)
		seconds(3)
		answer(errors.New("no master"))
		appendActs(t, tr, 3, 3)
		seconds(3)
		answer(nil)
		seconds(3)
		appendActs(t, tr, 4, 4)
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Fatal(err)
		}
		if want := []uint64{1, 3, 4, 5}; !slices.Equal(saved, want) {
			t.Errorf("saved %v, want %v", saved, want)
		}
	})
}

// TestTailIsFromNowOn: what was there before is not shown; what comes is, at once.
func TestTailIsFromNowOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tr, err := Open(options(newMemFS()))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		go func() { done <- tr.Run(ctx) }()
		add := func(n int) {
			if err := tr.Append(t.Context(), signIn(n, 1000)...); err != nil {
				t.Fatal(err)
			}
		}
		add(1)
		var got []mfa.UserID
		go func() {
			done <- tr.Tail(ctx, func(_ uint64, a mfa.Attempt) bool {
				got = append(got, a.User)
				return len(got) < 40
			})
		}()
		synctest.Wait()
		for n := 2; n <= 60; n++ {
			add(n)
			synctest.Wait()
			if want := min(n-1, 40); len(got) != want || got[want-1] != mfa.UserID(fmt.Sprintf("user%d", want+1)) {
				t.Fatalf("after attempt %d: got %v", n, got)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("Tail after yield returned false: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// TestAge: a segment is closed when it is old, however small.
func TestAge(t *testing.T) {
	o := options(newMemFS())
	now := start
	var mu sync.Mutex
	o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	tr, _ := run(t, o)
	appendActs(t, tr, 1, 2)
	mu.Lock()
	now = now.Add(25 * time.Hour)
	mu.Unlock()
	appendActs(t, tr, 3, 3)
	if got := tr.Head().Segment; got != 2 {
		t.Errorf("after 25 hours: segment %d, want 2", got)
	}
	equal(t, "acts", objects(t, tr, Position{}), numbers(1, 3))
}

func TestOpenRefuses(t *testing.T) {
	if _, err := Open(Options{}); err == nil {
		t.Error("empty options were taken")
	}
	o := onDisk(t)
	o.Dir = filepath.Join("/dev/null", "trail")
	if _, err := Open(o); err == nil || !strings.Contains(err.Error(), o.Dir) {
		t.Errorf("a folder that cannot be: got %v, want an error that names it", err)
	}
}

// TestEveryCallerIsAnswered when the disk fails under load.
func TestEveryCallerIsAnswered(t *testing.T) {
	m := newMemFS()
	m.bad = 40
	tr, stop := run(t, options(m))
	var wg sync.WaitGroup
	for c := range 32 {
		wg.Go(func() {
			for n := range 1000 {
				if err := tr.Append(context.Background(), act(c*1000+n)); err != nil {
					if !errors.Is(err, errDisk) {
						t.Errorf("got %v, want %v", err, errDisk)
					}
					return
				}
			}
			t.Error("the disk's error never came")
		})
	}
	wg.Wait()
	if err := stop(); !errors.Is(err, errDisk) {
		t.Errorf("Run: got %v, want %v", err, errDisk)
	}
}
