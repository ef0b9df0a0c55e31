package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options is what to measure. All fields must be set, but for those marked.
type Options struct {
	Binary   string // the server under test
	Self     string // this program, for the echo server
	Dir      string // a folder for data, on the disk to be measured; emptied afterwards
	Systems  []string
	Rounds   int
	Duration time.Duration // of a round
	InFlight []int
	Open     []float64 // open loop: parts of the closed loop's rate at 64; may be empty
	Users    int       // under load
	Memory   []int     // users at which memory and start are measured; may be empty
	Quiet    float64   // a round in which others used more than this part of the processors is made again; 1: none is
	Log      *slog.Logger
}

// Systems are the names for Options.Systems, in the order of a round.
var Systems = []string{"countersign", "freeradius", "slapo-otp", "udp-echo"}

// reference is the load that the targets and the open loop refer to, in flight.
const reference = 64

// Run measures and returns the report. It stops what it has started.
func Run(ctx context.Context, o Options) (r *Report, err error) {
	r = &Report{Environment: environment(ctx, o.Dir), Settings: Settings{o.Rounds, o.Duration.Seconds(), o.Users}}
	for _, users := range o.Memory {
		if !slices.Contains(o.Systems, "countersign") {
			break
		}
		o.Log.Info("memory and start", "users", users)
		m, err := memory(ctx, o.Binary, filepath.Join(o.Dir, fmt.Sprintf("memory-%d", users)), population(users))
		if err != nil {
			return nil, err
		}
		r.Memory = append(r.Memory, m)
	}
	systems, err := o.start(ctx, r)
	defer func() {
		for _, s := range systems {
			err = errors.Join(err, s.server.stop())
		}
	}()
	if err != nil {
		return nil, err
	}
	if err := o.measure(ctx, systems, r); err != nil {
		return nil, err
	}
	r.finish()
	return r, nil
}

// start starts the systems; on an error, those that run are returned too.
func (o Options) start(ctx context.Context, r *Report) (systems []*system, err error) {
	for _, name := range o.Systems {
		o.Log.Info("starting", "system", name, "users", o.Users)
		dir := filepath.Join(o.Dir, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			return systems, err
		}
		var s *system
		switch name {
		case "countersign":
			s, r.Import, err = countersign(ctx, o.Binary, dir, population(o.Users))
		case "freeradius":
			s, err = freeradius(ctx, dir, population(o.Users))
		case "slapo-otp":
			s, err = slapd(ctx, dir, population(o.Users))
		case "udp-echo":
			s, err = udpEcho(ctx, o.Self, population(o.Users))
		default:
			err = fmt.Errorf("no system %q; there are %v", name, Systems)
		}
		if err != nil {
			return systems, fmt.Errorf("%s: %w", name, err)
		}
		systems = append(systems, s)
		r.Systems = append(r.Systems, About{name, s.about})
	}
	return systems, nil
}

// measure runs the rounds, those of the systems in turn.
func (o Options) measure(ctx context.Context, systems []*system, r *Report) error {
	var syncs []time.Duration
	for round := range o.Rounds {
		for _, n := range o.InFlight {
			for i := range systems {
				s := systems[(i+round)%len(systems)] // nobody always comes after the same one
				if s.name == "udp-echo" && n != reference {
					continue
				}
				res := r.result(Result{System: s.name, Loop: "closed", InFlight: n})
				if err := o.round(ctx, s, res, &syncs, res.expect(s, o.Duration), func(c []passcode) (volley, error) { return s.closed(c, n) }); err != nil {
					return err
				}
			}
		}
		for k, part := range o.Open {
			for i := range systems {
				s := systems[(i+round)%len(systems)]
				base := r.find(s.name, "closed", reference)
				if s.open == nil || base == nil {
					continue
				}
				res := r.open(s.name, k, part*base.Rounds[0].Rate)
				want := int(res.Offered*o.Duration.Seconds()) + 1
				if err := o.round(ctx, s, res, &syncs, want, func(c []passcode) (volley, error) { return s.open(c, res.Offered) }); err != nil {
					return err
				}
			}
		}
	}
	r.Disk = newDisk(syncs)
	return nil
}

// patienceWithOthers is how often a round is made again, or put off by a second, because
// of what else the machine does. Then it counts as it is.
const patienceWithOthers = 30

func (o Options) round(ctx context.Context, s *system, res *Result, syncs *[]time.Duration, want int, load func([]passcode) (volley, error)) error {
	for n := 0; ; n++ {
		d, err := o.awaitQuiet(ctx)
		if err != nil {
			return err
		}
		x, err := s.round(ctx, o.Duration, want, load)
		if err != nil {
			return fmt.Errorf("%s, %s loop: %w", s.name, res.Loop, err)
		}
		x.Sync50 = newDisk(d).P50
		again := x.Others > o.Quiet && n < patienceWithOthers
		o.Log.Info("round", "n", len(res.Rounds)+1, "system", s.name, "loop", res.Loop, "in_flight", res.InFlight, "offered", int(res.Offered),
			"rate", int(x.Rate), "p50_ms", x.P50, "p99_ms", x.P99, "server_cpu_us", x.ServerCPU, "bad", x.Bad(), "fdatasync50_ms", x.Sync50,
			"others", x.Others, "again", again)
		if !again {
			*syncs = append(*syncs, d...)
			res.Rounds = append(res.Rounds, x)
			return nil
		}
		res.Noisy++
	}
}

// awaitQuiet samples the disk, again and again until others leave the processors alone.
func (o Options) awaitQuiet(ctx context.Context) (d []time.Duration, err error) {
	for n := 0; ; n++ {
		own, machine, start := ownCPU(), machineCPU(), time.Now()
		if d, err = disk(o.Dir, 200*time.Millisecond); err != nil {
			return nil, err
		}
		if share(machineCPU()-machine-(ownCPU()-own), time.Since(start)) <= o.Quiet || n == patienceWithOthers {
			return d, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// expect returns how many passcodes a round needs: half more than any so far, or what
// a server needs that nothing is known of.
func (r *Result) expect(s *system, d time.Duration) int {
	best := 0.
	for _, x := range r.Rounds {
		best = max(best, x.Rate)
	}
	if best == 0 {
		best = 40_000
		if s.name == "udp-echo" {
			best = 150_000
		}
	}
	n := int(1.5*best*d.Seconds()) + r.InFlight
	if !s.codes.again {
		n = min(n, len(s.codes.keys))
	}
	return n
}
