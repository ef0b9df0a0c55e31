package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is all that one run measured. Its JSON form is stable.
type Report struct {
	Environment Environment `json:"environment"`
	Settings    Settings    `json:"settings"`
	Systems     []About     `json:"systems"`
	Results     []*Result   `json:"results"`
	Disk        Disk        `json:"disk"`
	Memory      []Memory    `json:"memory"`
	Import      Import      `json:"import"`
	Ratios      []Ratio     `json:"ratios"`
	Targets     []Target    `json:"targets"`
}

// Environment is where a run was made.
type Environment struct {
	Time   time.Time `json:"time"`
	Cores  int       `json:"cores"`
	CPU    string    `json:"cpu"`
	Memory int64     `json:"memory_bytes"`
	Kernel string    `json:"kernel"`
	Go     string    `json:"go"`
	Load   float64   `json:"load"` // of the last minute, before the run
	Dir    string    `json:"file_system"`
}

// Settings are those of the run.
type Settings struct {
	Rounds   int     `json:"rounds"`
	Duration float64 `json:"round_seconds"`
	Users    int     `json:"users"`
}

// About says what a system is set to do.
type About struct {
	Name string `json:"name"`
	Does string `json:"does"`
}

// Ratio compares countersign's medians with those of another system.
type Ratio struct {
	To       string  `json:"to"`
	InFlight int     `json:"in_flight"`
	Rate     float64 `json:"rate"`       // above 1: countersign does more
	CPU      float64 `json:"server_cpu"` // above 1: countersign needs more
}

// Target is what the benchmark is for.
type Target struct {
	What string  `json:"what"`
	Want float64 `json:"want"`
	Got  float64 `json:"got"`
	Met  bool    `json:"met"`
}

func (r *Report) find(system, loop string, inFlight int) *Result {
	for _, x := range r.Results {
		if x.System == system && x.Loop == loop && x.InFlight == inFlight {
			return x
		}
	}
	return nil
}

// result returns the closed loop's result that is like x, or adds x.
func (r *Report) result(x Result) *Result {
	if y := r.find(x.System, x.Loop, x.InFlight); y != nil {
		return y
	}
	r.Results = append(r.Results, &x)
	return &x
}

// open returns the system's kth open loop, whose rate the first round fixes.
func (r *Report) open(system string, k int, rate float64) *Result {
	for _, x := range r.Results {
		if x.System == system && x.Loop == "open" {
			if k == 0 {
				return x
			}
			k--
		}
	}
	x := &Result{System: system, Loop: "open", Offered: float64(int(rate/100) * 100)}
	r.Results = append(r.Results, x)
	return x
}

// finish computes medians, ratios and targets.
func (r *Report) finish() {
	for _, x := range r.Results {
		x.summarise()
	}
	for _, x := range r.Results {
		ours := r.find("countersign", x.Loop, x.InFlight)
		if x.System == "countersign" || x.Loop != "closed" || ours == nil || x.Median.Rate == 0 || x.Median.ServerCPU == 0 {
			continue
		}
		q := Ratio{x.System, x.InFlight, ours.Median.Rate / x.Median.Rate, ours.Median.ServerCPU / x.Median.ServerCPU}
		r.Ratios = append(r.Ratios, q)
		if want, ok := map[string]float64{"freeradius": .5, "slapo-otp": 5}[x.System]; ok && x.InFlight == reference {
			r.Targets = append(r.Targets, Target{fmt.Sprintf("rate at %d in flight, times that of %s", reference, x.System), want, q.Rate, q.Rate >= want})
		}
	}
	if ours := r.find("countersign", "closed", reference); ours != nil {
		r.Targets = append(r.Targets, Target{fmt.Sprintf("p99 at %d in flight, ms, below", reference), 20, ours.Median.P99, ours.Median.P99 < 20})
	}
	if n := len(r.Memory); n > 1 && r.Memory[n-1].Users > r.Memory[0].Users {
		a, b := r.Memory[0], r.Memory[n-1]
		each := float64(b.Heap-a.Heap) / float64(b.Users-a.Users)
		r.Targets = append(r.Targets, Target{fmt.Sprintf("heap for each of %d users, bytes, below", b.Users), 1500, each, each < 1500})
	}
}

