package trail

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// anyAttempt is one of many kinds, at a time.
func anyAttempt(r *rand.Rand, at time.Time) mfa.Record {
	reasons := []mfa.Reason{mfa.OK, mfa.OK, mfa.OK, mfa.WrongCode, mfa.ExemptNetwork, mfa.ExemptUser, mfa.Locked, mfa.Blocked}
	a := &mfa.Attempt{ID: mfa.NewAttemptID(nil), Time: at, Server: "nyc1", Application: []string{"vpn", "mail", ""}[r.IntN(3)], Reason: reasons[r.IntN(len(reasons))],
		Method: []mfa.MethodID{mfa.MethodTOTP, mfa.MethodTAP, ""}[r.IntN(3)], Login: fmt.Sprintf("Alice%d", r.IntN(4)), Degraded: r.IntN(9) == 0}
	a.User = mfa.UserID(strings.ToLower(a.Login))
	if a.Reason.Accepts() {
		a.Verdict = mfa.Accept
	}
	return mfa.Record{Attempt: a}
}

// kept are the attempts that a trail still holds.
func kept(t *testing.T, tr *Trail) (all []mfa.Attempt) {
	t.Helper()
	if err := tr.Replay(Position{}, func(_ Position, r mfa.Record) error {
		if r.Attempt != nil {
			all = append(all, *r.Attempt)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// counted counts attempts as Tally should, by other means.
func counted(all []mfa.Attempt, edges []time.Time, application string) map[Count]int64 {
	sums := map[Count]int64{}
	for _, a := range all {
		i := slices.IndexFunc(edges, func(e time.Time) bool { return a.Time.Before(e) }) - 1
		if i >= 0 && (application == "" || application == a.Application) {
			sums[Count{Span: i, Application: a.Application, Method: string(a.Method), Reason: a.Reason, Verdict: a.Verdict, Degraded: a.Degraded}]++
		}
	}
	return sums
}

func tallyOf(t *testing.T, x *Index, edges []time.Time, application string) map[Count]int64 {
	t.Helper()
	counts, err := x.Tally(t.Context(), edges, application)
	if err != nil {
		t.Fatal(err)
	}
	sums := map[Count]int64{}
	for _, c := range counts {
		n := c.N
		c.N = 0
		if sums[c] != 0 {
			t.Errorf("%+v is told twice", c)
		}
		sums[c] = n
	}
	return sums
}

// TestTallyEqualsTheTrail: what the index has counted is what the trail holds, also when the
// clock jumps, after a restart, and when the oldest records are gone.
func TestTallyEqualsTheTrail(t *testing.T) {
	o := onDisk(t)
	o.MaxSegment = 32 << 10
	now := start
	o.Now = func() time.Time { return now }
	tr, x, end := indexed2(t, o)
	r := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	var batch []mfa.Record
	at := time.Date(1969, 12, 31, 20, 0, 0, 0, time.UTC)
	for n := range 600 {
		switch at = at.Add(time.Duration(r.IntN(1200)) * time.Second); n {
		case 100:
			at = start
		case 400:
			at = at.Add(-30 * time.Hour)
		}
		if batch = append(batch, anyAttempt(r, at), act(n)); len(batch) == 40 {
			if err := tr.Append(t.Context(), batch...); err != nil {
				t.Fatal(err)
			}
			batch = batch[:0]
		}
	}
	ask := func(what string) {
		t.Helper()
		all := kept(t, tr)
		first := slices.MinFunc(all, func(a, b mfa.Attempt) int { return a.Time.Compare(b.Time) }).Time
		for _, step := range []time.Duration{45 * time.Minute, 3 * time.Hour} {
			for _, from := range []time.Time{first.Truncate(step), start.Truncate(step), start.Truncate(step).Add(-30 * time.Hour)} {
				var edges []time.Time
				for i := range 24 {
					edges = append(edges, from.Add(time.Duration(i)*step))
				}
				for _, app := range []string{"", "vpn"} {
					if got, want := tallyOf(t, x, edges, app), counted(all, edges, app); !maps.Equal(got, want) {
						t.Fatalf("%s, steps of %s from %s, application %q:\ngot  %v\nwant %v", what, step, from, app, got, want)
					}
				}
			}
		}
	}
	ask("as appended")
	if err := tr.SetMerged(tr.Head()); err != nil {
		t.Fatal(err)
	}
	end()
	before := 600
	now = now.Add(400 * 24 * time.Hour)
	tr, x, _ = indexed2(t, o) // retention runs at the start
	if err := tr.Append(t.Context(), anyAttempt(r, start)); err != nil {
		t.Fatal(err)
	}
	if left := len(kept(t, tr)); left == 0 || left >= before/2 {
		t.Fatalf("%d records are left of %d: the test shows nothing", left, before)
	}
	ask("after retention")
	var zero int
	if err := x.db.QueryRow("SELECT count(*) FROM tally WHERE n <= 0").Scan(&zero); err != nil || zero != 0 {
		t.Errorf("%d counts of nothing, %v", zero, err)
	}
}

func TestTallyRefuses(t *testing.T) {
	_, x, _ := indexed2(t, onDisk(t))
	many := make([]time.Time, maxSpans+2)
	for i := range many {
		many[i] = start.Add(time.Duration(i) * time.Hour)
	}
	for name, edges := range map[string][]time.Time{
		"none": nil, "one": {start}, "too many": many, "not on a quarter": {start, start.Add(time.Minute)},
		"backwards": {start, start.Add(-time.Hour)}, "twice": {start, start},
	} {
		if _, err := x.Tally(t.Context(), edges, ""); !errors.Is(err, mfa.ErrInvalid) {
			t.Errorf("%s: got %v, want %v", name, err, mfa.ErrInvalid)
		}
	}
}

// TestPeople counts whom a reason concerns, by other means too.
func TestPeople(t *testing.T) {
	tr, x, _ := indexed2(t, onDisk(t))
	r := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test
	var records []mfa.Record
	for n := range 400 {
		records = append(records, anyAttempt(r, start.Add(time.Duration(n)*time.Minute)))
	}
	if err := tr.Append(t.Context(), records...); err != nil {
		t.Fatal(err)
	}
	since, until := start.Add(time.Hour), start.Add(6*time.Hour)
	reasons := []mfa.Reason{mfa.ExemptNetwork, mfa.Locked}
	got, all, err := x.People(t.Context(), reasons, "tap", Filter{Application: "vpn", Since: since, Until: until})
	if err != nil || !all {
		t.Fatalf("People: %v, all %v", err, all)
	}
	want := map[Person]Person{}
	for _, a := range kept(t, tr) {
		if a.Application != "vpn" || a.Time.Before(since) || !a.Time.Before(until) {
			continue
		}
		if slices.Contains(reasons, a.Reason) || a.Method == mfa.MethodTAP && a.Reason == mfa.OK {
			key := Person{User: a.User, Login: strings.ToLower(a.Login), Application: a.Application, Method: string(a.Method), Reason: a.Reason}
			sum := want[key]
			sum.N++
			sum.Last = a.Time
			want[key] = sum
		}
	}
	found := map[Person]Person{}
	for i, p := range got {
		if i > 0 && p.N > got[i-1].N {
			t.Errorf("%+v after %+v: most often comes first", p, got[i-1])
		}
		key := p
		key.N, key.Last = 0, time.Time{}
		if _, twice := found[key]; twice {
			t.Errorf("%+v is told twice", key)
		}
		found[key] = Person{N: p.N, Last: p.Last}
	}
	if len(found) == 0 || !maps.Equal(found, want) {
		t.Errorf("got  %v\nwant %v", found, want)
	}
	if _, _, err := x.People(t.Context(), nil, "", Filter{}); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}
