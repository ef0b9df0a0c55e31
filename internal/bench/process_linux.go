package bench

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// own is a process group of its own.
func own() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// end asks the process and all that it started to end, or kills them.
func end(p *os.Process, kill bool) {
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	_ = syscall.Kill(-p.Pid, sig)
}

// datasync brings what was written to f to the disk, without its times.
func datasync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }

// ownCPU is the processor time that this process has used.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpuOf is the processor time that all threads of a process have used, to the nanosecond;
// ok is false if it has ended.
func cpuOf(pid int) (d time.Duration, ok bool) {
	const scheduled = 2 // CPUCLOCK_SCHED; see clock_getcpuclockid(3)
	var t unix.Timespec
	if unix.ClockGettime(int32(^pid<<3|scheduled), &t) != nil {
		return 0, false
	}
	return time.Duration(t.Nano()), true
}
