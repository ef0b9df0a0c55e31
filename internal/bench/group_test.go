package bench

import (
	"strings"
	"testing"
	"time"
)

// timed is a volley of which it is known what comes.
type timed struct{ t tally }

func (v timed) fire(time.Duration) (tally, []passcode) { return v.t, []passcode{{user: v.t.OK}} }
func (timed) close()                                   {}

func TestVolleysAreOneRound(t *testing.T) {
	sum, unsent := volleys{timed{tally{OK: 3, inTime: 2, end: time.Second}}, timed{tally{OK: 4, Rejected: 1, inTime: 4, end: 2 * time.Second}}}.fire(time.Second)
	if sum.OK != 7 || sum.Rejected != 1 || sum.inTime != 6 || sum.end != 2*time.Second || len(unsent) != 2 {
		t.Errorf("%+v, %d not sent", sum, len(unsent))
	}
}

func TestGroupReport(t *testing.T) {
	result := func(name string, rate float64) *Result {
		return &Result{System: name, Median: Round{Rate: rate, tally: tally{OK: 1}}}
	}
	r := GroupReport{SignIns: []*Result{result("server alone", 4000), result("group of three", 1000)}, Joins: []Join{{Seconds: 2}, {Seconds: 4}},
		Gaps: []float64{1500, 500, 1000}, Disasters: []Disaster{{Lost: 3000, Took: 900, Return: 2000}}, PromotionError: "no such verb"}
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(b.String()), " ")
	for _, want := range []string{"group of three 1000 x 0.25", "join, s 2 2.00 3.00 4.00 4.00", "master killed, s 3 0.50 1.00 1.50 1.50", "taken for lost, s 1 3.00", "disaster promotion, s 1 0.90", "not measured: no such verb"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
}
