package main

import (
	"context"
	"errors"
	"flag"
	"log/slog"
	"os"
	"time"

	"countersign/internal/bench"
)

// compare is "bench compare OLD NEW...": binaries of this project in turn.
func compare(ctx context.Context, args []string) (err error) {
	o := bench.CompareOptions{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("bench compare [flags] OLD NEW...", flag.ContinueOnError)
	f.IntVar(&o.Users, "users", 100_000, "users")
	f.IntVar(&o.Rounds, "rounds", 10, "rounds of each")
	f.DurationVar(&o.Duration, "duration", 2*time.Second, "length of a round; at most 20s")
	f.IntVar(&o.InFlight, "in-flight", 64, "requests at the same time")
	dir := f.String("dir", "", "folder for data, on the disk to be measured; default: the system's temporary folder")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Binaries = f.Args(); len(o.Binaries) < 2 {
		return errors.New("want two binaries or more")
	}
	if o.Duration <= 0 || o.Duration > 20*time.Second || o.Rounds < 1 || o.Users < 1 || o.InFlight < 1 || o.InFlight > 4096 {
		return errors.New("want -rounds and -users of at least 1, -in-flight between 1 and 4096 and a -duration of up to 20s")
	}
	if o.Dir, err = os.MkdirTemp(*dir, "countersign-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	c, err := bench.Compare(ctx, o)
	if err != nil {
		return err
	}
	return c.WriteTable(os.Stdout)
}
