package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"countersign/internal/cli"
)

// TestScripts runs every verb against a server of its own.
func TestScripts(t *testing.T) { runScripts(t, countersignCmd, nil) }

// runScripts runs the scripts with a command countersign; prepare, if not nil, sees each rig first.
func runScripts(t *testing.T, countersign func(ts *testscript.TestScript, neg bool, args []string), prepare func(env *testscript.Env, r *rig) error) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			dir, err := os.MkdirTemp("", "cs") // short: a socket's path is bounded
			if err != nil {
				return err
			}
			env.Defer(func() { _ = os.RemoveAll(dir) })
			env.Setenv("COUNTERSIGN_DATA", dir)
			r := newRig(t, dir, env.Defer)
			if prepare != nil {
				return prepare(env, r)
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"countersign": countersign,
			"fields":      fieldsCmd,
			"value":       valueCmd,
			"code": func(ts *testscript.TestScript, _ bool, args []string) {
				steps, err := strconv.Atoi(args[1])
				ts.Check(err)
				ts.Setenv(args[0], code(t, seed, steps))
			},
		},
	})
}

// countersignCmd runs a command in this process. A first argument <FILE gives it that
// file as standard input, <<A|B the lines A and B.
func countersignCmd(ts *testscript.TestScript, neg bool, args []string) {
	d, args := prepared(ts, args)
	d.Stdout, d.Stderr = ts.Stdout(), ts.Stderr()
	if code := cli.Run(context.Background(), args, d); (code != 0) != neg {
		ts.Fatalf("countersign %q: exit %d", args, code)
	}
}

// prepared reads what the script says of a command: its input, its environment, its arguments.
func prepared(ts *testscript.TestScript, args []string) (cli.Deps, []string) {
	d := deps()
	d.Env = ts.Getenv
	if lines, ok := strings.CutPrefix(args[0], "<<"); ok {
		d.Stdin, args = strings.NewReader(strings.ReplaceAll(lines, "|", "\n")+"\n"), args[1:]
	} else if file, ok := strings.CutPrefix(args[0], "<"); ok {
		d.Stdin, args = strings.NewReader(ts.ReadFile(file)), args[1:]
	}
	for i, a := range args { // the process does not stand in the script's folder
		if _, err := os.Stat(ts.MkAbs(a)); err == nil && a != "" {
			args[i] = ts.MkAbs(a)
		}
	}
	return d, args
}

// at reads standard output as one JSON document and walks down a path: users.0.
func at(ts *testscript.TestScript, path string) any {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var v any
	ts.Check(d.Decode(&v))
	if d.More() {
		ts.Fatalf("more than one JSON document")
	}
	for _, step := range strings.Split(path, ".") {
		if i, err := strconv.Atoi(step); err == nil {
			list, ok := v.([]any)
			if !ok || i >= len(list) {
				ts.Fatalf("%s: no item %d", path, i)
			}
			v = list[i]
		} else if step != "" {
			m, ok := v.(map[string]any)
			if !ok || m[step] == nil {
				ts.Fatalf("%s: no %s in %v", path, step, v)
			}
			v = m[step]
		}
	}
	return v
}

// fieldsCmd: fields PATH NAME... is true if the object there has just these fields.
func fieldsCmd(ts *testscript.TestScript, _ bool, args []string) {
	m, ok := at(ts, args[0]).(map[string]any)
	if !ok {
		ts.Fatalf("%s is no object", args[0])
	}
	got, want := slices.Sorted(maps.Keys(m)), slices.Sorted(slices.Values(args[1:]))
	if !slices.Equal(got, want) {
		ts.Fatalf("%s has the fields\n%s, want\n%s", args[0], strings.Join(got, " "), strings.Join(want, " "))
	}
}

// valueCmd: value PATH TEXT compares; value PATH into NAME sets a variable.
func valueCmd(ts *testscript.TestScript, _ bool, args []string) {
	got := fmt.Sprint(at(ts, args[0]))
	if len(args) == 3 && args[1] == "into" {
		ts.Setenv(args[2], got)
	} else if got != args[1] {
		ts.Fatalf("%s is %s, want %s", args[0], got, args[1])
	}
}
