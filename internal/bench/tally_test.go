package bench

import (
	"math"
	"testing"
	"time"
)

func TestRound(t *testing.T) {
	tl := tally{Rejected: 1, TimedOut: 2, end: 2 * time.Second}
	for i := 100; i > 0; i-- {
		tl.count(accepted, time.Duration(i)*time.Millisecond, i <= 90)
	}
	tl.count(unproven, 0, true)
	r := newRound(tl, 100*time.Millisecond, 50*time.Millisecond)
	want := Round{Seconds: 2, Rate: 45, P50: 51, P95: 96, P99: 100, Max: 100, ServerCPU: 1000, ClientCPU: 500}
	got := r
	got.tally = tally{}
	if got.Seconds != want.Seconds || got.Rate != want.Rate || got.P50 != want.P50 || got.P95 != want.P95 ||
		got.P99 != want.P99 || got.Max != want.Max || got.ServerCPU != want.ServerCPU || got.ClientCPU != want.ClientCPU {
		t.Errorf("round is %+v, want %+v", got, want)
	}
	if r.OK != 100 || r.Bad() != 4 {
		t.Errorf("%d accepts and %d bad, want 100 and 4", r.OK, r.Bad())
	}
}

func TestRoundWithoutAccepts(t *testing.T) {
	r := newRound(tally{Rejected: 3, end: time.Second}, time.Second, time.Second)
	if r.Rate != 0 || r.Max != 0 || r.ServerCPU != 0 || math.IsNaN(r.P50) {
		t.Errorf("round is %+v, want zeros", r)
	}
}

func TestSummaryTakesMediansAndSumsWhatWentWrong(t *testing.T) {
	r := Result{}
	for i, rate := range []float64{30, 10, 20} {
		r.Rounds = append(r.Rounds, Round{Rate: rate, P99: float64(i), tally: tally{OK: 10, TimedOut: i}})
	}
	r.summarise()
	if r.Median.Rate != 20 || r.Median.P99 != 1 || r.Bad != 3 || r.Median.OK != 30 {
		t.Errorf("median rate %v, p99 %v, bad %d, ok %d; want 20, 1, 3, 30", r.Median.Rate, r.Median.P99, r.Bad, r.Median.OK)
	}
	if got := median([]float64{4, 1, 3, 2}); got != 2.5 {
		t.Errorf("median of four is %v, want 2.5", got)
	}
}