// WriteJSON writes the report for programs.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// WriteTable writes the report for people. A result with requests that went wrong is
// marked with "!".
func (r *Report) WriteTable(w io.Writer) error {
	e := r.Environment
	fmt.Fprintf(w, "%s; %d cores, %s, %.0f GiB; Linux %s, %s, %s; load before %.2f\n", e.Time.Format(time.RFC3339), e.Cores, e.CPU,
		float64(e.Memory)/(1<<30), e.Kernel, e.Go, e.Dir, e.Load)
	fmt.Fprintf(w, "%d rounds of %.3g s each, interleaved; medians; %d users. fdatasync of 4 KiB: p50 %.2f ms, p99 %.2f ms\n\n",
		r.Settings.Rounds, r.Settings.Duration, r.Settings.Users, r.Disk.P50, r.Disk.P99)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "system\tload\trate/s\tp50 ms\tp95 ms\tp99 ms\tmax ms\tserver CPU us\tclient CPU us\tothers %\tbad\t")
	for _, x := range r.Results {
		load := strconv.Itoa(x.InFlight) + " in flight"
		if x.Loop == "open" {
			load = fmt.Sprintf("%.0f/s open", x.Offered)
		}
		mark := ""
		if x.Bad > 0 {
			mark = "!"
		}
		m := x.Median
		fmt.Fprintf(t, "%s\t%s\t%.0f\t%.3g\t%.3g\t%.3g\t%.3g\t%.1f\t%.1f\t%.0f\t%s%d\t\n", x.System, load, m.Rate, m.P50, m.P95, m.P99, m.Max,
			m.ServerCPU, m.ClientCPU, 100*m.Others, mark, x.Bad)
	}
	if len(r.Ratios) > 0 {
		fmt.Fprintln(t, "\t\t\t\t\t\t\t\t\t\t\ncountersign to\tload\trate\tserver CPU\t")
		for _, q := range r.Ratios {
			fmt.Fprintf(t, "%s\t%d in flight\tx %.2f\tx %.2f\t\n", q.To, q.InFlight, q.Rate, q.CPU)
		}
	}
	if len(r.Memory) > 0 {
		fmt.Fprintln(t, "\t\t\t\t\t\t\nusers\tstart ms\theap MB\tRSS MB\tdata MB\timport rows/s\t")
		for _, m := range r.Memory {
			fmt.Fprintf(t, "%d\t%.0f\t%.1f\t%.1f\t%.1f\t%.0f\t\n", m.Users, m.Start, mb(m.Heap), mb(m.RSS), mb(m.Data), m.Import.RowsPerSecond)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, g := range r.Targets {
		fmt.Fprintf(w, "%s %s: %.3g (target %.4g)\n", map[bool]string{true: "met   ", false: "MISSED"}[g.Met], g.What, g.Got, g.Want)
	}
	for _, a := range r.Systems {
		fmt.Fprintf(w, "%s: %s\n", a.Name, a.Does)
	}
	return nil
}

func mb(n int64) float64 { return float64(n) / 1e6 }

func environment(ctx context.Context, dir string) Environment {
	word := func(path, before string) string {
		b, _ := os.ReadFile(path)
		_, rest, _ := strings.Cut(string(b), before)
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line)
	}
	first := func(s string) string { f, _, _ := strings.Cut(s, " "); return f }
	e := Environment{Time: time.Now(), Cores: runtime.NumCPU(), Go: runtime.Version()}
	e.CPU = strings.TrimLeft(word("/proc/cpuinfo", "model name"), "\t: ")
	kb, _ := strconv.ParseInt(first(word("/proc/meminfo", "MemTotal:")), 10, 64)
	e.Memory = kb << 10
	e.Kernel = word("/proc/sys/kernel/osrelease", "")
	e.Load, _ = strconv.ParseFloat(first(word("/proc/loadavg", "")), 64)
	if b, err := exec.CommandContext(ctx, "stat", "-f", "-c", "%T", dir).Output(); err == nil {
		e.Dir = strings.TrimSpace(string(b))
	}
	return e
}
