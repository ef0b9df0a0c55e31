package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// CompareOptions is what to compare: programs of this project with each other, the first
// one being what the others are held against. All fields must be set.
type CompareOptions struct {
	Binaries []string
	Dir      string // a folder for data, on the disk to be measured; emptied afterwards
	Rounds   int
	Duration time.Duration // of a round
	InFlight int
	Users    int // each has signed in once before the first round
	Log      *slog.Logger
}

// Comparison is how the rounds went, a result for each binary.
type Comparison struct{ Results []*Result }

// Compare has the binaries sign in the same users in turn, round by round.
func Compare(ctx context.Context, o CompareOptions) (c *Comparison, err error) {
	c = new(Comparison)
	var systems []*system
	defer func() {
		for _, s := range systems {
			err = errors.Join(err, s.server.stop())
		}
	}()
	for i, binary := range o.Binaries {
		o.Log.Info("starting", "binary", binary, "users", o.Users)
		dir := filepath.Join(o.Dir, strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		s, _, err := countersign(ctx, binary, dir, population(o.Users))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
		systems = append(systems, s)
		c.Results = append(c.Results, &Result{System: binary, Loop: "closed", InFlight: o.InFlight})
		if err := s.once(ctx, o.InFlight); err != nil {
			return nil, fmt.Errorf("%s: %w", binary, err)
		}
	}
	for n := range o.Rounds {
		for k := range systems {
			i := (k + n) % len(systems)
			x, err := systems[i].round(ctx, o.Duration, min(o.Users, int(20_000*o.Duration.Seconds())),
				func(codes []passcode) (volley, error) { return systems[i].closed(codes, o.InFlight) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.Binaries[i], err)
			}
			o.Log.Info("round", "n", n+1, "binary", o.Binaries[i], "rate", int(x.Rate), "p50_ms", x.P50, "p99_ms", x.P99,
				"server_cpu_us", x.ServerCPU, "bad", x.Bad(), "others", x.Others)
			c.Results[i].Rounds = append(c.Results[i].Rounds, x)
		}
	}
	for _, r := range c.Results {
		r.summarise()
	}
	return c, nil
}

// once signs every user in: a first sign-in makes the user's settlement record, those after
// it, which are nearly all, change it.
func (s *system) once(ctx context.Context, inFlight int) error {
	const portion = 5000
	for left := len(s.codes.keys); left > 0; {
		x, err := s.round(ctx, period*time.Second/4, min(left, portion), func(c []passcode) (volley, error) { return s.closed(c, inFlight) })
		if err != nil {
			return err
		}
		if left -= x.OK; x.OK == 0 {
			return fmt.Errorf("first sign-ins: none accepted, %d went wrong", x.Bad())
		}
	}
	return nil
}

// WriteTable writes the medians, the first quartile of the processor time, which is what
// others on the machine disturb least, and how the processor time of each round stands to
// that of the first binary in the round beside it.
func (c *Comparison) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "binary\trate/s\tp50 ms\tp99 ms\tserver CPU us\tits first quartile\tothers %\tbad\tCPU to the first, median (quartiles)\t")
	for _, r := range c.Results {
		m := r.Median
		var cpu, ratios []float64
		for n, x := range r.Rounds {
			cpu = append(cpu, x.ServerCPU)
			ratios = append(ratios, x.ServerCPU/c.Results[0].Rounds[n].ServerCPU)
		}
		slices.Sort(cpu)
		slices.Sort(ratios)
		fmt.Fprintf(t, "%s\t%.0f\t%.3g\t%.3g\t%.1f\t%.1f\t%.0f\t%d\t%.3f (%.3f to %.3f)\t\n", filepath.Base(r.System), m.Rate, m.P50, m.P99, m.ServerCPU, at(cpu, .25),
			100*m.Others, r.Bad, median(ratios), at(ratios, .25), at(ratios, .75))
	}
	return t.Flush()
}
