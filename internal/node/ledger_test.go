package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/policy"
	"countersign/internal/settlement"
	"countersign/internal/trail"
)

// fakeTrail is a trail in memory.
type fakeTrail struct {
	mu      sync.Mutex
	records []mfa.Record
	merged  trail.Position
}

func (f *fakeTrail) Append(_ context.Context, r ...mfa.Record) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.records = append(f.records, r...)
	return nil
}

func (f *fakeTrail) Head() trail.Position {
	f.mu.Lock()
	defer f.mu.Unlock()
	return trail.Position{Seq: uint64(len(f.records))}
}

func (f *fakeTrail) SetMerged(p trail.Position) error {
	if p.Seq > f.Head().Seq {
		return errors.New("beyond the trail's end")
	}
	f.merged = p
	return nil
}

func (f *fakeTrail) Merged() trail.Position { return f.merged }

func (f *fakeTrail) Replay(after trail.Position, yield func(trail.Position, mfa.Record) error) error {
	f.mu.Lock()
	all := slices.Clone(f.records)
	f.mu.Unlock()
	for i, r := range all[min(int(after.Seq), len(all)):] {
		if err := yield(trail.Position{Seq: after.Seq + uint64(i) + 1}, r); err != nil {
			return err
		}
	}
	return nil
}

// fakeStore is the database in memory.
type fakeStore struct {
	accounts map[mfa.UserID]*settlement.Account
	writes   int
	broken   error
}

func (f *fakeStore) Account(_ context.Context, id mfa.UserID, _ bool) (settlement.Account, error) {
	a := f.accounts[id]
	if a == nil {
		return settlement.Account{}, mfa.ErrNotFound
	}
	return *a, nil
}

func (f *fakeStore) UpdateRecord(_ context.Context, id mfa.UserID, change func(*settlement.Record) error) error {
	if f.broken != nil {
		return f.broken
	}
	f.writes++
	return change(&f.accounts[id].Record)
}

func (f *fakeStore) RecentLegs(since time.Time, yield func(mfa.UserID, settlement.Leg) bool) error {
	for _, id := range slices.Sorted(maps.Keys(f.accounts)) {
		for _, l := range f.accounts[id].Record.Legs {
			if !l.Time.Before(since) && !yield(id, l) {
				return nil
			}
		}
	}
	return nil
}

func (f *fakeStore) Epoch() uint64 { return 1 }

// What a server settled alone is the store's to merge; alone_test.go has that.
func (f *fakeStore) Contact() (time.Time, bool)                  { return time.Now(), true }
func (f *fakeStore) Restore(context.Context, []mfa.Record) error { return nil }
func (f *fakeStore) Merge(context.Context) error                 { return nil }

// bench is a ledger between the two.
type bench struct {
	*ledger
	trail *fakeTrail
	store *fakeStore
	mark  mark
}

func newBench() *bench {
	b := &bench{trail: &fakeTrail{}, store: &fakeStore{accounts: map[mfa.UserID]*settlement.Account{
		"u1": {User: mfa.User{ID: "u1"}, Credentials: []mfa.Credential{{ID: "c1"}}},
		"u2": {User: mfa.User{ID: "u2"}, Credentials: []mfa.Credential{{ID: "c2"}}},
	}}}
	b.ledger = &ledger{server: "nyc1", trail: b.trail, store: b.store, settings: policy.Defaults, now: time.Now,
		check: func(context.Context) error { return nil },
		log:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		load:  func(context.Context) (mark, error) { return b.mark, nil },
		save:  func(_ context.Context, m mark) error { b.mark = m; return nil }}
	return b
}

// settled is a ledger entry of leg n for a user.
func settled(n byte, user mfa.UserID, state string, floor uint64) mfa.Record {
	s := &mfa.Settled{Leg: mfa.LegID{n}, Attempt: mfa.AttemptID{n}, User: user, Time: time.Now(), Credential: mfa.CredentialID("c" + string(user[1:])),
		Floor: mfa.Floor{Next: floor}, Reason: mfa.OK, State: state, Epoch: 1}
	if floor == 0 {
		s.Credential, s.Floor, s.Failures, s.Reason = "", mfa.Floor{}, 1, mfa.WrongCode
	}
	return mfa.Record{Settled: s}
}

// settle puts a leg into the database as the engine would.
func (b *bench) settle(r mfa.Record) {
	a := b.store.accounts[r.Settled.User]
	c := settlement.Change{Leg: r.Settled.Leg, Attempt: r.Settled.Attempt, Reason: r.Settled.Reason, Time: r.Settled.Time,
		Credential: r.Settled.Credential, Floor: r.Settled.Floor, Fail: r.Settled.Failures > 0, Server: "nyc1"}
	next, err := a.Record.Apply(c, policy.Defaults().Second(), policy.Defaults().First())
	if err != nil {
		panic(err)
	}
	a.Record = next
}

