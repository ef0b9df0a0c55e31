package trail

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// running a trail and its index on the real disk; both stop with the test.
func indexed2(t testing.TB, o Options) (*Trail, *Index, func()) {
	t.Helper()
	tr, stop := run(t, o)
	x, err := OpenIndex(tr)
	if err != nil {
		t.Fatalf("OpenIndex: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- x.Run(ctx) }()
	end := func() {
		if cancel == nil {
			return
		}
		cancel()
		cancel = nil
		if err := errors.Join(<-done, stop()); err != nil {
			t.Errorf("stopping: %v", err)
		}
	}
	t.Cleanup(end)
	return tr, x, end
}

func onDisk(t testing.TB) Options {
	o := options(nil)
	o.FS, o.Dir = nil, filepath.Join(t.TempDir(), "trail")
	return o
}

// signIn is a settlement and an attempt of user n%users, an hour after the one before.
func signIn(n, users int) []mfa.Record {
	var id mfa.AttemptID
	copy(id[:], fmt.Sprintf("%010d", n))
	at := start.Add(time.Duration(n) * time.Hour)
	u := n % users
	s := &mfa.Settled{Attempt: id, User: mfa.UserID(fmt.Sprintf("user%d", u)), Time: at, Server: "nyc1", Reason: mfa.OK, State: mfa.Committed, Epoch: 1, Revision: int64(n)}
	a := &mfa.Attempt{ID: id, Time: at, Server: "nyc1", Application: fmt.Sprintf("vpn%d", n%2), FrontEnd: "radius", User: s.User, Login: fmt.Sprintf("Alice%d", u),
		Verdict: mfa.Accept, Reason: mfa.OK, Method: mfa.MethodTOTP}
	if n%5 == 0 {
		s.Failures, s.Reason, a.Reason, a.Verdict = 1, mfa.WrongCode, mfa.WrongCode, mfa.Reject
	}
	return []mfa.Record{{Settled: s}, {Attempt: a}}
}

func TestQuery(t *testing.T) {
	tr, x, _ := indexed2(t, onDisk(t))
	for n := 1; n <= 60; n++ {
		if err := tr.Append(t.Context(), append(signIn(n, 3), act(n))...); err != nil {
			t.Fatal(err)
		}
	}
	hour := func(n int) time.Time { return start.Add(time.Duration(n) * time.Hour) }
	all := func(keep func(n int) bool) (want []int) {
		for n := 60; n > 0; n-- {
			if keep(n) {
				want = append(want, n)
			}
		}
		return want
	}
	tests := []struct {
		name string
		f    Filter
		keep func(n int) bool
	}{
		{"everything", Filter{}, func(int) bool { return true }},
		{"user", Filter{User: "user1"}, func(n int) bool { return n%3 == 1 }},
		{"unknown user", Filter{User: "user9"}, func(int) bool { return false }},
		{"login in another case", Filter{Login: "aLICE2"}, func(n int) bool { return n%3 == 2 }},
		{"application", Filter{Application: "vpn0"}, func(n int) bool { return n%2 == 0 }},
		{"reason of refusals", Filter{Reason: "wrong_code"}, func(n int) bool { return n%5 == 0 }},
		{"reason of accepts", Filter{Reason: "ok"}, func(n int) bool { return n%5 != 0 }},
		{"verdict", Filter{Verdict: "reject"}, func(n int) bool { return n%5 == 0 }},
		{"since", Filter{Since: hour(50)}, func(n int) bool { return n >= 50 }},
		{"until", Filter{Until: hour(5)}, func(n int) bool { return n < 5 }},
		{"between", Filter{Since: hour(10), Until: hour(20)}, func(n int) bool { return n >= 10 && n < 20 }},
		{"in the future", Filter{Since: hour(99)}, func(int) bool { return false }},
		{"user and reason and since", Filter{User: "user0", Reason: "wrong_code", Since: hour(20)}, func(n int) bool { return n%15 == 0 && n >= 20 }},
		{"attempt", Filter{Attempt: signIn(7, 3)[1].Attempt.ID}, func(n int) bool { return n == 7 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []int
			f := tt.f
			f.Limit = 7
			for {
				page, next, err := x.Attempts(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					got = append(got, int(e.Record.Attempt.Time.Sub(start)/time.Hour))
				}
				if next == 0 {
					break
				}
				f.Before = next
			}
			if want := all(tt.keep); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
	acts, next, err := x.Acts(t.Context(), Filter{Limit: 2})
	if err != nil || len(acts) != 2 || acts[0].Record.Act.Object != "60" || next != acts[1].Seq {
		t.Errorf("Acts: got %v, %d, %v", acts, next, err)
	}
	settled, _, err := x.Settlements(t.Context(), Filter{User: "user1", Limit: 1})
	if err != nil || len(settled) != 1 || settled[0].Record.Settled.Revision != 58 {
		t.Errorf("Settlements: got %v, %v", settled, err)
	}
	for _, f := range []Filter{{Reason: "nonsense"}, {Verdict: "nonsense"}} {
		if _, _, err := x.Attempts(t.Context(), f); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%+v: got %v, want %v", f, err, mfa.ErrInvalid)
		}
	}
}

// TestQueryByTime compares with a plain search, over several blocks, while the clock
// jumps.
func TestQueryByTime(t *testing.T) {
	tr, x, _ := indexed2(t, onDisk(t))
	var times []time.Time
	at := start
	for n := range 1400 {
		switch at = at.Add(time.Minute); n {
		case 300:
			at = at.Add(48 * time.Hour)
		case 600:
			at = at.Add(-60 * time.Hour)
		case 1100:
			at = at.Add(20 * time.Hour)
		}
		r := act(n)
		r.Act.Time = at
		times = append(times, at)
		if err := tr.Append(t.Context(), r, act(n)); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < len(times); i += 97 {
		for _, f := range []Filter{{Since: times[i]}, {Until: times[i]}, {Since: times[i], Until: times[i].Add(3 * time.Hour)}} {
			in := func(at time.Time) bool {
				return (f.Since.IsZero() || !at.Before(f.Since)) && (f.Until.IsZero() || at.Before(f.Until))
			}
			want := 0
			for _, at := range times {
				for _, at := range []time.Time{at, start} {
					if in(at) {
						want++
					}
				}
			}
			f.Limit = maxLimit
			got, _, err := x.Acts(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range got {
				if !in(e.Record.Act.Time) {
					t.Errorf("%+v: got one of %s", f, e.Record.Act.Time)
				}
			}
			if len(got) != want {
				t.Errorf("%+v: got %d, want %d", f, len(got), want)
			}
		}
	}
}

// TestIndexForgets what retention has removed.
func TestIndexForgets(t *testing.T) {
	o := onDisk(t)
	now := start
	o.Now = func() time.Time { return now }
	tr, x, end := indexed2(t, o)
	appendActs(t, tr, 1, 50)
	if err := tr.SetMerged(tr.Head()); err != nil {
		t.Fatal(err)
	}
	dump(t, x)
	end()
	now = now.Add(400 * 24 * time.Hour)
	tr, x, _ = indexed2(t, o) // retention runs at the start
	appendActs(t, tr, 51, 51)
	acts, _, err := x.Acts(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range acts {
		got = append(got, e.Record.Act.Object)
	}
	slices.Reverse(got)
	left := objects(t, tr, Position{})
	equal(t, "acts", got, left)
	var rows int
	if err := x.db.QueryRow("SELECT count(*) FROM records").Scan(&rows); err != nil || rows != len(left) || rows > 30 {
		t.Errorf("%d rows in the index, %d records in the trail, %v", rows, len(left), err)
	}
}

// TestQueryPlans: the usual questions use an index and sort nothing.
func TestQueryPlans(t *testing.T) {
	_, x, _ := indexed2(t, onDisk(t))
	for _, tt := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "SCAN records"},
		{Filter{User: "u"}, "by_user"},
		{Filter{Login: "l"}, "by_login"},
		{Filter{Reason: "wrong_code"}, "refusals"},
		{Filter{Reason: "exempt_network"}, "passes"},
		{Filter{Method: "tap"}, "by_method"},
		{Filter{Method: "totp"}, "by_method"},
		{Filter{Application: "vpn"}, "by_application"},
		{Filter{Application: "vpn", Method: "totp", Since: start}, "by_application"},
		{Filter{Application: "vpn", Verdict: "accept", Reason: "ok"}, "by_application"},
		{Filter{Application: "vpn", Login: "l"}, "by_login"},
		{Filter{Application: "vpn", User: "u", Reason: "wrong_code"}, "by_user"},
		{Filter{Application: "vpn", Reason: "wrong_code"}, "refusals"},
		{Filter{Verdict: "reject"}, "refused"},
		{Filter{Attempt: mfa.AttemptID{1}}, "by_attempt"},
		{Filter{Since: start}, "INTEGER PRIMARY KEY"},
	} {
		where, args, err := conditions(t.Context(), x.db, isAttempt, tt.f)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := x.db.Query("EXPLAIN QUERY PLAN SELECT seq FROM records WHERE "+where+" ORDER BY seq DESC LIMIT 1", args...)
		if err != nil {
			t.Fatal(err)
		}
		var plan strings.Builder
		for rows.Next() {
			var a, b, c int
			var detail string
			if err := rows.Scan(&a, &b, &c, &detail); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(&plan, detail)
		}
		_ = rows.Close()
		if !strings.Contains(plan.String(), tt.want) || (strings.Contains(plan.String(), "TEMP B-TREE") && tt.f.Attempt == mfa.AttemptID{}) {
			t.Errorf("%+v: plan %q, want %s and no sorting", tt.f, plan.String(), tt.want)
		}
	}
}

// dump returns all that an index holds.
func dump(t *testing.T, x *Index) []string {
	t.Helper()
	if _, _, err := x.Attempts(t.Context(), Filter{}); err != nil { // waits
		t.Fatal(err)
	}
	var out []string
	for _, table := range []string{"records", "blocks", "state", "tally"} {
		rows, err := x.db.Query("SELECT * FROM " + table + " ORDER BY 1")
		if err != nil {
			t.Fatal(err)
		}
		cols, _ := rows.Columns()
		for rows.Next() {
			vals := make([]any, len(cols))
			for i := range vals {
				vals[i] = new(any)
			}
			if err := rows.Scan(vals...); err != nil {
				t.Fatal(err)
			}
			line := table
			for _, v := range vals {
				line += fmt.Sprintf(" %v", *v.(*any))
			}
			out = append(out, line)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestIndexIsRebuilt(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(t *testing.T, o *Options)
		anew  bool
	}{
		{"untouched", func(*testing.T, *Options) {}, false},
		{"deleted", func(t *testing.T, o *Options) { remove(t, o.Dir, indexName) }, false},
		{"not a database", func(t *testing.T, o *Options) {
			if err := os.WriteFile(filepath.Join(o.Dir, indexName), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
		{"of another trail", func(t *testing.T, o *Options) {
			other := onDisk(t)
			tr, x, end := indexed2(t, other)
			for n := range 90 {
				if err := tr.Append(t.Context(), signIn(n+1, 2)...); err != nil {
					t.Fatal(err)
				}
			}
			dump(t, x)
			end()
			b, err := os.ReadFile(filepath.Join(other.Dir, indexName))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(o.Dir, indexName), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var log logs
			o := onDisk(t)
			o.Log = log.logger()
			tr, x, end := indexed2(t, o)
			for n := 1; n <= 70; n++ {
				if err := tr.Append(t.Context(), signIn(n, 3)...); err != nil {
					t.Fatal(err)
				}
				if n%10 == 0 {
					dump(t, x) // so that it is built in several steps
				}
			}
			want := dump(t, x)
			end()
			tt.spoil(t, &o)
			_, x, _ = indexed2(t, o)
			if got := dump(t, x); !slices.Equal(got, want) {
				t.Errorf("the index differs:\ngot  %q\nwant %q", got, want)
			}
			if anew := strings.Contains(log.String(), "made anew"); anew != tt.anew {
				t.Errorf("made anew: %v, want %v\n%s", anew, tt.anew, log.String())
			}
		})
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.Remove(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// TestQueryWaits: a query without an index that runs ends with its context, and says
// how far the index is.
func TestQueryWaits(t *testing.T) {
	tr, _ := run(t, onDisk(t))
	x, err := OpenIndex(tr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.close() })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.Attempts(ctx, Filter{}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "record 0 of 1") {
		t.Errorf("got %v, want context canceled and where the index stands", err)
	}
}

func TestTail(t *testing.T) {
	tr, _ := run(t, options(newMemFS()))
	appendActs(t, tr, 1, 1)
	if err := tr.Append(t.Context(), signIn(1, 1)...); err != nil {
		t.Fatal(err)
	}
	got := make(chan mfa.UserID)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	started := make(chan struct{})
	go func() {
		first := true
		done <- tr.Follow(ctx, Position{}, func(_ Position, r mfa.Record) error {
			if first {
				close(started)
				first = false
			}
			if r.Attempt != nil {
				got <- r.Attempt.User
			}
			return nil
		})
	}()
	<-started
	if u := <-got; u != "user0" {
		t.Errorf("what was there before: got %q", u)
	}
	for n := 2; n < 60; n++ { // over several segments
		if err := tr.Append(t.Context(), signIn(n, 60)...); err != nil {
			t.Fatal(err)
		}
		if u, want := <-got, mfa.UserID(fmt.Sprintf("user%d", n)); u != want {
			t.Errorf("got %q, want %q", u, want)
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow: got %v, want %v", err, context.Canceled)
	}
}
