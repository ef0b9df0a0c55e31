//go:build !linux

package bench

import (
	"os"
	"syscall"
	"time"
)

func own() *syscall.SysProcAttr { return nil }

func end(p *os.Process, _ bool) { _ = p.Kill() }

func datasync(f *os.File) error { return f.Sync() }

func ownCPU() time.Duration { return 0 }

func cpuOf(int) (d time.Duration, ok bool) { return 0, false }
