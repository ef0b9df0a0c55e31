package bench

import (
	"strings"
	"testing"
)

// Rounds that lie side by side are compared with each other: what the machine did besides
// changed from round to round.
func TestComparisonIsByPairs(t *testing.T) {
	rounds := func(cpu ...float64) *Result {
		r := &Result{System: "x"}
		for _, c := range cpu {
			r.Rounds = append(r.Rounds, Round{ServerCPU: c})
		}
		r.summarise()
		return r
	}
	c := Comparison{Results: []*Result{rounds(100, 200, 400), rounds(90, 180, 360)}}
	var out strings.Builder
	if err := c.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines, want 3:\n%s", len(lines), out.String())
	}
	if want := "0.900 (0.900 to 0.900)"; !strings.Contains(lines[2], want) {
		t.Errorf("second binary: %q, want %q in it", lines[2], want)
	}
}
