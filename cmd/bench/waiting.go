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

// waiting is "bench waiting": what sign-ins take that wait for their users.
func waiting(ctx context.Context, args []string) (err error) {
	o := bench.WaitingOptions{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("bench waiting", flag.ContinueOnError)
	f.StringVar(&o.Binary, "binary", "bin/countersign", "server under test")
	f.IntVar(&o.Waiting, "waiting", 10_000, "sign-ins that wait at once, each of another user; 1 to 100000")
	f.DurationVar(&o.Rest, "rest", 10*time.Second, "for which processor time is looked at; at most 2m")
	dir := f.String("dir", "", "folder for data, on the disk to be measured; default: the system's temporary folder")
	path := f.String("json", "bin/bench-waiting.json", "file for the figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Waiting < 1 || o.Waiting > 100_000 || o.Rest <= 0 || o.Rest > 2*time.Minute {
		return errors.New("want -waiting of 1 to 100000 and -rest of at most 2m")
	}
	if o.Dir, err = os.MkdirTemp(*dir, "countersign-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	r, err := bench.RunWaiting(ctx, o)
	if err != nil {
		return err
	}
	if err := keep(*path, r); err != nil {
		return err
	}
	return r.WriteTable(os.Stdout)
}