func TestRecover(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		do   func(b *bench)
		want recovered
		also func(t *testing.T, b *bench)
	}{
		{"nothing to do", func(b *bench) {
			r := settled(1, "u1", mfa.Committed, 5)
			b.settle(r)
			b.trail.records = []mfa.Record{r, {Attempt: &mfa.Attempt{}}}
		}, recovered{read: 2}, func(t *testing.T, b *bench) {
			if b.store.writes != 0 || len(b.trail.records) != 2 {
				t.Errorf("%d writes, %d records", b.store.writes, len(b.trail.records))
			}
		}},
		{"a floor that the database lost", func(b *bench) { b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 5)} },
			recovered{read: 1, raised: 1}, func(t *testing.T, b *bench) {
				if got := b.store.accounts["u1"].Record.Floors.Of("c1").Next; got != 5 {
					t.Errorf("floor %d, want 5", got)
				}
			}},
		{"a failure whose write was never acknowledged", func(b *bench) { b.trail.records = []mfa.Record{settled(1, "u1", mfa.Unknown, 0)} },
			recovered{read: 1, raised: 1}, func(t *testing.T, b *bench) {
				if got := b.store.accounts["u1"].Record.Fails.N; got != 1 {
					t.Errorf("%d failures, want 1", got)
				}
			}},
		{"the same, and it had happened", func(b *bench) {
			r := settled(1, "u1", mfa.Unknown, 0)
			b.settle(r)
			b.trail.records = []mfa.Record{r}
		}, recovered{read: 1, interrupted: 1}, func(t *testing.T, b *bench) { // it counts, and nobody was answered
			if got := b.store.accounts["u1"].Record.Fails.N; got != 1 {
				t.Errorf("%d failures, want 1: counted twice", got)
			}
		}},
		{"acknowledged failures are not counted again when their leg is forgotten", func(b *bench) {
			b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 0)}
		}, recovered{read: 1}, func(t *testing.T, b *bench) {
			if got := b.store.accounts["u1"].Record.Fails.N; got != 0 {
				t.Errorf("%d failures, want 0", got)
			}
		}},
		{"but those of an earlier epoch are", func(b *bench) {
			r := settled(1, "u1", mfa.Committed, 0)
			r.Settled.Epoch = 7
			b.trail.records = []mfa.Record{r}
		}, recovered{read: 1, raised: 1}, nil},
		{"user removed since", func(b *bench) { b.trail.records = []mfa.Record{settled(1, "u9", mfa.Committed, 5)} }, recovered{read: 1}, nil},
		{"credential removed since", func(b *bench) {
			b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 5)}
			b.store.accounts["u1"].Credentials = nil
		}, recovered{read: 1}, func(t *testing.T, b *bench) {
			if len(b.store.accounts["u1"].Record.Floors) != 0 {
				t.Error("a floor for nothing")
			}
		}},
		{"settled and not recorded", func(b *bench) {
			recorded := settled(1, "u1", mfa.Committed, 5)
			b.settle(recorded)
			b.settle(settled(2, "u2", mfa.Committed, 6))
			b.trail.records = []mfa.Record{recorded}
		}, recovered{read: 1, interrupted: 1}, func(t *testing.T, b *bench) {
			if len(b.trail.records) != 3 {
				t.Fatalf("%d records, want 3", len(b.trail.records))
			}
			s, a := b.trail.records[1].Settled, b.trail.records[2].Attempt
			if s == nil || s.Leg != (mfa.LegID{2}) || a == nil || a.ID != (mfa.AttemptID{2}) || a.Reason != mfa.Interrupted || a.Verdict != mfa.Reject || a.User != "u2" {
				t.Errorf("got %+v, %+v", s, a)
			}
			again, err := b.recover(ctx)
			if err != nil || again.interrupted != 0 {
				t.Errorf("the next start: %+v, %v", again, err)
			}
		}},
		{"a leg of long ago", func(b *bench) {
			r := settled(1, "u1", mfa.Committed, 5)
			r.Settled.Time = time.Now().Add(-2 * time.Hour)
			b.settle(r)
		}, recovered{}, nil},
		{"a trail that ends before the mark", func(b *bench) {
			b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 5)}
			b.mark = mark{Position: trail.Position{Seq: 45}, Time: time.Now()}
		}, recovered{read: 1, raised: 1}, nil},
		{"the same, and nothing is left", func(b *bench) { b.mark = mark{Position: trail.Position{Seq: 45}, Time: time.Now()} }, recovered{}, nil},
		{"what lies before the mark is left alone", func(b *bench) {
			b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 5)}
			b.mark = mark{Position: b.trail.Head(), Time: time.Now()}
		}, recovered{}, nil},
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			b := newBench()
			c.do(b)
			got, err := b.recover(ctx)
			got.last = time.Time{}
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
			if c.also != nil {
				c.also(t, b)
			}
			// Legs of the second that was running may still come; a start after it knows better.
			b.now = func() time.Time { return time.Now().Add(time.Second) }
			if _, err := b.recover(ctx); err != nil {
				t.Error(err)
			}
			if b.mark.Position != b.trail.Head() || b.trail.merged != b.trail.Head() {
				t.Errorf("mark %v, merged %v, head %v", b.mark.Position, b.trail.merged, b.trail.Head())
			}
		})
	}
	t.Run("the database fails", func(t *testing.T) {
		b := newBench()
		b.trail.records = []mfa.Record{settled(1, "u1", mfa.Committed, 5)}
		b.store.broken = mfa.ErrUnavailable
		if _, err := b.recover(ctx); !errors.Is(err, mfa.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		if b.mark != (mark{}) {
			t.Error("the mark moved all the same")
		}
	})
}

