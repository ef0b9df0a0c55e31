package trail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// life is what a trail went through until the power went.
type life struct {
	submitted int      // acts 1..submitted were handed over
	acked     int      // acts 1..acked were acknowledged
	merged    int      // acts up to this one may be gone by retention
	head      Position // after the last acknowledgement
}

// live runs a fixed life on m from where l stands: three sessions with rotations, a
// merge and a retention, until an operation fails.
func live(ctx context.Context, m *memFS, l *life) error {
	now := start
	for session := range 3 {
		o := options(m)
		o.Now = func() time.Time { return now }
		tr, err := Open(o)
		if err != nil {
			return err
		}
		if session == 1 { // behind the first session: merge, and let a year pass
			l.merged = l.acked
			if err := tr.SetMerged(tr.Head()); err != nil {
				return err
			}
			now = now.Add(400 * 24 * time.Hour)
		}
		if err := session1(ctx, tr, l); err != nil {
			return err
		}
	}
	return nil
}

func session1(ctx context.Context, tr *Trail, l *life) error {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- tr.Run(ctx) }()
	for i := range 16 {
		var rs []mfa.Record
		for range 1 + i%3 {
			l.submitted++
			rs = append(rs, act(l.submitted))
		}
		if err := tr.Append(ctx, rs...); err != nil {
			cancel()
			return errors.Join(err, <-done)
		}
		l.acked, l.head = l.submitted, tr.Head()
	}
	cancel()
	return <-done
}

// check opens what survived and holds it against what was promised. It returns the
// trail's acts.
func (l *life) check(t *testing.T, m *memFS) []string {
	t.Helper()
	var log logs
	o := options(m)
	o.Log = log.logger()
	o.Now = func() time.Time { return start.Add(400 * 24 * time.Hour) }
	tr, stop := run(t, o)
	if tr.Broken() != nil {
		t.Fatalf("a power cut was taken for damage: %+v", tr.Broken())
	}
	got := objects(t, tr, Position{})
	first := 1
	if len(got) > 0 {
		first, _ = strconv.Atoi(got[0])
	}
	if first > l.merged+1 && l.acked > 0 {
		t.Errorf("the first act is %d, but only those up to %d were merged", first, l.merged)
	}
	if n := first - 1 + len(got); n < l.acked || n > l.submitted {
		t.Errorf("acts up to %d are there, want at least the %d acknowledged and at most the %d submitted\n%s", n, l.acked, l.submitted, log.String())
	}
	equal(t, "acts", got, numbers(first, first-1+len(got)))
	if err := tr.Append(t.Context(), act(0)); err != nil {
		t.Fatalf("Append after the power cut: %v", err)
	}
	sound(t, m, "/trail", l.head)
	if err := stop(); err != nil {
		t.Fatalf("Run after the power cut: %v", err)
	}
	sound(t, m, "/trail", tr.Head())
	return got
}

// TestPowerCut cuts the power at every operation of a life, keeps nothing, everything or
// some of what was not synced, and wants every acknowledged record back and no other.
func TestPowerCut(t *testing.T) {
	whole := newMemFS()
	var l life
	if err := live(t.Context(), whole, &l); err != nil {
		t.Fatalf("without a cut: %v", err)
	}
	for _, kind := range []string{"create", "write", "sync", "syncdir", "truncate", "rename", "remove"} {
		if !slices.Contains(whole.kinds, kind) {
			t.Errorf("the life has no %s, so the test does not cover it", kind)
		}
	}
	for off := 1; off <= whole.ops+1; off++ {
		for try := range 8 {
			mode := min(try, cutSome)
			t.Run(fmt.Sprintf("%d/%d", off, try), func(t *testing.T) {
				m := newMemFS()
				m.off = off
				var l life
				if err := live(t.Context(), m, &l); off <= whole.ops && !errors.Is(err, errPower) {
					t.Fatalf("the life ended with %v, want the power cut", err)
				}
				rng := rand.New(rand.NewPCG(uint64(off), uint64(try)))
				l.check(t, m.cut(mode, rng))
			})
		}
	}
}

