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

// group is "bench group": two, three and five servers on this machine.
func group(ctx context.Context, args []string) (err error) {
	o := bench.GroupOptions{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("bench group", flag.ContinueOnError)
	f.StringVar(&o.Binary, "binary", "bin/countersign", "server under test")
	f.IntVar(&o.Users, "users", 100_000, "users")
	f.IntVar(&o.Rounds, "rounds", 5, "rounds of sign-ins")
	f.DurationVar(&o.Duration, "duration", 2*time.Second, "length of a round; at most 20s")
	f.IntVar(&o.InFlight, "in-flight", 64, "requests at the same time")
	f.IntVar(&o.Kills, "kills", 20, "how often the master is killed")
	f.IntVar(&o.Promotions, "promotions", 5, "planned promotions")
	f.BoolVar(&o.Five, "five", true, "five servers, too")
	f.IntVar(&o.Disasters, "disasters", 3, "disaster promotions of a pair")
	dir := f.String("dir", "", "folder for data, on the disk to be measured; default: the system's temporary folder")
	path := f.String("json", "bin/bench-group.json", "file for the figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Duration <= 0 || o.Duration > 20*time.Second || o.Rounds < 1 || o.Users < 1 || o.InFlight < 3 || o.InFlight > 4096 || o.Kills < 0 || o.Promotions < 0 || o.Disasters < 0 {
		return errors.New("want -rounds and -users of at least 1, -in-flight between 3 and 4096 and a -duration of up to 20s")
	}
	if o.Dir, err = os.MkdirTemp(*dir, "countersign-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	r, err := bench.RunGroup(ctx, o)
	if err != nil {
		return err
	}
	if err := keep(*path, r); err != nil {
		return err
	}
	return r.Write(os.Stdout)
}
