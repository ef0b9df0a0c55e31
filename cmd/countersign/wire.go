package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"countersign/internal/admin"
	"countersign/internal/cli"
	"countersign/internal/config"
	"countersign/internal/group"
	"countersign/internal/node"
	"countersign/internal/secret"
)

// wire gives the command line the verbs that need no running server.
func wire(d cli.Deps) cli.Deps {
	w := wiring{d}
	d.DataDir = func(file string) (string, error) {
		c, err := w.load(cli.Globals{Config: file})
		return c.DataDir, err
	}
	d.Init = func(ctx context.Context, g cli.Globals, group string) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		if err := node.Init(ctx, w.options(c), group); err != nil {
			return err
		}
		fmt.Fprintf(d.Stdout, "Group %s is founded in %s. Start its first server: %s server%s\n", group, c.DataDir, program(), flags(g))
		return nil
	}
	d.Activate = func(ctx context.Context, g cli.Globals, code string, confirm func(group.Preview) error) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		if err := node.Activate(ctx, w.options(c), code, confirm); err != nil {
			return err
		}
		fmt.Fprintf(d.Stdout, "This machine is activated. Start its server, which brings the group's data: %s server%s\n", program(), flags(g))
		return nil
	}
	d.Abandon = func(_ context.Context, g cli.Globals, confirm func(name, group string) error) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		return node.Abandon(w.options(c), confirm)
	}
	d.Server = w.server
	d.InitCoordinator = func(ctx context.Context, g cli.Globals) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		if err := node.InitCoordinator(ctx, w.options(c)); err != nil {
			return err
		}
		fmt.Fprintf(d.Stdout, "Coordinator %s is founded in %s. Start it: %s coordinator%s\n", c.Name, c.DataDir, program(), flags(g))
		return nil
	}
	d.Coordinator = func(ctx context.Context, g cli.Globals) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		return node.RunCoordinator(ctx, w.options(c))
	}
	d.JoinCoordinator = func(ctx context.Context, g cli.Globals, code string, confirm func(group.Preview) error) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		if err := node.JoinCoordinator(ctx, w.options(c), code, confirm); err != nil {
			return err
		}
		fmt.Fprintf(d.Stdout, "This machine is admitted as coordinator %s. Start it, which brings the records: %s coordinator%s\n", c.Name, program(), flags(g))
		return nil
	}
	d.DemoSignIn = func(ctx context.Context, g cli.Globals) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		return node.SignIn(ctx, c.DataDir, d.Stdout, d.Now)
	}
	d.VerifyBackup = func(ctx context.Context, r io.Reader, passphrase secret.Text) (cli.BackupInfo, error) {
		i, err := node.VerifyBackup(ctx, r, passphrase, d.Now)
		return cli.BackupInfo{Group: i.Group, Epoch: i.Epoch, Revision: i.Revision, Created: i.Created, Server: i.Server, Records: i.Records, Users: i.Users}, err
	}
	d.RestoreBackup = func(ctx context.Context, g cli.Globals, r io.Reader, passphrase secret.Text, confirm string) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		return node.RestoreBackup(ctx, w.options(c), r, passphrase, confirm)
	}
	d.RestoreSnapshot = func(ctx context.Context, g cli.Globals, file, confirm string) error {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		return node.RestoreSnapshot(ctx, w.options(c), file, confirm)
	}
	d.Doctor = func(ctx context.Context, g cli.Globals) ([]admin.Check, error) {
		c, err := w.load(g)
		if err != nil {
			return nil, err
		}
		return node.OfflineDoctor(ctx, c), nil
	}
	return d
}

// wiring is what the verbs have of the world.
type wiring struct{ cli.Deps }

func (w wiring) options(c config.Config) node.Options {
	return node.Options{Config: c, Version: w.Version, Stdout: w.Stdout, Stderr: w.Stderr, Now: w.Now, Silence: silence()}
}

// server runs a server, or a demo.
func (w wiring) server(ctx context.Context, g cli.Globals, demo bool) error {
	ballast := tuneMemory(w.Env)
	defer runtime.KeepAlive(ballast)
	if !demo {
		c, err := w.load(g)
		if err != nil {
			return err
		}
		o := w.options(c)
		o.Ready = func(node.Addresses) { giveBackMemory() }
		return node.Run(ctx, o)
	}
	c, err := w.read(g, node.DemoConfig)
	if err != nil {
		return err
	}
	return node.RunDemo(ctx, w.options(c), program())
}

// load reads the node file that the flags name, or the default one if it is there.
func (w wiring) load(g cli.Globals) (config.Config, error) { return w.read(g, config.Load) }

func (w wiring) read(g cli.Globals, load func(string, config.Overrides) (config.Config, error)) (config.Config, error) {
	o := config.Overrides{
		Env:  func(name string) (string, bool) { v := w.Env(name); return v, v != "" },
		Host: hostName(),
	}
	if g.Data != "" {
		o.Set = map[string]string{"data_dir": g.Data}
	}
	path := g.Config
	if path == "" {
		if _, err := os.Stat(config.DefaultFile); err == nil && g.Data == "" {
			path = config.DefaultFile
		}
	}
	c, err := load(path, o)
	if err == nil {
		return c, nil
	}
	// Every mistake on a line of its own; the command line prints the last one.
	lines := strings.Split(err.Error(), "\n")
	for _, l := range lines[:len(lines)-1] {
		fmt.Fprintln(w.Stderr, "countersign:", l)
	}
	return c, errors.New(lines[len(lines)-1])
}

// hostName is this machine's name without its domain.
func hostName() string {
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	name, _, _ = strings.Cut(name, ".")
	return name
}

// program is how the operator calls us.
func program() string { return os.Args[0] }

// flags are those that say which server, for a command that we tell the operator.
func flags(g cli.Globals) (s string) {
	if g.Config != "" {
		s += " --config " + g.Config
	}
	if g.Data != "" {
		s += " --data " + g.Data
	}
	return s
}
