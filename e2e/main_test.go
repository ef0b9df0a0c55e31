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

// program is the binary under test, set by TestMain. It is built like the tests: with the
// race detector if they are.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cs-bin")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	program = filepath.Join(dir, "countersign")
	args := []string{"build", "-o", program, "-ldflags", "-X main.version=v0.0.0-e2e"}
	if raced {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "countersign/cmd/countersign")...)
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}
