// Package e2e_test drives the built program as its users do: processes that are started,
// killed and started again, packets over UDP, real clients and real directories. Nothing
// here looks into the program.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The program under test, set by TestMain. The one that serves is built like the tests,
// with the race detector if they are; the one for everything else never is: it ends at
// once, and the detector takes its time to end.
var program, racer string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cs-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "countersign")
	if err = build(program); err == nil {
		if racer = program; raced {
			racer = filepath.Join(dir, "race", "countersign")
			err = build(racer, "-race")
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func build(out string, flags ...string) error {
	args := append([]string{"build", "-o", out, "-ldflags", "-X main.version=v0.0.0-e2e"}, flags...)
	if text, err := exec.Command("go", append(args, "countersign/cmd/countersign")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, text)
	}
	return nil
}