// TestPowerCutWhileRecovering cuts the power a second time, at each operation of the
// Open after the first cut.
func TestPowerCutWhileRecovering(t *testing.T) {
	whole := newMemFS()
	var l life
	if err := live(t.Context(), whole, &l); err != nil {
		t.Fatal(err)
	}
	torn := 0
	for off := 1; off <= whole.ops; off++ {
		m := newMemFS()
		m.off = off
		var l life
		_ = live(t.Context(), m, &l)
		for second := 1; ; second++ {
			rng := rand.New(rand.NewPCG(uint64(off), uint64(second)))
			again := m.cut(cutSome, rng)
			again.off = second
			_, err := Open(options(again))
			if err != nil && !errors.Is(err, errPower) {
				t.Fatalf("cut at %d, second at %d: Open: %v", off, second, err)
			}
			if slices.Contains(again.kinds, "truncate") {
				torn++
			}
			l.check(t, again.cut(cutSome, rng))
			if err == nil {
				break
			}
		}
		if t.Failed() {
			t.Fatalf("cut at operation %d", off)
		}
	}
	if torn == 0 {
		t.Error("no cut left a torn tail, so the test does not cover it")
	}
}

// TestDiskError fails one write or sync: the trail must refuse from then on and never
// sync that file again, and after a restart (without, then with a power cut) what was
// acknowledged before and after must be there.
func TestDiskError(t *testing.T) {
	whole := newMemFS()
	var l life
	if err := live(t.Context(), whole, &l); err != nil {
		t.Fatal(err)
	}
	for bad := 1; bad <= whole.ops; bad++ {
		if k := whole.kinds[bad-1]; k != "write" && k != "sync" {
			continue
		}
		t.Run(fmt.Sprint(bad, whole.kinds[bad-1]), func(t *testing.T) {
			m := newMemFS()
			m.bad = bad
			var l life
			err := live(t.Context(), m, &l)
			if !errors.Is(err, errDisk) {
				t.Fatalf("the life ended with %v, want the disk's error", err)
			}
			if m.ops != bad && m.ops != bad+1 { // a file's removal or closing may follow
				t.Errorf("%d operations after the failed one: %v", m.ops-bad, m.kinds[bad:])
			}
			survivors := len(l.check(t, m)) // the same disk: only the process was restarted
			_ = survivors
			rng := rand.New(rand.NewPCG(uint64(bad), 1))
			for _, mode := range []int{cutNothing, cutSome} {
				after := m.cut(mode, rng)
				tr, err := Open(options(after))
				if err != nil {
					t.Fatal(err)
				}
				got := objects(t, tr, Position{})
				if len(got) == 0 || got[len(got)-1] != "0" {
					t.Errorf("the act acknowledged after the restart is gone: %v", got)
				}
				sound(t, after, "/trail", tr.Head())
			}
		})
	}
}

// TestPoisoned: after a failed sync Append fails at once, with an error that says what
// to do, and so does all that waited.
func TestPoisoned(t *testing.T) {
	m := newMemFS()
	tr, stop := run(t, options(m))
	appendActs(t, tr, 1, 1)
	m.mu.Lock()
	m.bad = m.ops + 2 // write, sync
	m.mu.Unlock()
	err := tr.Append(t.Context(), act(2))
	if !errors.Is(err, errDisk) {
		t.Fatalf("Append with a failing sync: got %v, want %v", err, errDisk)
	}
	ops := m.ops
	if err := tr.Append(t.Context(), act(3)); !errors.Is(err, errDisk) {
		t.Errorf("Append afterwards: got %v, want %v", err, errDisk)
	}
	if err := stop(); !errors.Is(err, errDisk) {
		t.Errorf("Run: got %v, want %v", err, errDisk)
	}
	if err := tr.Append(t.Context(), act(4)); !errors.Is(err, errDisk) {
		t.Errorf("Append after Run: got %v, want %v", err, errDisk)
	}
	if m.ops != ops {
		t.Errorf("the file was touched again: %v", m.kinds[ops:])
	}
}