// A leg that is settled and recorded while the mark moves is never taken for interrupted,
// and one that is on its way when the server stops always is.
func TestMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := newBench()
		if _, err := b.recover(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- b.run(ctx) }()
		step := func(n byte, record bool) {
			r := settled(n, "u1", mfa.Committed, uint64(n))
			b.settle(r)
			time.Sleep(900 * time.Millisecond)
			if record {
				b.Append(ctx, r, mfa.Record{Attempt: &mfa.Attempt{}})
			}
		}
		for n := byte(1); n < 50; n++ {
			step(n, true)
		}
		synctest.Wait()
		if b.mark.Position.Seq == 0 || b.mark.Position == b.trail.Head() {
			t.Errorf("mark %v, head %v: want it behind, but moved", b.mark.Position, b.trail.Head())
		}
		step(50, false)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		got, err := b.recover(t.Context())
		if err != nil || got.interrupted != 1 || got.raised != 0 {
			t.Errorf("got %+v, %v; want 1 interrupted", got, err)
		}
	})
}

// A settlement whose outcome was open, and which the database has, is recorded while the
// server works: nobody was answered here, but another server may have. One that was recorded
// since is not recorded again.
func TestOpenOutcomeIsRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		b := newBench()
		if _, err := b.recover(ctx); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- b.run(ctx) }()
		for n := byte(1); n <= 2; n++ {
			r := settled(n, "u1", mfa.Unknown, uint64(n))
			b.settle(r)
			records := []mfa.Record{r}
			if n == 2 {
				records = append(records, mfa.Record{Attempt: &mfa.Attempt{ID: r.Settled.Attempt, Reason: mfa.OK}})
			}
			if err := b.Append(ctx, records...); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * markInterval)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		count := map[mfa.AttemptID]int{}
		for _, r := range b.trail.records {
			if r.Attempt != nil && r.Attempt.Reason == mfa.Interrupted {
				count[r.Attempt.ID]++
			}
		}
		if len(count) != 1 || count[mfa.AttemptID{1}] != 1 {
			t.Errorf("recorded as interrupted: %v, want the first, once", count)
		}
	})
}

// Several starts within one second, after crashes and after clean stops: what is recorded
// is not taken for interrupted, and what is not always is.
func TestStartsWithinOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // whose clock begins at a full second
		ctx := t.Context()
		b := newBench()
		start := func(want int) {
			t.Helper()
			got, err := b.recover(ctx)
			if err != nil || got.interrupted != want || got.raised != 0 {
				t.Errorf("got %+v, %v; want %d interrupted", got, err, want)
			}
		}
		start(0)
		for n := byte(1); n < 40; n += 4 {
			for i := range byte(3) {
				r := settled(n+i, "u1", mfa.Committed, uint64(n+i))
				b.settle(r)
				if err := b.Append(ctx, r, mfa.Record{Attempt: &mfa.Attempt{}}); err != nil {
					t.Fatal(err)
				}
			}
			b.settle(settled(n+3, "u1", mfa.Committed, uint64(n+3)))
			time.Sleep(30 * time.Millisecond)
			start(1)
			start(0)
			if n%8 == 1 {
				if err := b.close(ctx); err != nil {
					t.Fatal(err)
				}
				start(0)
			}
		}
		b.settle(settled(50, "u1", mfa.Committed, 50))
		time.Sleep(time.Second)
		start(1)
		if b.mark.Position.Seq == 0 {
			t.Error("the mark did not move in a second")
		}
	})
}

// An entry whose write was not acknowledged is merged while the server runs.
func TestPendingIsMerged(t *testing.T) {
	ctx := t.Context()
	b := newBench()
	if _, err := b.recover(ctx); err != nil {
		t.Fatal(err)
	}
	b.store.broken = mfa.ErrUnavailable
	if err := b.Append(ctx, settled(1, "u1", mfa.Unknown, 9)); err != nil {
		t.Fatal(err)
	}
	if err := b.pass(ctx); !errors.Is(err, mfa.ErrUnavailable) {
		t.Errorf("pass without a database: %v", err)
	}
	if err := b.close(ctx); err != nil || b.mark.Position == b.trail.Head() {
		t.Errorf("the mark passed an entry that is not merged: %v, %v", b.mark, err)
	}
	b.store.broken = nil
	if err := b.pass(ctx); err != nil {
		t.Fatal(err)
	}
	if got := b.store.accounts["u1"].Record.Floors.Of("c1").Next; got != 9 {
		t.Errorf("floor %d, want 9", got)
	}
	b.now = func() time.Time { return time.Now().Add(time.Second) }
	if err := b.close(ctx); err != nil || b.mark.Position != b.trail.Head() {
		t.Errorf("close: mark %v, head %v, %v", b.mark, b.trail.Head(), err)
	}
}
