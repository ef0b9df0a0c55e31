package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"os"

	"countersign/internal/bench"
)

// pages is "bench pages": weight and time of the pages.
func pages(ctx context.Context, args []string) (err error) {
	o := bench.PagesOptions{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	f := flag.NewFlagSet("bench pages", flag.ContinueOnError)
	f.StringVar(&o.Binary, "binary", "bin/countersign", "server under test")
	f.IntVar(&o.Users, "users", 100_000, "users; at least 2")
	f.IntVar(&o.Rounds, "rounds", 100, "requests for each page")
	dir := f.String("dir", "", "folder for data, on the disk to be measured; default: the system's temporary folder")
	attempts := f.Int("attempts", 0, "instead of the pages: lists and reports over a trail of so many attempts")
	path := f.String("json", "bin/bench-pages.json", "file for the figures")
	if err := f.Parse(args); err != nil {
		return err
	}
	if o.Users < 2 || o.Rounds < 1 {
		return errors.New("want -users of at least 2 and -rounds of at least 1")
	}
	if o.Dir, err = os.MkdirTemp(*dir, "countersign-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	var r interface{ WriteTable(io.Writer) error }
	if *attempts > 0 {
		r, err = bench.RunAttempts(ctx, bench.AttemptsOptions{Dir: o.Dir, Attempts: *attempts, Users: o.Users, Rounds: o.Rounds, Log: o.Log})
	} else {
		r, err = bench.RunPages(ctx, o)
	}
	if err != nil {
		return err
	}
	if err := keep(*path, r); err != nil {
		return err
	}
	return r.WriteTable(os.Stdout)
}

// keep writes the figures v to a file, as JSON.
func keep(path string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o600)
}
