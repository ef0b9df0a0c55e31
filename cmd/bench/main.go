// Command bench runs the benchmark of package bench and prints a table; docs/performance.md
// says what the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"countersign/internal/bench"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) (err error) {
	if len(args) == 2 && args[0] == "echo" { // started by the benchmark itself
		return bench.Echo(ctx, args[1])
	}
	if len(args) > 0 && args[0] == "group" {
		return group(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "pages" {
		return pages(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "waiting" {
		return waiting(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == "compare" {
		return compare(ctx, args[1:])
	}
	o := bench.Options{Systems: bench.Systems, InFlight: []int{1, 16, 64, 256}, Open: []float64{.5, .8}, Memory: []int{0, 10_000, 100_000},
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.Binary, "binary", "bin/countersign", "server under test")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds of each system under each load")
	f.DurationVar(&o.Duration, "duration", 2*time.Second, "length of a round; at most 20s")
	f.IntVar(&o.Users, "users", 100_000, "users under load")
	f.Func("systems", "comma-separated; default "+strings.Join(bench.Systems, ","), func(s string) error {
		o.Systems = split(s)
		return nil
	})
	f.Func("in-flight", "closed loop, comma-separated; default 1,16,64,256", numbers(&o.InFlight, strconv.Atoi))
	f.Func("open", "open loop: parts of the closed loop's rate at 64, comma-separated; default 0.5,0.8; empty: none", numbers(&o.Open, float))
	f.Func("memory", "users at which memory and start are measured; default 0,10000,100000; empty: none", numbers(&o.Memory, strconv.Atoi))
	f.Float64Var(&o.Quiet, "quiet", 0.15, "make a round again if others used more than this part of the processors; 1: never")
	dir := f.String("dir", "", "folder for data, on the disk to be measured; default: the system's temporary folder")
	path := f.String("json", "bin/bench.json", "file for the figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Duration <= 0 || o.Duration > 20*time.Second || o.Rounds < 1 || o.Users < 1 {
		return errors.New("want -rounds and -users of at least 1 and a -duration of up to 20s")
	}
	for _, n := range o.InFlight {
		if n < 1 || n > 4096 {
			return errors.New("want -in-flight between 1 and 4096")
		}
	}
	if o.Self, err = os.Executable(); err != nil {
		return err
	}
	if o.Dir, err = os.MkdirTemp(*dir, "countersign-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	r, err := bench.Run(ctx, o)
	if err != nil {
		return err
	}
	out, err := os.Create(*path)
	if err != nil {
		return err
	}
	if err := errors.Join(r.WriteJSON(out), out.Close()); err != nil {
		return err
	}
	return r.WriteTable(os.Stdout)
}

func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

func float(s string) (float64, error) { return strconv.ParseFloat(s, 64) }

// numbers is a flag that replaces the values in to.
func numbers[T any](to *[]T, parse func(string) (T, error)) func(string) error {
	return func(s string) error {
		*to = nil
		for _, x := range split(s) {
			v, err := parse(x)
			if err != nil {
				return err
			}
			*to = append(*to, v)
		}
		return nil
	}
}
