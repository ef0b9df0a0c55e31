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
			Missing(t, p+" is not installed; `make deps` installs it")
		}
		paths = append(paths, path)
	}
	return paths
}

// Missing skips the test because of what the rig lacks, or fails it under CI=true.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal("rig: " + what)
	}
	t.Skip("rig: " + what)
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
