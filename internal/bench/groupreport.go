package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// GroupReport is all that one run on a group measured. Its JSON form is stable.
type GroupReport struct {
	Environment    Environment `json:"environment"`
	Users          int         `json:"users"`
	InFlight       int         `json:"in_flight"`
	Joins          []Join      `json:"joins"`
	SignIns        []*Result   `json:"sign_ins"`
	Gaps           []float64   `json:"failover_gaps_ms"` // between two changes, around a kill of the master
	FiveGaps       []float64   `json:"failover_gaps_of_five_ms"`
	Promotions     []Promotion `json:"promotions"`
	Disasters      []Disaster  `json:"disaster_promotions"`
	PromotionError string      `json:"promotion_error,omitempty"`
}

// Join is how one server joined: from its start to the moment when it decides.
type Join struct {
	Users   int     `json:"users"`
	Seconds float64 `json:"seconds"`
}

// Promotion is one planned promotion.
type Promotion struct {
	Took float64 `json:"took_ms"` // the verb, as the operator waits for it
	Gap  float64 `json:"gap_ms"`  // between two changes at a third server
}

// Disaster is one disaster promotion of a pair's replica.
type Disaster struct {
	Lost   float64 `json:"lost_ms"`   // from the kill of the master until the verb is not refused any more
	Took   float64 `json:"took_ms"`   // from the confirmation to the first change that the new master acknowledges
	Return float64 `json:"return_ms"` // from the old master's start until it is a replica of the new epoch
}

func (r *GroupReport) result(system string, inFlight int) *Result {
	for _, x := range r.SignIns {
		if x.System == system {
			return x
		}
	}
	r.SignIns = append(r.SignIns, &Result{System: system, Loop: "closed", InFlight: inFlight})
	return r.SignIns[len(r.SignIns)-1]
}

// best is the highest rate so far.
func (r *Result) best() (rate float64) {
	for _, x := range r.Rounds {
		rate = max(rate, x.Rate)
	}
	return rate
}

// Write prints the report as tables.
func (r *GroupReport) Write(w io.Writer) error {
	e := r.Environment
	fmt.Fprintf(w, "%s, %d cores, Linux %s, %s, load %.2f; all servers and the client on one machine, %d users, %d requests in flight\n\n",
		e.CPU, e.Cores, e.Kernel, e.Go, e.Load, r.Users, r.InFlight)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sign-ins at\taccepts/s\tto a server alone\tp50 ms\tp99 ms\tCPU us, all servers\tothers %\tbad\t")
	alone := 1.0
	for _, x := range r.SignIns {
		m := x.Median
		if strings.HasPrefix(x.System, aloneName) { // measured in the same rounds as those that follow
			alone = max(1, m.Rate)
		}
		fmt.Fprintf(t, "%s\t%.0f\tx %.2f\t%.3g\t%.3g\t%.1f\t%.0f\t%d\t\n", x.System, m.Rate, m.Rate/alone, m.P50, m.P99, m.ServerCPU, 100*m.Others, x.Bad)
	}
	fmt.Fprintln(t, "\t\t\t\t\n\tn\tmin\tmedian\tp90\tmax\t")
	row := func(name string, v []float64) {
		if slices.Sort(v); len(v) > 0 {
			fmt.Fprintf(t, "%s\t%d\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, len(v), v[0], median(v), at(v, .9), at(v, 1))
		}
	}
	var joins, gaps, took, gap []float64
	for _, j := range r.Joins {
		joins = append(joins, j.Seconds)
	}
	for _, p := range r.Promotions {
		took, gap = append(took, p.Took/1000), append(gap, p.Gap/1000)
	}
	for _, g := range r.Gaps {
		gaps = append(gaps, g/1000)
	}
	row("join, s", joins)
	row("gap in changes, master killed, s", gaps)
	row("planned promotion, s", took)
	row("gap in changes, planned promotion, s", gap)
	var five, lost, disaster, back []float64
	for _, g := range r.FiveGaps {
		five = append(five, g/1000)
	}
	for _, d := range r.Disasters {
		lost, disaster, back = append(lost, d.Lost/1000), append(disaster, d.Took/1000), append(back, d.Return/1000)
	}
	row("gap in changes, master of five killed, s", five)
	row("a pair's master is taken for lost, s", lost)
	row("disaster promotion, s", disaster)
	row("the old master is a replica again, s", back)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.PromotionError != "" {
		_, err := fmt.Fprintf(w, "\nplanned promotion is not measured: %s\n", r.PromotionError)
		return err
	}
	return nil
}
