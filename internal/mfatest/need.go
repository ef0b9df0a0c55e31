// Package mfatest holds what tests of several packages share.
package mfatest

import (
	"os"
	"os/exec"
	"testing"
)

// Need skips the test unless every program named is on this machine, and returns their
// paths. Under CI=true a missing program fails the test: there `make deps` installs them.
func Need(t testing.TB, programs ...string) []string {
	t.Helper()
	var paths []string
	for _, p := range programs {
		path, err := find(p)
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("rig: %s is missing; `make deps` installs it", p)
			}
			t.Skipf("rig: %s is not installed; `make deps` installs it", p)
		}
		paths = append(paths, path)
	}
	return paths
}

// find looks on PATH and where Debian keeps daemons.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	for _, dir := range []string{"/usr/sbin/", "/sbin/"} {
		if err == nil {
			break
		}
		path, err = exec.LookPath(dir + program)
	}
	return path, err
}
