//go:build !linux

package mfatest

import (
	"os"
	"syscall"
)

// own asks for nothing special.
func own() *syscall.SysProcAttr { return nil }

// end kills the process.
func end(p *os.Process, _ bool) { _ = p.Kill() }
